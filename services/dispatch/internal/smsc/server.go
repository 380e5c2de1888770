package smsc

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/smpp"
)

// Config is fixed for the life of a Server. Zero values mean the defaults given.
type Config struct {
	Accounts map[string]string // password by system_id; required
	Knobs    Knobs             // the zero value means DefaultKnobs
	Seed     uint64            // of the randomness behind rates
	Journal  int               // submits kept for GET /messages; default 10,000
	Now      func() time.Time  // default time.Now; delays are measured with it
	Log      *slog.Logger      // default slog.Default; no numbers, no text
}

// Server is the simulated SMSC.
type Server struct {
	now func() time.Time
	log *slog.Logger

	closing chan struct{} // closed by Shutdown
	wake    chan struct{} // capacity 1: something earlier was put on the agenda
	work    sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener
	knobs    Knobs
	rules    ruleTable
	accounts map[string]*account
	conns    map[*conn]struct{}
	bound    uint64 // binds in all
	nextID   uint64
	agenda   agenda[event]
	dirty    []*conn // with output to flush
	tally    tally
	seen     *seenSet
	journal  journal
	attempts map[string]int // refused submits by destination, for Rule.Attempts
	rand     *rand.Rand
	key      []byte // scratch for the digest of a submit
	text     []byte // scratch for the text of a receipt
	tlvs     smpp.TLVs
}

// account is one system_id and what waits for its binds.
type account struct {
	systemID, password string
	receivers          []*conn // binds that take deliver_sm
	turn               int     // whose turn among receivers
	ready              fifo[*delivery]
	pacer              *smpp.Pacer // nil: no throttling
}

// event is something due later: exactly one of its two halves is set.
type event struct {
	delivery *delivery // becomes ready
	answer   *answer   // is sent
}

// idsPerMillisecond separates the ids of one run from those of the next: they
// begin at the start time, and no run accepts more in a millisecond.
const idsPerMillisecond = 100_000

// New returns a Server; call Serve next.
func New(cfg Config) (*Server, error) {
	if len(cfg.Accounts) == 0 {
		return nil, errors.New("smsc: no account")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Server{
		now: cfg.Now, log: cmp.Or(cfg.Log, slog.Default()),
		closing:  make(chan struct{}),
		wake:     make(chan struct{}, 1),
		accounts: map[string]*account{},
		conns:    map[*conn]struct{}{},
		nextID:   uint64(cfg.Now().UnixMilli()) * idsPerMillisecond,
		tally:    tally{refused: map[smpp.Status]uint64{}},
		seen:     newSeenSet(),
		journal:  newJournal(cmp.Or(cfg.Journal, 10_000)),
		attempts: map[string]int{},
		rand:     rand.New(rand.NewPCG(cfg.Seed, 0x736D7363)),
	}
	for id, password := range cfg.Accounts {
		s.accounts[id] = &account{systemID: id, password: password}
	}
	if cfg.Knobs.DeliverWindow == 0 {
		cfg.Knobs = DefaultKnobs()
	}
	return s, s.SetKnobs(cfg.Knobs)
}

// Knobs returns the behaviour now.
func (s *Server) Knobs() Knobs {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.knobs
}

// SetKnobs changes the behaviour from the next PDU on.
func (s *Server) SetKnobs(k Knobs) error {
	if err := k.validate(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.ThrottleTPS != s.knobs.ThrottleTPS {
		for _, a := range s.accounts {
			a.pacer = newThrottle(k.ThrottleTPS, s.now())
		}
	}
	s.knobs, s.rules = k, newRuleTable(k.Rules)
	s.pumpAll()
	return nil
}

func newThrottle(tps int, now time.Time) *smpp.Pacer {
	if tps == 0 {
		return nil
	}
	return smpp.NewPacer(smpp.PacerConfig{Rate: float64(tps), Burst: max(1, tps/10)}, now)
}

// Serve takes connections until Shutdown, and then returns nil.
func (s *Server) Serve(l net.Listener) error {
	if !s.begin(l) {
		return l.Close()
	}
	for {
		nc, err := l.Accept()
		if err != nil {
			select {
			case <-s.closing:
				return nil
			default:
				return err
			}
		}
		s.work.Go(func() { s.serveConn(nc) })
	}
}

// begin reports false when Shutdown came first.
func (s *Server) begin(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closing:
		return false
	default:
	}
	s.listener = l
	s.work.Go(s.runAgenda)
	return true
}

// Shutdown takes no more connections, lets what is due be delivered to those who
// are bound until ctx ends, unbinds all and returns when every connection is
// closed.
func (s *Server) Shutdown(ctx context.Context) {
	s.close()
	s.awaitQuiet(ctx)
	s.unbindAll()
	time.AfterFunc(unbindTime, func() { s.Disconnect("") })
	s.work.Wait()
}

// close begins the shutdown, once.
func (s *Server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closing:
		return
	default:
	}
	close(s.closing)
	if s.listener != nil {
		_ = s.listener.Close() // Serve's Accept reports it
	}
}

