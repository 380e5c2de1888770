package smpp

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// readBuffer holds some hundreds of PDUs, so that a busy bind needs few reads.
const readBuffer = 256 << 10

// flushTime bounds how long an orderly end waits for the last octets to leave.
const flushTime = time.Second

// Session is one bound connection. All methods are safe for concurrent use.
type Session struct {
	cfg   Config
	conn  net.Conn
	r     *Reader
	w     *Writer
	start time.Time
	peer  BindResp

	quit     chan struct{} // closed by end
	stopping chan struct{} // closed by end or Close: no more slots
	rejected chan struct{} // capacity 1: rejects has entries
	idle     chan struct{} // closed when draining and nothing is in flight
	done     chan struct{} // closed when every result is out

	lastRead atomic.Int64 // time.Duration since start
	handing  sync.Mutex   // held while OnResults runs

	mu         sync.Mutex
	win        window
	scratch    []byte // encoded batch
	seqs       []uint32
	rejects    []Result // never encoded
	deliveries int      // handed over, not responded
	draining   bool
	ended      bool
	cause      error
	counts     Counts
}

// Counts are a session's totals since it was bound.
type Counts struct {
	Submitted, Answered, TimedOut, Late, Unmatched uint64 // submits; Unmatched answers belong to none
	Delivered, Deferred                            uint64 // deliver_sm handed over; answered 0x64
}

// Open dials, binds and starts the session; ctx bounds only that. Errors are a
// *BindError when the peer refuses, else the dialler's or the stream's.
func Open(ctx context.Context, cfg Config) (*Session, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.BindTimeout)
	defer cancel()
	conn, err := cfg.Dial(ctx)
	if err != nil {
		return nil, err
	}
	s := newSession(cfg, conn)
	if err := s.bind(ctx); err != nil {
		_ = conn.Close() // err says more
		return nil, err
	}
	s.run()
	return s, nil
}

func newSession(cfg Config, conn net.Conn) *Session {
	return &Session{
		cfg: cfg, conn: conn, start: time.Now(),
		r:        NewReader(conn, readBuffer),
		w:        NewWriter(conn, cfg.WriteTimeout),
		win:      newWindow(cfg.Window),
		quit:     make(chan struct{}),
		stopping: make(chan struct{}),
		rejected: make(chan struct{}, 1),
		idle:     make(chan struct{}),
		done:     make(chan struct{}),
	}
}

// bind exchanges the bind request and its answer (§2.2.1).
func (s *Session) bind(ctx context.Context) error {
	unhook := context.AfterFunc(ctx, func() { _ = s.conn.SetDeadline(time.Unix(1, 0)) })
	request, err := s.cfg.Bind.AppendTo(nil, s.win.sequence())
	if err != nil {
		return err
	}
	if _, err = s.conn.Write(request); err == nil {
		err = s.awaitBound()
	}
	if !unhook() {
		return errors.Join(ctx.Err(), err) // the deadline set above stays on the connection
	}
	return err
}

// awaitBound reads until the answer to the bind.
func (s *Session) awaitBound() error {
	for {
		frame, err := s.r.Next()
		if err != nil {
			return err
		}
		switch h := ParseHeader(frame); {
		case h.Command == CommandGenericNack,
			h.Command == s.cfg.Bind.Kind.Command().Resp() && h.Status != StatusOK:
			return &BindError{Status: h.Status}
		case h.Command == s.cfg.Bind.Kind.Command().Resp():
			return s.peer.Decode(h.Command, FrameBody(frame))
		}
	}
}

// run starts the session's goroutines; the last one reports what is left.
func (s *Session) run() {
	var wg sync.WaitGroup
	written := make(chan struct{})
	wg.Go(func() {
		defer close(written)
		if err := s.w.Run(); err != nil {
			s.end(err)
		}
	})
	wg.Go(func() { s.end(s.read()) })
	wg.Go(s.tick)
	go func() {
		<-s.quit
		s.w.Stop()
		if errors.Is(s.Err(), ErrClosed) || errors.Is(s.Err(), ErrUnbound) {
			awaitFlush(written)
		}
		_ = s.conn.Close() // the session is over whatever Close says
		wg.Wait()
		s.settle()
		close(s.done)
	}()
}

