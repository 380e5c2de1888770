//go:build e2e

package e2e

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
)

// posted is a webhook as a receiver got it.
type posted struct {
	Header map[string]string `json:"header"`
	Body   string            `json:"body"`
	from   string
	data   struct {
		Type string
		Data struct{ MessageID, State string }
	}
}

// receiver is a tenant's server on loopback, with the certificate of the platform's own authority.
type receiver struct {
	*httptest.Server
	mu   sync.Mutex
	seen []posted
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	tlsDir := filepath.Dir(platform.Env("ONLINESMS_CA_FILE"))
	pair, err := tls.LoadX509KeyPair(filepath.Join(tlsDir, "public.pem"), filepath.Join(tlsDir, "public-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(r.receive))
	r.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	r.StartTLS()
	t.Cleanup(func() { r.CloseClientConnections(); r.Close() })
	return r
}

func (r *receiver) receive(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	var challenge struct{ Type, Challenge string }
	if json.Unmarshal(body, &challenge) == nil && challenge.Type == "endpoint.verify" {
		_ = json.NewEncoder(w).Encode(map[string]string{"challenge": challenge.Challenge})
		return
	}
	p := posted{Header: map[string]string{}, Body: string(body), from: req.RemoteAddr}
	for name := range req.Header {
		p.Header[strings.ToLower(name)] = req.Header.Get(name)
	}
	_ = json.Unmarshal(body, &p.data)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, p)
}

// about answers what was posted of a message, by state.
func (r *receiver) about(message string) map[string]posted {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := map[string]posted{}
	for _, p := range r.seen {
		if p.data.Data.MessageID == message {
			found[p.data.Data.State] = p
		}
	}
	return found
}

// subscribe makes and verifies an endpoint of a party.
func subscribe(t *testing.T, p *party, url string, types ...string) (id, secret string) {
	t.Helper()
	client := dispatchv1.NewWebhookEndpointServiceClient(p.conn)
	made, err := client.CreateWebhookEndpoint(t.Context(), &dispatchv1.CreateWebhookEndpointRequest{
		Url: url, Description: "of " + p.tenant + " " + p.env, EventTypes: types, Ed25519: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	verified, err := client.VerifyWebhookEndpoint(t.Context(), &dispatchv1.VerifyWebhookEndpointRequest{EndpointId: made.GetEndpoint().GetEndpointId()})
	if err != nil || verified.GetEndpoint().GetStatus() != "ACTIVE" {
		t.Fatalf("%v, %v", verified, err)
	}
	return made.GetEndpoint().GetEndpointId(), made.GetSecret()
}

func madeEndpoint(t *testing.T, p *party) string {
	id, _ := subscribe(t, p, newReceiver(t).URL, "message.delivered")
	return id
}

// madeDelivery sends a message and waits until its event is delivered to the party's endpoint.
func madeDelivery(t *testing.T, p *party) (event string) {
	message := madeMessage(t, p)
	client := dispatchv1.NewWebhookDeliveryServiceClient(p.conn)
	eventually(t, patience, "a webhook is delivered", func() bool {
		page, err := client.ListWebhookDeliveries(t.Context(), &dispatchv1.ListWebhookDeliveriesRequest{
			EndpointId: p.ids["endpoint_id"], MessageId: message, Outcome: "DELIVERED",
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.GetDeliveries()) > 0 {
			event = page.GetDeliveries()[0].GetEventId()
		}
		return event != ""
	})
	return event
}

func demoParty(t *testing.T) *party {
	p := &party{sender: demoSender(), env: "test", key: keyOf(t, demoTenant, "test"), ids: map[string]string{}}
	p.conn = dial(t, platform.Env("ONLINESMS_GRPC_ADDR"), p.key)
	return p
}

// Items 47, 50 and 52 from outside: events of a message arrive signed, without number and text, from a published
// address; the reference library of Standard Webhooks in another language verifies them.
func TestItem47WebhooksArriveAndVerify(t *testing.T) {
	p, r := demoParty(t), newReceiver(t)
	answer := call(t, http.MethodPost, "/v1/webhook-endpoints", p.key, `{"url":"http://127.0.0.1:8443/"}`)
	if answer.status != http.StatusBadRequest || !strings.Contains(string(answer.body), "HTTPS_REQUIRED") {
		t.Errorf("http: %d %s", answer.status, answer.body)
	}
	_, secret := subscribe(t, p, r.URL)
	number := nextNumber()
	id := send(t, ingestv1.NewMessageServiceClient(p.conn), otp(number, "482913"))
	for _, state := range []string{"ACCEPTED", "QUEUED", "SUBMITTED", "DELIVERED"} {
		eventually(t, patience, "webhook "+state, func() bool { _, ok := r.about(id)[state]; return ok })
	}
	var published struct {
		Prefixes []struct{ Prefix netip.Prefix }
	}
	call(t, http.MethodGet, "/v1/webhook-ips", "", "").into(t, &published)
	for state, got := range r.about(id) {
		if strings.Contains(got.Body, number[3:]) || strings.Contains(got.Body, "482913") {
			t.Errorf("%s holds number or text: %s", state, got.Body)
		}
		from := netip.MustParseAddrPort(got.from).Addr()
		if len(published.Prefixes) != 1 || !published.Prefixes[0].Prefix.Contains(from) {
			t.Errorf("%s came from %s, published are %v", state, from, published.Prefixes)
		}
	}
	verifyWithLibrary(t, r.about(id)["DELIVERED"], secret)
}

// library is the program: 0 when all is as it should be.
const library = `
const {Webhook} = require("standardwebhooks");
const crypto = require("crypto");
let text = "";
process.stdin.on("data", d => text += d).on("end", () => {
  const {secret, header, body} = JSON.parse(text);
  const hook = new Webhook(secret);
  hook.verify(body, header);
  const refuses = (b, h, what) => { try { hook.verify(b, h) } catch { return } throw new Error("verifies: " + what) };
  refuses(body.replace("DELIVERED", "DELIVEREE"), header, "a changed body");
  refuses(body, {...header, "webhook-timestamp": String(header["webhook-timestamp"] - 3600)}, "an old timestamp");
  const key = Buffer.from(secret.slice("whsec_".length), "base64");
  const bare = crypto.createHmac("sha256", key).update(body).digest("hex");
  if (bare !== header["x-sms-signature"]) throw new Error("X-SMS-Signature");
});`

// verifyWithLibrary uses the npm package standardwebhooks, where node and npm are installed.
func verifyWithLibrary(t *testing.T, p posted, secret string) {
	t.Helper()
	npm, err := exec.LookPath("npm")
	if _, nodeErr := exec.LookPath("node"); err != nil || nodeErr != nil {
		t.Log("node and npm are not installed: not verified by the library")
		return
	}
	dir := t.TempDir()
	run := func(stdin string, name string, args ...string) {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	run("", npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "standardwebhooks@1.0.0")
	if err := os.WriteFile(filepath.Join(dir, "verify.js"), []byte(library), 0o600); err != nil {
		t.Fatal(err)
	}
	input, err := json.Marshal(map[string]any{"secret": secret, "header": p.Header, "body": p.Body})
	if err != nil {
		t.Fatal(err)
	}
	run(string(input), "node", "verify.js")
}

// A client without an endpoint follows its events, and goes on behind its cursor.
func TestStreamOfMessageEvents(t *testing.T) {
	p := demoParty(t)
	client := dispatchv1.NewMessageEventServiceClient(p.conn)
	stream, err := client.StreamMessageEvents(t.Context(), &dispatchv1.StreamMessageEventsRequest{EventTypes: []string{"message.delivered"}})
	if err != nil {
		t.Fatal(err)
	}
	first, err := stream.Recv() // the heartbeat that says it stands
	if err != nil || first.GetCursor() == "" || first.GetEventType() != "" {
		t.Fatalf("%v, %v", first, err)
	}
	id := send(t, ingestv1.NewMessageServiceClient(p.conn), otp(nextNumber(), "271828"))
	if err := follow(stream, id); err != nil {
		t.Fatal(err)
	}
	again, err := client.StreamMessageEvents(t.Context(), &dispatchv1.StreamMessageEventsRequest{Cursor: first.GetCursor()})
	if err == nil {
		err = follow(again, id)
	}
	if err != nil {
		t.Fatalf("from a cursor: %v", err)
	}
	broken, err := client.StreamMessageEvents(t.Context(), &dispatchv1.StreamMessageEventsRequest{Cursor: "x"})
	if err == nil {
		_, err = broken.Recv()
	}
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("a wrong cursor: %v", err)
	}
}

// follow reads until a message is delivered.
func follow(stream interface {
	Recv() (*dispatchv1.StreamMessageEventsResponse, error)
}, id string) error {
	for end := time.Now().Add(patience); time.Now().Before(end); {
		got, err := stream.Recv()
		if err != nil {
			return err
		}
		for _, e := range got.GetEvents() {
			if e.GetMessageId() == id && e.GetState() == typev1.MessageState_DELIVERED {
				return nil
			}
		}
	}
	return fmt.Errorf("message %s was not told of", id)
}
