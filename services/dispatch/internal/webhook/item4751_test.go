package webhook_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/webhook"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

// verify checks an attempt as a receiver with one secret would, by the letter of Standard Webhooks and of our README.
func verify(a attempt, secret string) error {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return err
	}
	stamp, err := strconv.ParseInt(a.header.Get("webhook-timestamp"), 10, 64)
	if err != nil {
		return err
	}
	if age := time.Since(time.Unix(stamp, 0)); age > 5*time.Minute || age < -5*time.Minute {
		return errors.New("timestamp out of tolerance")
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%d.%s", a.header.Get("webhook-id"), stamp, a.body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	if !slices.Contains(strings.Fields(a.header.Get("webhook-signature")), want) {
		return errors.New("no signature of this secret")
	}
	mac = hmac.New(sha256.New, key)
	mac.Write(a.body)
	bare := hex.EncodeToString(mac.Sum(nil))
	if bare != a.header.Get("X-SMS-Signature") && bare != a.header.Get("X-SMS-Signature-Previous") {
		return errors.New("X-SMS-Signature is another's")
	}
	return nil
}

// Item 47: the signatures are what the documents say: recomputed by other code, and in another language.
func TestItem47SignaturesVerify(t *testing.T) {
	w := newWorld(t)
	r := w.receive(nil)
	at, secret := w.endpoint(r.URL)
	s := w.start()
	w.send(s, w.tenant, 1)
	w.until("an event", func() bool { return r.events() == 1 })
	a := r.last()
	if err := verify(a, secret); err != nil {
		t.Fatal(err)
	}
	if a.header.Get("X-SMS-Delivery-Attempt") != "1" || a.header.Get("webhook-id") != a.header.Get("X-SMS-Event-Id") {
		t.Errorf("headers %v", a.header)
	}
	changed := attempt{a.header, slices.Clone(a.body)}
	changed.body[len(changed.body)/2] ^= 1
	if verify(changed, secret) == nil {
		t.Error("a changed body verifies")
	}
	e, err := w.store.Endpoint(t.Context(), at)
	w.must(err)
	var asymmetric []byte
	for _, one := range strings.Fields(a.header.Get("webhook-signature")) {
		if sig, ok := strings.CutPrefix(one, "v1a,"); ok {
			asymmetric, err = base64.StdEncoding.DecodeString(sig)
			w.must(err)
		}
	}
	content := fmt.Sprintf("%s.%s.%s", a.header.Get("webhook-id"), a.header.Get("webhook-timestamp"), a.body)
	if !ed25519.Verify(e.Public, []byte(content), asymmetric) {
		t.Error("v1a does not verify")
	}
	foreign(t, a, secret)
}

// foreign recomputes X-SMS-Signature in Python, where that is installed.
func foreign(t *testing.T, a attempt, secret string) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Log("python3 is not installed: recomputed in Go only")
		return
	}
	const program = `import base64, hashlib, hmac, sys
key = base64.b64decode(sys.argv[1].removeprefix("whsec_"))
print(hmac.new(key, sys.stdin.buffer.read(), hashlib.sha256).hexdigest(), end="")`
	cmd := exec.CommandContext(t.Context(), python, "-c", program, secret)
	cmd.Stdin = strings.NewReader(string(a.body))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if string(out) != a.header.Get("X-SMS-Signature") {
		t.Errorf("python: %s, header: %s", out, a.header.Get("X-SMS-Signature"))
	}
}

