package smsc

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/smpp"
)

// call does one request and decodes the answer into want's type.
func call[T any](t *testing.T, h http.Handler, method, target, body string, status int) T {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, strings.NewReader(body)))
	raw, err := io.ReadAll(w.Body)
	if err != nil || w.Code != status {
		t.Fatalf("%s %s: %d %s %v", method, target, w.Code, raw, err)
	}
	var answer T
	if err := json.Unmarshal(raw, &answer); err != nil {
		t.Fatalf("%s %s: %s: %v", method, target, raw, err)
	}
	return answer
}

func TestHTTP(t *testing.T) {
	b := start(t, nil)
	h := b.Handler()
	c := b.bind(nil)
	c.submit(1, message("919876543210", "first"))
	c.submit(2, message("919876543211", "second"))
	b.eventually("acknowledged", func() bool { return b.Stats().Receipts.Acknowledged == 2 })

	stats := call[map[string]any](t, h, "GET", "/stats", "", 200)
	tlv := stats["tlv"].(map[string]any)
	if tlv["all_three"] != 2.0 || stats["distinct"] != 2.0 || stats["totals"].(map[string]any)["submits"] != 2.0 {
		t.Errorf("stats %v", stats)
	}
	list := call[[]Submitted](t, h, "GET", "/messages?limit=1", "", 200)
	if len(list) != 1 || list[0].Text != "second" {
		t.Errorf("messages %+v", list)
	}
	if list = call[[]Submitted](t, h, "GET", "/messages?to=43210", "", 200); len(list) != 1 || list[0].Text != "first" {
		t.Errorf("messages %+v", list)
	}
	if n := call[map[string]int](t, h, "POST", "/mo", `{"from":"919876543210","to":"ABCBNK","text":"STOP"}`, 200); n["segments"] != 1 {
		t.Errorf("mo %v", n)
	}
	call[map[string]string](t, h, "POST", "/mo", `{"from":"1","to":"2","body":"unknown field"}`, 400)
	call[map[string]string](t, h, "GET", "/messages?limit=x", "", 400)
	if s := call[Stats](t, h, "POST", "/reset", "", 200); s.Totals.Submits != 0 {
		t.Errorf("after reset %+v", s)
	}
	if n := call[map[string]int](t, h, "POST", "/disconnect?system_id=esme", "", 200); n["disconnected"] != 1 {
		t.Errorf("disconnect %v", n)
	}
	<-c.Done()
	call[map[string]string](t, h, "GET", "/healthz", "", 200)
}

func TestKnobsOverHTTP(t *testing.T) {
	b := start(t, nil)
	h := b.Handler()
	rules := len(b.Knobs().Rules)
	k := call[Knobs](t, h, "PUT", "/knobs", `{"throttle_tps": 300, "response_id": "padded"}`, 200)
	if k.ThrottleTPS != 300 || k.ResponseID != Padded || !k.RequireTLVs || len(k.Rules) != rules {
		t.Errorf("knobs %+v", k)
	}
	k = call[Knobs](t, h, "PUT", "/knobs", `{"rules": [{"suffix": "1", "stat": "EXPIRED"}]}`, 200)
	if len(k.Rules) != 1 || k.Rules[0].Err != "" || call[Knobs](t, h, "GET", "/knobs", "", 200).Rules[0].Stat != "EXPIRED" {
		t.Errorf("rules %+v", k.Rules)
	}
	for _, bad := range []string{
		`{"no_such_knob": 1}`, `{"error_rate": 2}`, `{"response_id": "roman"}`, `{"receipt_delay_ms": -1}`,
		`{"rules": [{"suffix": "abc"}]}`, `{"rules": [{"suffix": "1", "stat": "GONE"}]}`, `not json`,
	} {
		call[map[string]string](t, h, "PUT", "/knobs", bad, 400)
	}
	if got := b.Knobs(); got.ThrottleTPS != 300 || got.Rules[0].Stat != "EXPIRED" {
		t.Errorf("a refused change left %+v", got)
	}
}

func TestShutdownDrains(t *testing.T) {
	b := start(t, func(k *Knobs) { k.ReceiptDelayMS = 100 })
	c := b.bind(nil)
	c.submit(1, message("919876543210", "x"))
	id := c.result().MessageID
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	b.Shutdown(ctx)
	if r := c.receipt(); r.ID != id {
		t.Errorf("receipt %+v", r)
	}
	<-c.Done()
	if !errors.Is(c.Err(), smpp.ErrUnbound) {
		t.Errorf("session ended with %v, want an unbind", c.Err())
	}
	if s := b.Stats(); s.Receipts.Pending != 0 || s.Binds.Now != 0 {
		t.Errorf("stats %+v", s)
	}
}
