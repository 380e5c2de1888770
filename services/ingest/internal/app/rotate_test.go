package app

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/door"
	"github.com/onlinesms/onlinesms/services/internal/secret"
	"github.com/onlinesms/onlinesms/services/internal/secret/secrettest"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

// rotating is a world with a pin set, whose secrets' news are heard.
type rotating struct {
	*world
	news *lockedBuffer
}

func newRotating(t *testing.T, change ...func(*Config)) *rotating {
	t.Helper()
	r := &rotating{news: &lockedBuffer{}}
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(r.news, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	r.world = newWorld(t, append(change, func(cfg *Config) {
		file := strings.Replace(cfg.PublicKeyFile, "public-key.pem", "pins", 1)
		if err := door.CreatePinsKey(file); err != nil {
			t.Fatal(err)
		}
		cfg.Door.PinsKey = secret.File(file)
	})...)
	return r
}

func (r *rotating) rotation(name string) *rotation {
	return &rotation{
		toolConfig: toolConfig{Postgres: r.db.Config, Secrets: r.secrets()}, Door: DoorConfig{PinsKey: secret.File(r.path("pins"))},
		name: name, now: time.Now,
	}
}

// taken waits until the secret was replaced times times, in all replicas together.
func (r *rotating) taken(t *testing.T, name string, times int) {
	t.Helper()
	eventually(t, name+" to be taken", func() bool {
		return strings.Count(r.news.String(), `msg="secret replaced" name=`+name+"\n") >= times
	})
}

// traffic sends, reads and looks at the pin set until it is stopped; it reports every error.
type traffic struct {
	stop  context.CancelFunc
	group sync.WaitGroup
	sent  atomic.Int64
	pins  atomic.Int64
}

func (r *rotating) traffic(t *testing.T, conns ...*grpc.ClientConn) *traffic {
	ctx, stop := context.WithCancel(context.Background())
	x := &traffic{stop: stop}
	for _, conn := range conns {
		for _, key := range []string{r.live, r.test} {
			x.group.Go(func() {
				client := ingestv1.NewMessageServiceClient(conn)
				as := metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)
				for ctx.Err() == nil {
					sent, err := client.SendMessage(as, send())
					if err == nil {
						_, err = client.GetMessage(as, &ingestv1.GetMessageRequest{MessageId: sent.GetMessageId()})
					}
					if err != nil && ctx.Err() == nil {
						t.Errorf("after %d sends: %v", x.sent.Load(), err)
						return
					}
					x.sent.Add(1)
				}
			})
		}
	}
	known := [][]byte{}
	x.group.Go(func() {
		for ctx.Err() == nil {
			if err := r.lookAtPins(ctx, &known); err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
			x.pins.Add(1)
		}
	})
	t.Cleanup(x.end)
	return x
}

func (x *traffic) end() {
	x.stop()
	x.group.Wait()
}

// more waits until n more messages were sent.
func (x *traffic) more(t *testing.T, n int64) {
	t.Helper()
	until := x.sent.Load() + n
	eventually(t, "more messages", func() bool { return t.Failed() || x.sent.Load() >= until })
}

// lookAtPins is a client that trusts the keys it knows and learns new ones from sets it has verified.
func (r *rotating) lookAtPins(ctx context.Context, known *[][]byte) error {
	signatures, body, err := r.pinSet(ctx)
	if err != nil {
		return err
	}
	verified := len(*known) == 0
	for _, s := range signatures {
		raw, _ := base64.StdEncoding.DecodeString(s)
		verified = verified || slices.ContainsFunc(*known, func(key []byte) bool { return ed25519.Verify(key, body, raw) })
	}
	if !verified {
		return errors.New("a pin set that no known key has signed")
	}
	var set struct{ Keys []string }
	if err := json.Unmarshal(body, &set); err != nil || len(set.Keys) != len(signatures) {
		return errors.New("a pin set whose keys are not those that signed")
	}
	*known = nil
	for _, key := range set.Keys {
		raw, _ := base64.StdEncoding.DecodeString(key)
		*known = append(*known, raw)
	}
	return nil
}

func (r *rotating) pinSet(ctx context.Context) (signatures []string, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+r.door.HTTPAddr().String()+"/.well-known/sms-pins.json", nil)
	if err != nil {
		return nil, nil, err
	}
	resp, err := r.https.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.Header.Values(door.PinsSignature), body, err
}

