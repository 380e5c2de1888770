package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/smpp"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/smsc"
)

func environment(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func TestOptions(t *testing.T) {
	o, err := parseOptions(
		[]string{"-smpp-addr", "127.0.0.1:0", "-account", "a:b:c", "-knob", "throttle_tps=300", "-knob", "response_id=hex"},
		environment(map[string]string{"SMSCSIM_HTTP_ADDR": "127.0.0.1:1", "SMSCSIM_KNOBS": `{"receipt_delay_ms": 7}`}))
	if err != nil {
		t.Fatal(err)
	}
	k := o.knobs
	if o.smppAddr != "127.0.0.1:0" || o.httpAddr != "127.0.0.1:1" || len(o.accounts) != 1 || o.accounts["a"] != "b:c" ||
		k.ThrottleTPS != 300 || k.ResponseID != smsc.Hex || k.ReceiptDelayMS != 7 || !k.RequireTLVs {
		t.Errorf("options %+v", o)
	}
	o, err = parseOptions(nil, environment(map[string]string{"SMSCSIM_ACCOUNTS": "x:1,y:2"}))
	if err != nil || len(o.accounts) != 2 || o.accounts["y"] != "2" {
		t.Errorf("accounts %v, %v", o.accounts, err)
	}
	for _, bad := range [][]string{{"-knob", "error_rate=2"}, {"-knob", "x"}, {"-account", "nobody"}, {"extra"}} {
		if _, err := parseOptions(bad, environment(nil)); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}

// TestRun starts the real thing on free ports, binds, asks for its health, and
// stops it: the session sees an unbind.
func TestRun(t *testing.T) {
	o, err := parseOptions([]string{"-smpp-addr", "127.0.0.1:0", "-http-addr", "127.0.0.1:0"}, environment(nil))
	if err != nil {
		t.Fatal(err)
	}
	o.readyFile = filepath.Join(t.TempDir(), "ready.json")
	ctx, stop := context.WithCancel(t.Context())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, o, in) }()
	var printed, written addresses
	if err := json.NewDecoder(out).Decode(&printed); err != nil {
		t.Fatal(err)
	}
	s, err := smpp.Open(t.Context(), smpp.Config{
		Dial: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", printed.SMPP)
		},
		Bind:         smpp.Bind{SystemID: "onlinesms", Password: "secret"},
		OnResults:    func(*smpp.Session, []smpp.Result) {},
		OnDeliveries: func(*smpp.Session, []smpp.Delivery) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := checkHealth(t.Context(), strings.TrimPrefix(printed.HTTP, "http://")); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	<-s.Done()
	if !errors.Is(s.Err(), smpp.ErrUnbound) {
		t.Errorf("session ended with %v", s.Err())
	}
	raw, err := os.ReadFile(o.readyFile)
	if err != nil || json.Unmarshal(raw, &written) != nil || written != printed {
		t.Errorf("ready file %s, %v, want %+v", raw, err, printed)
	}
}
