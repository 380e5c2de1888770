package delivery

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/inbound"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/route"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/smpp"
)

// bind keeps one leased bind bound and submits on it.
type bind struct {
	t       *term
	route   *route.Route
	lease   Bind
	lanes   *backlog
	pacer   *smpp.Pacer
	burst   int
	wake    chan struct{}
	up      atomic.Bool // a session stands
	leaving atomic.Bool
	quit    chan struct{} // closed by leave

	mu      sync.Mutex
	flights map[uint64]*flight // by tag without its lowest 8 bits
	tag     uint64
	commits int // intents on their way
	settled *sync.Cond
	credit  int  // see account
	paying  bool // bulk has earned a turn
}

// LateFor is how long a late answer is still matched after its submit timed out.
const LateFor = 10 * time.Minute

// settleMargin is how long after its timeout a submit's result may be written down.
const settleMargin = 2 * time.Second

func newBind(t *term, r *route.Route, lease Bind) *bind {
	rate := float64(r.TPS) / float64(r.Binds)
	b := &bind{
		t: t, route: r, lease: lease, lanes: t.lanes[r.Name], wake: make(chan struct{}, 1),
		quit: make(chan struct{}), flights: map[uint64]*flight{}, burst: max(int(rate/10), 10),
	}
	b.pacer = smpp.NewPacer(smpp.PacerConfig{Rate: rate, Burst: b.burst}, t.e.cfg.Now())
	b.settled = sync.NewCond(&b.mu)
	return b
}

// leave ends the bind in good order; its lease is yielded then.
func (b *bind) leave() {
	if b.leaving.CompareAndSwap(false, true) {
		close(b.quit)
	}
}

// run stays bound until ctx ends or the bind is left.
func (b *bind) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-ctx.Done():
		case <-b.quit:
		case <-b.t.fenced:
		}
		cancel()
	}()
	if !b.route.Pair() {
		b.keep(ctx, smpp.Transceiver, b.use)
		return
	}
	var receiver sync.WaitGroup
	receiver.Go(func() {
		b.keep(ctx, smpp.Receiver, func(ctx context.Context, s *smpp.Session) {
			select {
			case <-ctx.Done():
			case <-s.Done():
			}
		})
	})
	b.keep(ctx, smpp.Transmitter, b.use)
	receiver.Wait()
}

// keep stays bound as one kind until ctx ends, and uses each session.
func (b *bind) keep(ctx context.Context, kind smpp.BindKind, use func(context.Context, *smpp.Session)) {
	log := b.t.log.With(slog.String("route", b.route.Name), slog.Int("bind", b.lease.No), slog.Int64("epoch", b.lease.Epoch),
		slog.String("kind", kind.String()))
	_ = smpp.Keep(ctx, smpp.KeepConfig{ // ends with ctx, and only so
		Session:      b.session(kind),
		DrainTimeout: b.t.e.cfg.DrainTimeout,
		OnWait: func(cause error, wait time.Duration) {
			log.Warn("not bound", slog.Any("error", cause), slog.Duration("wait", wait))
		},
	}, func(ctx context.Context, s *smpp.Session) {
		log.Info("bound")
		use(ctx, s)
	})
	log.Info("unbound")
}

// session is the configuration of the bind's sessions of a kind.
func (b *bind) session(kind smpp.BindKind) smpp.Config {
	return smpp.Config{
		Dial: b.dial,
		Bind: smpp.Bind{
			Kind: kind, SystemID: b.route.SystemID, Password: b.route.Password, SystemType: b.route.SystemType,
		},
		Window:          b.route.Window,
		SubmitTimeout:   b.route.SubmitTimeout,
		LateFor:         LateFor,
		EnquireInterval: b.route.EnquireInterval,
		OnResults:       func(_ *smpp.Session, results []smpp.Result) { b.answered(results) },
		OnDeliveries:    b.delivered,
	}
}

