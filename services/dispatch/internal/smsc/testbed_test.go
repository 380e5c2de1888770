package smsc

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/smpp"
)

// patience bounds every wait in these tests.
const patience = 10 * time.Second

const (
	testEntity   = "1701158019811140068"
	testTemplate = "1107160000000000011"
	testHash     = "643606c77b50faade9b80953b40dcc2685529e185d8427fde5c3f3fae23284c1"
)

// testbed is a server on a real socket.
type testbed struct {
	*Server
	t    testing.TB
	addr string
}

func start(t testing.TB, change func(*Knobs)) *testbed {
	t.Helper()
	knobs := DefaultKnobs()
	knobs.ReceiptDelayMS = 0
	if change != nil {
		change(&knobs)
	}
	s, err := New(Config{Accounts: map[string]string{"esme": "secret"}, Knobs: knobs, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // tests that care wait themselves
		s.Shutdown(ctx)
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return &testbed{Server: s, t: t, addr: l.Addr().String()}
}

// change merges knobs while the server runs.
func (b *testbed) change(object string) {
	b.t.Helper()
	k, err := b.Knobs().Merge([]byte(object))
	if err == nil {
		err = b.SetKnobs(k)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// eventually polls until the condition holds.
func (b *testbed) eventually(what string, holds func() bool) {
	b.t.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); !holds(); <-ticker.C {
		if time.Now().After(deadline) {
			b.t.Fatalf("not in time: %s; stats %+v", what, b.Stats())
		}
	}
}

// client is a bound session that keeps what it hears, in order.
type client struct {
	*smpp.Session
	t     testing.TB
	heard chan any // smpp.Result or smpp.Delivery
	hold  bool     // do not respond to deliveries
}

func (b *testbed) config(c *client) smpp.Config {
	return smpp.Config{
		Dial: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", b.addr)
		},
		Bind: smpp.Bind{SystemID: "esme", Password: "secret"},
		OnResults: func(_ *smpp.Session, results []smpp.Result) {
			for _, r := range results {
				c.heard <- r
			}
		},
		OnDeliveries: func(s *smpp.Session, batch []smpp.Delivery) {
			for _, d := range batch {
				c.heard <- d
			}
			if !c.hold {
				_ = s.Respond(smpp.StatusOK, batch) // fails only when the session is gone
			}
		},
	}
}

func (b *testbed) bind(change func(*smpp.Config)) *client {
	b.t.Helper()
	c := &client{t: b.t, heard: make(chan any, 10_000)}
	cfg := b.config(c)
	if change != nil {
		change(&cfg)
	}
	s, err := smpp.Open(b.t.Context(), cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	c.Session = s
	b.t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Close(ctx) // only to free it
	})
	return c
}

func dltTLVs(entity, template, hash string) smpp.TLVs {
	var t smpp.TLVs
	for tag, value := range map[smpp.Tag]string{
		smpp.TagEntityID: entity, smpp.TagTemplateID: template, smpp.TagChainHash: hash,
	} {
		if value != "" {
			t = smpp.AppendTLV(t, tag, value)
		}
	}
	return t
}

var allTLVs = smpp.AppendTLV(smpp.AppendTLV(smpp.AppendTLV(nil,
	smpp.TagEntityID, testEntity), smpp.TagTemplateID, testTemplate), smpp.TagChainHash, testHash)

func message(to, text string) *smpp.SubmitSM {
	return &smpp.SubmitSM{
		Source:       smpp.Address{TON: smpp.TONAlphanumeric, Digits: "ABCBNK"},
		Destination:  smpp.Address{TON: smpp.TONInternational, NPI: smpp.NPIISDN, Digits: to},
		ShortMessage: []byte(text), RegisteredDelivery: smpp.RegisteredFinal, TLVs: allTLVs,
	}
}

func (c *client) submit(tag uint64, sm *smpp.SubmitSM) {
	c.t.Helper()
	if n, err := c.Acquire(c.t.Context(), 1, 0); n != 1 || err != nil {
		c.t.Fatalf("Acquire = %d, %v", n, err)
	}
	if err := c.Submit([]smpp.Submission{{Tag: tag, SM: sm}}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) next() any {
	c.t.Helper()
	select {
	case x := <-c.heard:
		return x
	case <-time.After(patience):
		c.t.Fatal("nothing heard in time")
		return nil
	}
}

func (c *client) result() smpp.Result {
	c.t.Helper()
	r, ok := c.next().(smpp.Result)
	if !ok {
		c.t.Fatal("a delivery came where a result was due")
	}
	return r
}

func (c *client) delivery() smpp.Delivery {
	c.t.Helper()
	d, ok := c.next().(smpp.Delivery)
	if !ok {
		c.t.Fatal("a result came where a delivery was due")
	}
	return d
}

func (c *client) receipt() smpp.Receipt {
	c.t.Helper()
	d := c.delivery()
	r, err := smpp.ParseReceipt(&d.SM, smpp.IST)
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}