// Item 31 of the acceptance list, as far as step 2: KEK, pepper and the key of the pin set are rotated under load at two
// replicas with no error, and the old versions are gone afterwards.
func TestItem31RotationUnderLoad(t *testing.T) {
	r := newRotating(t)
	second := r.replica(t)
	x := r.traffic(t, r.grpc, second)
	x.more(t, 50)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	must(r.rotation("kek").rotate(t.Context()))
	r.taken(t, "KEK", 2)
	if err := r.rotation("kek").retire(t.Context()); err == nil {
		t.Error("a KEK that the keyring needs was retired")
	}
	must(r.rotation("kek").rewrap(t.Context()))
	r.taken(t, "KEYRING", 2)
	must(r.rotation("kek").retire(t.Context()))
	r.taken(t, "KEK", 4)
	x.more(t, 50)

	rotation := r.rotation("pepper")
	rotation.after = 3 * time.Second
	must(rotation.rotate(t.Context()))
	r.taken(t, "PEPPER", 2)
	eventually(t, "the old pepper to be needed no more", func() bool {
		must(r.access.verifier.FlushRenewals(t.Context(), r.store))
		return t.Failed() || r.rotation("pepper").retire(t.Context()) == nil
	})
	r.taken(t, "PEPPER", 4)
	x.more(t, 50)

	must(r.rotation("pins").rotate(t.Context()))
	eventually(t, "two signatures", func() bool {
		signatures, _, err := r.pinSet(t.Context())
		return err == nil && len(signatures) == 2
	})
	seen := x.pins.Load() + 3
	eventually(t, "the client to learn the new key", func() bool { return t.Failed() || x.pins.Load() >= seen })
	must(r.rotation("pins").retire(t.Context()))
	eventually(t, "one signature", func() bool {
		signatures, _, err := r.pinSet(t.Context())
		return err == nil && len(signatures) == 1
	})
	x.more(t, 50)
	x.end()

	for name, ref := range map[string]secret.Ref{"kek": r.secrets().KEK, "pepper": r.secrets().Pepper} {
		text, err := secret.Read(t.Context(), ref)
		must(err)
		if keys, err := secret.ParseKeys(text); err != nil || keys.String() != "versions 2" {
			t.Errorf("%s: %v, %v", name, keys, err)
		}
	}
	if left := secret.Problems(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	// A fresh process, which has never seen the old versions, knows the keys and opens what was sealed before.
	t.Logf("%d sends and %d looks at the pin set without an error", x.sent.Load(), x.pins.Load())
	if _, err := ingestv1.NewMessageServiceClient(r.replica(t)).ListMessages(as(t, r.test), &ingestv1.ListMessagesRequest{}); err != nil {
		t.Error(err)
	}
}

// A new secret that is unreadable, or wrong, is reported and changes nothing.
func TestWrongNewSecretsChangeNothing(t *testing.T) {
	r := newRotating(t)
	other, err := secret.Keys{}.With(time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	wrong := map[string][]byte{
		"kek":          []byte(strings.Replace(string(other.Text()), "1 ", "2 ", 1)), // of another house
		"keyring.json": []byte("{"),
		"pepper":       other.Text(), // version 1, but another
		"pins":         []byte("-----BEGIN PRIVATE KEY-----"),
	}
	right := map[string][]byte{}
	for file, text := range wrong {
		if right[file], err = os.ReadFile(r.path(file)); err == nil {
			err = secret.Replace(r.path(file), text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	problems := func() string { return strings.Join(secret.Problems(), "\n") }
	for _, name := range []string{"KEK", "KEYRING", "PEPPER", "PINS_KEY"} {
		eventually(t, name+" to be reported", func() bool { return strings.Contains(problems(), name+" keeps its earlier value") })
	}
	if _, err := r.client().SendMessage(as(t, r.live), send()); err != nil {
		t.Error(err)
	}
	if signatures, _, err := r.pinSet(t.Context()); err != nil || len(signatures) != 1 {
		t.Error(signatures, err)
	}
	for file, text := range wrong {
		value := bytes.TrimSpace(text)
		if len(value) > 10 && (strings.Contains(problems(), string(value)) || strings.Contains(r.news.String(), string(value[2:]))) {
			t.Errorf("%s is told", file)
		}
		if err := secret.Replace(r.path(file), right[file]); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the right ones to be taken", func() bool { return problems() == "" })
}

// All secrets of the service come from Vault; there they are rotated, and a sealed Vault changes nothing.
func TestSecretsFromVault(t *testing.T) {
	vault := secrettest.Start(t)
	vault.Use(func(c *secret.Vault) { c.RoleID, c.SecretID = secrettest.RoleID, secrettest.SecretID })
	texts := map[string]string{}
	put := func(field string, text []byte) {
		texts[field] = string(text)
		vault.Put("kv/sms/ingest", field, string(text))
	}
	r := newRotating(t, func(cfg *Config) {
		for field, ref := range map[string]*secret.Ref{
			"kek": &cfg.Secrets.KEK, "keyring": &cfg.Secrets.Keyring, "pepper": &cfg.Secrets.Pepper, "postgres": &cfg.Postgres.URL,
		} {
			text, err := secret.Read(t.Context(), *ref)
			if err != nil {
				t.Fatal(err)
			}
			put(field, text)
			*ref = secret.Ref("vault:kv/sms/ingest#" + field)
		}
	})
	x := r.traffic(t, r.grpc)
	x.more(t, 20)
	rotate := r.rotation("kek")
	rotate.Secrets = Secrets{KEK: secret.Ref(texts["kek"]), Keyring: secret.Ref(texts["keyring"])}
	for _, step := range []struct {
		field  string
		change func(context.Context) error
		taken  string
	}{{"kek", rotate.rotate, "KEK"}, {"keyring", rotate.rewrap, "KEYRING"}, {"kek", rotate.retire, "KEK"}} {
		rotate.out = r.path("next")
		if err := step.change(t.Context()); err != nil {
			t.Fatal(step.field, err)
		}
		text, err := os.ReadFile(rotate.out)
		if err != nil {
			t.Fatal(err)
		}
		before := strings.Count(r.news.String(), "name="+step.taken+"\n")
		put(step.field, text)
		r.taken(t, step.taken, before+1)
		rotate.Secrets = Secrets{KEK: secret.Ref(texts["kek"]), Keyring: secret.Ref(texts["keyring"])}
	}
	vault.Seal(true)
	for name, field := range map[string]string{"KEK": "kek", "KEYRING": "keyring", "PEPPER": "pepper", "POSTGRES_URL": "postgres"} {
		eventually(t, name+" to be reported", func() bool {
			return strings.Contains(strings.Join(secret.Problems(), "\n"), name+" keeps its earlier value: secret at vault:kv/sms/ingest#"+field+": ")
		})
	}
	x.more(t, 20)
	x.end()
}

func TestRotationCommands(t *testing.T) {
	for name, args := range map[string][]string{"no name": nil, "another": {"-name", "tls"}, "argument": {"-name", "kek", "x"}, "past": {"-name", "pepper", "-after", "-1s"}} {
		if err := RotateSecret(t.Context(), args); !errors.Is(err, service.ErrUsage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w := &world{dir: t.TempDir()}
	if err := initSecrets(t.Context(), w.secrets()); err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{"KEK_FILE": "kek", "KEYRING_FILE": "keyring.json", "PEPPER_FILE": "pepper"} {
		t.Setenv(name, w.path(file))
	}
	before, _ := os.ReadFile(w.path("kek"))
	if err := RotateSecret(t.Context(), []string{"-name", "kek", "-out", w.path("next")}); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(w.path("kek")); !bytes.Equal(before, after) {
		t.Error("-out changed the file itself")
	}
	t.Setenv("KEK_FILE", w.path("next"))
	if err := RetireSecret(t.Context(), []string{"-name", "kek"}); err == nil {
		t.Error("retired before the keyring was wrapped anew")
	}
	if err := RewrapKeyring(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := RetireSecret(t.Context(), []string{"-name", "kek"}); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(w.path("next")); !bytes.HasPrefix(text, []byte("2 ")) || bytes.Contains(text, []byte("\n1 ")) {
		t.Error("the old KEK is left")
	}
	r := &rotation{name: "kek", now: time.Now, toolConfig: toolConfig{Secrets: Secrets{KEK: secret.Ref(before)}}}
	if err := r.rotate(t.Context()); err == nil || !strings.Contains(err.Error(), "-out") {
		t.Errorf("a secret that is in no file: %v", err)
	}
}