func (b *bind) dial(ctx context.Context) (net.Conn, error) {
	if cfg := b.t.tls[b.route.Name]; cfg != nil {
		return (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", b.route.Addr)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", b.route.Addr)
}

// use submits until the session or ctx ends, and then waits for the intents on their way.
func (b *bind) use(ctx context.Context, s *smpp.Session) {
	b.mu.Lock()
	clear(b.flights) // of the session before: nothing can answer them any more
	b.mu.Unlock()
	b.up.Store(true)
	b.t.sessions(b.route.Name)
	b.lanes.watch(b.wake)
	b.pumping(ctx, s)
	b.lanes.unwatch(b.wake)
	b.up.Store(false)
	b.t.sessions(b.route.Name)
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.commits > 0 {
		b.settled.Wait()
	}
}

// answered takes what the session knows about submits: one lock for a batch, one wake of the recorder.
func (b *bind) answered(results []smpp.Result) {
	now := b.t.e.cfg.Now()
	news := make([]Result, 0, len(results))
	var again []*Message
	slow := false
	b.mu.Lock()
	for i := range results {
		r := &results[i]
		f := b.flights[r.Tag>>8]
		if f == nil {
			continue
		}
		f.answer(int(r.Tag&0xFF), r, b.route)
		slow = slow || f.segments[r.Tag&0xFF].kind == throttled
		v := f.judge(now)
		if v.record {
			news = append(news, v.result)
			b.weigh(f.message, &v.result, now)
		}
		if v.again {
			again = append(again, f.message)
		}
		if f.closed() {
			delete(b.flights, r.Tag>>8)
		}
	}
	b.mu.Unlock()
	if slow {
		b.pacer.Throttled(now)
		b.t.e.stats.Throttled.Add(1)
	}
	b.t.note(news...)
	if len(again) > 0 {
		b.lanes.unpop(again)
	}
	nudge(b.wake) // slots are free
}

// unmapped raises an alarm for a code that nobody has mapped, once a route and code in a life: it counts as permanent.
func (b *bind) unmapped(code string) {
	b.t.e.stats.Unmapped.Add(1)
	if _, told := b.t.codes.LoadOrStore(b.route.Name+" "+code, true); !told && code != "" {
		b.t.log.Error("an operator's code is not mapped; add it to the route's codes", slog.String("route", b.route.Name), slog.String("code", code))
	}
}

// weigh counts a submit's outcome for the breaker.
func (b *bind) weigh(m *Message, r *Result, now time.Time) {
	p := m.profile()
	if r.Kind == Submitted || r.Kind == Failed {
		b.t.e.cfg.Breaker.Submitted(p, now)
	}
	if r.Kind == Failed && r.Code != "" && !b.route.Meaning(r.Code).Known {
		b.unmapped(r.Code)
	}
	if r.Kind == Failed && b.t.e.cfg.Breaker.Refused(p, r.Reason, now) {
		b.t.log.Error("the operator keeps refusing a template; it is stopped on this route", slog.String("route", p.Route),
			slog.String("reason", r.Reason), slog.String("code", r.Code))
	}
}

// delivered takes deliver_sm: receipts and messages from handsets, each recorded before it is answered.
func (b *bind) delivered(s *smpp.Session, list []smpp.Delivery) {
	now := b.t.e.cfg.Now()
	receipts, heard := make([]Receipt, 0, len(list)), make([]smpp.Delivery, 0, len(list))
	var parts []inbound.Part
	var said []smpp.Delivery
	for i := range list {
		r, err := smpp.ParseReceipt(&list[i].SM, b.route.Zone())
		if errors.Is(err, smpp.ErrNotReceipt) {
			parts = append(parts, inbound.Read(b.route.Env(), b.route.Name, &list[i].SM, list[i].PDU, now))
			said = append(said, list[i])
			continue
		}
		if err != nil {
			b.t.e.stats.Unreadable.Add(1) // no id: it is kept, parked under the empty one
		}
		receipts, heard = append(receipts, b.receipt(&r, &list[i], now)), append(heard, list[i])
	}
	b.t.e.stats.Receipts.Add(int64(len(receipts)))
	b.t.e.stats.Inbound.Add(int64(len(parts)))
	// A dead session: the SMSC sends again.
	if len(receipts) > 0 {
		b.t.record.hear(receipts, func() { _ = s.Respond(smpp.StatusOK, heard) })
	}
	b.t.listen.hear(parts, func(kept bool) {
		status := smpp.StatusOK
		if !kept {
			status = smpp.StatusRxTemporary
		}
		_ = s.Respond(status, said)
	})
}

// receipt brings an operator's receipt into our terms.
func (b *bind) receipt(r *smpp.Receipt, d *smpp.Delivery, now time.Time) Receipt {
	out := Receipt{
		Route: b.route.Name, OperatorID: b.route.ReceiptID.Canonical(r.ID), State: State(r.State),
		Code: route.AsIs.Canonical(r.Err), Done: r.Done, Received: now, Hash: sha256.Sum256(d.PDU),
		Settled: now.Add(b.route.SubmitTimeout + settleMargin),
	}
	if number := d.SM.Source.Digits; number != "" {
		out.Recipient = b.t.e.cfg.Recipient(b.route.Env(), inbound.Sender(number))
	}
	if out.Recipient != ([16]byte{}) {
		out.Header = inbound.Header(d.SM.Destination.Digits)
	}
	if out.Done.IsZero() {
		out.Done = now
	}
	switch out.State.Outcome() {
	case Expired:
		out.Reason = ReasonOpExpired
	case Undelivered:
		out.Reason = ReasonUndelivered
	}
	if meaning := b.route.Meaning(out.Code); out.Reason != "" && meaning.Known {
		out.Reason = meaning.Reason
	} else if out.Reason != "" && !meaning.Known {
		b.unmapped(out.Code)
	}
	return out
}
