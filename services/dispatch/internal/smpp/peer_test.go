package smpp

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// peer is the SMSC's end of a pipe, driven by the test. Time in these tests is
// synctest's: waits take none.
type peer struct {
	t  *testing.T
	nc net.Conn
	r  *Reader
}

// heard is what a session handed over.
type heard struct {
	mu         sync.Mutex
	results    []Result
	deliveries []Delivery
}

// pipe opens a session on a scripted peer. The session is ended with the test.
func pipe(t *testing.T, change func(*Config)) (*Session, *peer, *heard) {
	t.Helper()
	h := &heard{}
	p, dial := newPeer(t)
	cfg := h.config(dial)
	if change != nil {
		change(&cfg)
	}
	bound := make(chan struct{})
	go func() {
		defer close(bound)
		p.acceptBind(cfg.Bind.Kind, StatusOK)
	}()
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	<-bound
	t.Cleanup(func() {
		_ = p.nc.Close() // ends the session, if the test did not
		<-s.Done()
	})
	return s, p, h
}

func newPeer(t *testing.T) (*peer, func(context.Context) (net.Conn, error)) {
	ours, theirs := net.Pipe()
	dial := func(context.Context) (net.Conn, error) { return ours, nil }
	return &peer{t: t, nc: theirs, r: NewReader(theirs, 0)}, dial
}

func (h *heard) config(dial func(context.Context) (net.Conn, error)) Config {
	return Config{
		Dial: dial, Bind: Bind{SystemID: "esme", Password: "secret"}, Window: 10,
		OnResults: func(_ *Session, results []Result) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.results = append(h.results, results...)
		},
		OnDeliveries: func(_ *Session, batch []Delivery) { h.deliveries = append(h.deliveries, batch...) },
	}
}

func (p *peer) acceptBind(kind BindKind, status Status) {
	frame := p.next()
	resp := BindResp{SystemID: "smsc"}
	b, err := resp.AppendTo(nil, kind, status, ParseHeader(frame).Sequence)
	p.write(mustAppend(p.t, b, err))
}

// next reads one frame from the session.
func (p *peer) next() []byte {
	frame, err := p.r.Next()
	if err != nil {
		p.t.Errorf("peer reads: %v", err)
		return make([]byte, headerLen)
	}
	return frame
}

// expect reads one frame and checks its command and status.
func (p *peer) expect(c CommandID, s Status) Header {
	p.t.Helper()
	h := ParseHeader(p.next())
	if h.Command != c || h.Status != s {
		p.t.Errorf("session sent %v %v, want %v %v", h.Command, h.Status, c, s)
	}
	return h
}

func (p *peer) write(frames []byte) {
	if _, err := p.nc.Write(frames); err != nil {
		p.t.Errorf("peer writes: %v", err)
	}
}

// answer sends a submit_sm_resp and waits until the session has dealt with it.
func (p *peer) answer(seq uint32, status Status, id string) {
	b, err := AppendMessageResp(nil, CommandSubmitSMResp, status, seq, id)
	p.write(mustAppend(p.t, b, err))
	synctest.Wait()
}

func (p *peer) deliver(seq uint32, sm *DeliverSM) {
	b, err := sm.AppendTo(nil, seq)
	p.write(mustAppend(p.t, b, err))
	synctest.Wait()
}

// submit acquires slots and submits one message for each tag.
func submit(t *testing.T, s *Session, tags ...uint64) {
	t.Helper()
	if n := s.TryAcquire(len(tags), 0); n != len(tags) {
		t.Fatalf("%d slots of %d", n, len(tags))
	}
	batch := make([]Submission, len(tags))
	for i, tag := range tags {
		batch[i] = Submission{Tag: tag, SM: testSM()}
	}
	if err := s.Submit(batch); err != nil {
		t.Fatal(err)
	}
}

// only returns the results after the first n, which must be want in number.
func (h *heard) only(t *testing.T, n, want int) []Result {
	t.Helper()
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.results) != n+want {
		t.Fatalf("%d results, want %d: %+v", len(h.results), n+want, h.results)
	}
	return h.results[n:]
}

func wantSlots(t *testing.T, s *Session, free, held, inFlight int) {
	t.Helper()
	if f, h, i := s.Slots(); f != free || h != held || i != inFlight {
		t.Errorf("slots: %d free, %d held, %d in flight; want %d, %d, %d", f, h, i, free, held, inFlight)
	}
}

// after lets the session's time pass.
func after(d time.Duration) {
	timer := time.NewTimer(d)
	<-timer.C
	synctest.Wait()
}