// unbindTime is how long peers may take to answer unbind.
const unbindTime = time.Second

// awaitQuiet returns when nothing is on its way to a bound peer, or ctx ends.
func (s *Server) awaitQuiet(ctx context.Context) {
	ticker := time.NewTicker(2 * slotWidth)
	defer ticker.Stop()
	for !s.quiet() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Server) quiet() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) == 0 {
		return true
	}
	busy := s.agenda.size
	for c := range s.conns {
		busy += len(c.outstanding)
	}
	return busy == 0
}

func (s *Server) unbindAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.out = smpp.AppendEmpty(c.out, smpp.CommandUnbind, smpp.StatusOK, c.sequence())
		s.markDirty(c)
	}
	s.flush()
}

// Disconnect closes the connections of a system_id, or all, without unbind, and
// says how many.
func (s *Server) Disconnect(systemID string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for c := range s.conns {
		if systemID == "" || c.account != nil && c.account.systemID == systemID {
			_ = c.nc.Close() // the reader sees it
			n++
		}
	}
	return n
}

// Stats returns the counts.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	shown := s.tally.show(s.now())
	shown.Binds.Total = s.bound
	for c := range s.conns {
		if c.account != nil {
			shown.Binds.Now++
		}
	}
	return shown
}

// Reset forgets counts, duplicates, attempts and the journal; what is on its way
// stays.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tally.reset()
	s.seen = newSeenSet()
	s.journal = newJournal(len(s.journal.entries))
	clear(s.attempts)
}

// Messages returns up to limit accepted submits, newest first, to destinations
// that end in to.
func (s *Server) Messages(to string, limit int) []Submitted {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.journal.last(to, limit)
}

// later puts an event on the agenda. Called with mu held.
func (s *Server) later(delay time.Duration, e event) {
	if first := s.agenda.add(s.now().Add(delay), e); first {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// ackCheck is how often unanswered deliver_sm are looked at.
const ackCheck = 100 * time.Millisecond

// runAgenda does what is due, until Shutdown and the last connection's end.
func (s *Server) runAgenda() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	check := time.NewTicker(ackCheck)
	defer check.Stop()
	for !s.ended() {
		select {
		case <-timer.C:
		case <-s.wake:
		case <-check.C:
			s.resendUnanswered()
		}
		timer.Reset(s.doDue())
	}
}

func (s *Server) ended() bool {
	select {
	case <-s.closing:
	default:
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns) == 0
}

// doDue does what is due and says how long nothing will be.
func (s *Server) doDue() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for list := s.agenda.take(now); list != nil; list = s.agenda.take(now) {
		for _, e := range list {
			if e.answer != nil {
				s.send(e.answer)
			} else {
				e.delivery.account.ready.push(e.delivery)
			}
		}
	}
	s.pumpAll()
	if next, ok := s.agenda.next(); ok {
		return max(0, next.Sub(now))
	}
	return time.Hour // wake says when there is more
}