// Item 50: only https is taken, and nothing is sent to an endpoint that has not answered its challenge.
func TestItem50NoEventsWithoutHTTPSAndChallenge(t *testing.T) {
	w := newWorld(t)
	_, _, err := w.service().Create(t.Context(), w.tenant, "live", webhook.Wish{URL: "http://hooks.example.com/x"})
	e, ok := errors.AsType[*errs.Error](err)
	if !ok || e.Kind != errs.Invalid || len(e.Violations) != 1 || e.Violations[0].Reason != "HTTPS_REQUIRED" {
		t.Fatalf("http: %v", err)
	}
	var answer atomic.Pointer[http.HandlerFunc]
	r := w.receive(nil)
	inner := r.Config.Handler
	r.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if h := answer.Load(); h != nil {
			(*h)(rw, req)
			return
		}
		inner.ServeHTTP(rw, req)
	})
	made, _, err := w.service().Create(t.Context(), w.tenant, "live", webhook.Wish{URL: r.URL})
	w.must(err)
	at := webhook.Place{Tenant: w.tenant, Env: "live", Endpoint: made.ID}
	deaf := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte(`{"challenge":"guess"}`)) })
	answer.Store(&deaf)
	if _, err := w.service().Verify(t.Context(), at); reasonOf(err) != "WEBHOOK_CHALLENGE_FAILED" {
		t.Fatalf("a guessed challenge: %v", err)
	}
	if _, err := w.service().Enable(t.Context(), at); reasonOf(err) != "WEBHOOK_NOT_VERIFIED" {
		t.Errorf("enabled unverified: %v", err)
	}
	if _, _, err := w.service().Test(t.Context(), at); reasonOf(err) != "WEBHOOK_NOT_VERIFIED" {
		t.Errorf("test event to unverified: %v", err)
	}
	answer.Store(nil)
	s := w.start()
	w.send(s, w.tenant, 10)
	if n := len(w.states(at)); n != 0 || r.events() != 0 {
		t.Errorf("events before verification: %d states, %d events", n, r.events())
	}
	_, err = w.service().Verify(t.Context(), at)
	w.must(err)
	w.send(s, w.tenant, 3)
	w.until("events after verification", func() bool { return r.events() == 3 })
}

func reasonOf(err error) string {
	if e, ok := errors.AsType[*errs.Error](err); ok {
		return e.Reason
	}
	return ""
}

// Item 51: in the overlap of a rotation receivers with either secret verify every delivery; behind it only the new one.
func TestItem51RotationFailsNobody(t *testing.T) {
	w := newWorld(t)
	r := w.receive(nil)
	at, old := w.endpoint(r.URL)
	s := w.start()
	w.send(s, w.tenant, 100)
	_, secret, err := w.service().Rotate(t.Context(), at, time.Hour)
	w.must(err)
	w.send(s, w.tenant, 100)
	w.until("deliveries", func() bool { return r.events() == 200 })
	both := 0
	r.mu.Lock()
	for id, tries := range r.seen {
		for _, a := range tries {
			first, second := verify(a, old), verify(a, secret)
			if first != nil { // nobody has the new secret before it is shown
				t.Errorf("%s with the old secret: %v", id, first)
			}
			if second == nil {
				both++
			}
		}
	}
	r.seen = map[string][]attempt{}
	r.mu.Unlock()
	if both < 100 {
		t.Errorf("the new secret verifies %d of the 100 sent after the rotation", both)
	}
	w.clock.move(61 * time.Minute)
	w.send(s, w.tenant, 1)
	w.until("a delivery after the overlap", func() bool { return r.events() == 1 })
	a := r.last()
	if len(strings.Fields(a.header.Get("webhook-signature"))) != 2 || a.header.Get("X-SMS-Signature-Previous") != "" {
		t.Errorf("the old secret signs after the overlap: %v", a.header)
	}
}

func TestEventsAreFilteredAndOfTheirTenant(t *testing.T) {
	w := newWorld(t)
	mine, other := w.receive(nil), w.receive(nil)
	at, _ := w.endpoint(mine.URL, "message.delivered")
	w.endpoint(other.URL, "message.expired")
	s := w.start()
	d := delivered(t, w.tenant, 20)
	for range 2 { // again, it is known
		w.must(s.intake.Handle(t.Context(), []eventbus.Delivery{d, delivered(t, uuid.New(), 5)}))
	}
	w.until("20 events", func() bool { return w.states(at)[webhook.Delivered] == 20 })
	if mine.events() != 20 || mine.attempts() != 20 || other.events() != 0 {
		t.Errorf("%d events in %d attempts, %d for the other", mine.events(), mine.attempts(), other.events())
	}
	if text := string(mine.last().body); !strings.Contains(text, `"type":"message.delivered"`) || !strings.Contains(text, `"state":"DELIVERED"`) {
		t.Errorf("body %s", text)
	}
}