func awaitFlush(written <-chan struct{}) {
	timer := time.NewTimer(flushTime)
	defer timer.Stop()
	select {
	case <-written:
	case <-timer.C:
	}
}

// end is called with the first cause that ends the session.
func (s *Session) end(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.ended, s.cause = true, cause
	close(s.quit)
	s.stop()
}

// stop ends the giving of slots. Called with mu held.
func (s *Session) stop() {
	select {
	case <-s.stopping:
	default:
		close(s.stopping)
	}
}

// settle reports every submission still without an outcome. Nothing is written
// any more, so the stream position tells what can have been received.
func (s *Session) settle() {
	sent, now := s.w.Sent(), s.age()
	s.mu.Lock()
	list := s.rejects
	s.rejects = nil
	for i, f := range s.win.ring {
		if f.seq == 0 {
			continue
		}
		s.win.ring[i] = flight{}
		s.win.used--
		outcome := Lost
		if f.end > sent {
			outcome = NotSent
		}
		list = append(list, Result{Tag: f.tag, Seq: f.seq, Outcome: outcome, Elapsed: now - f.sent, Err: s.cause})
	}
	s.mu.Unlock()
	s.hand(list)
}

// hand calls OnResults, never twice at once.
func (s *Session) hand(list []Result) {
	if len(list) == 0 {
		return
	}
	s.handing.Lock()
	defer s.handing.Unlock()
	s.cfg.OnResults(s, list)
}

// age is the time since the session began.
func (s *Session) age() time.Duration { return time.Since(s.start) }

// refusal says why no slot is given now, or nil. Called with mu held.
func (s *Session) refusal() error {
	switch {
	case s.ended:
		return ErrClosed
	case s.draining:
		return ErrDraining
	}
	return nil
}

// Done closes when the session has ended and every result has been handed over.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err returns nil while the session lives; then ErrClosed after Close,
// ErrUnbound, ErrSilent, a *LengthError or the stream's error.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause
}

// Peer returns what the SMSC said of itself when it accepted the bind.
func (s *Session) Peer() BindResp { return s.peer }

// Counts returns the totals so far.
func (s *Session) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// Close ends the session in good order: no more slots, what is held or in flight
// is finished, deliveries are responded, then unbind (§4.2). When ctx ends first
// the rest becomes Lost and ctx's error is returned. Close returns after Done.
func (s *Session) Close(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	s.stop()
	s.checkIdle()
	s.mu.Unlock()
	var err error
	select {
	case <-s.idle:
	case <-s.quit:
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.unbind()
	<-s.done
	return err
}

// unbind asks the peer to end and waits a little for its answer.
func (s *Session) unbind() {
	s.mu.Lock()
	seq := s.win.sequence()
	s.mu.Unlock()
	s.reply(AppendEmpty(nil, CommandUnbind, StatusOK, seq))
	timer := time.NewTimer(flushTime)
	defer timer.Stop()
	select {
	case <-s.quit:
	case <-timer.C:
	}
	s.end(ErrClosed)
}

// checkIdle closes idle once draining has nothing to wait for. Called with mu
// held, after each change of what is in flight.
func (s *Session) checkIdle() {
	if !s.draining || s.win.held+s.win.used+s.deliveries > 0 {
		return
	}
	select {
	case <-s.idle:
	default:
		close(s.idle)
	}
}

// reply appends frames that nobody waits for; a dead connection reports itself.
func (s *Session) reply(frames []byte) {
	if len(frames) > 0 {
		_, _ = s.w.Append(frames)
	}
}
