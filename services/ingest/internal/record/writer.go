package record

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"

	"github.com/onlinesms/onlinesms/services/ingest/internal/caller"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

const (
	flushEvery = 500 * time.Millisecond // reads are durable within a second
	maxWaiting = 16384                  // records in memory; more make their calls wait
	maxWait    = time.Second            // for room in memory; then a record is lost, counted and logged
	maxFlush   = 4096                   // records in a transaction
	maxParcel  = 500                    // records in a parcel
	lastFlush  = 5 * time.Second        // when the writer stops
)

// Publisher takes committed parcels to the bus; it never blocks.
type Publisher interface {
	Publish(parcels ...eventbus.Parcel)
}

// Writer stores the records that no use case has appended to its own transaction. Calls that wait for their record
// share commits.
type Writer struct {
	pool    *pgxpool.Pool
	publish func(...eventbus.Parcel)
	log     *slog.Logger
	now     func() time.Time
	later   chan *Call
	urgent  chan request
	lost    metric.Int64Counter
}

type request struct {
	call *Call
	done chan<- error
}

// NewWriter makes a writer over the pool of the worker role; it works while Run does.
func NewWriter(pool *pgxpool.Pool, publisher Publisher, log *slog.Logger, now func() time.Time) *Writer {
	lost, err := otel.Meter("github.com/onlinesms/onlinesms/services/ingest/internal/record").
		Int64Counter("onlinesms.ingest.audit_records_lost", metric.WithDescription("Records of refused calls and reads that could not be kept"))
	if err != nil {
		otel.Handle(err)
	}
	return &Writer{
		pool: pool, publish: publisher.Publish, log: log, now: now,
		later: make(chan *Call, maxWaiting), urgent: make(chan request), lost: lost,
	}
}

// Begin begins the record of a call; see New.
func (w *Writer) Begin(action string, from caller.Caller) *Call {
	return New(action, from, w.publish, w.now())
}

// Write stores c and returns when it is durable; the error is errs.Unavailable when that cannot be had now. A record
// that a use case has made durable already is left alone.
func (w *Writer) Write(ctx context.Context, c *Call) error {
	if c.durable {
		return nil
	}
	c.renew()
	done := make(chan error, 1)
	select {
	case w.urgent <- request{c, done}:
	case <-ctx.Done():
		return unwritten(ctx.Err())
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return unwritten(ctx.Err())
	}
}

func unwritten(cause error) error {
	return errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "the call could not be recorded; try again", cause)
}

// renew gives a record its id; another one where an appended transaction did not come back with a yes: it may have been
// committed all the same, and what follows is another fact.
func (c *Call) renew() {
	if c.ID == uuid.Nil || c.parcel.ID != uuid.Nil {
		c.ID, c.parcel = newID(), eventbus.Parcel{}
	}
}

// Later stores c within a second. Only when memory is full of records does it wait, at most a second.
func (w *Writer) Later(ctx context.Context, c *Call) {
	if c.durable {
		return
	}
	c.renew()
	select {
	case w.later <- c:
		return
	default:
	}
	patience := time.NewTimer(maxWait)
	defer patience.Stop()
	select {
	case w.later <- c:
	case <-patience.C:
		w.lost.Add(ctx, 1)
		w.log.ErrorContext(ctx, "an audit record is lost", slog.String("action", c.Action), slog.String("outcome", c.Outcome),
			slog.String("reason", c.Reason), slog.String("caller", c.Actor), slog.String("request_id", c.Caller.RequestID))
	}
}

// Run stores records until ctx ends, and then what is left.
func (w *Writer) Run(ctx context.Context) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	var kept []*Call // of a flush that failed
	for {
		select {
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastFlush)
			defer cancel()
			for kept = w.drain(kept); len(kept) > 0; kept = w.drain(nil) {
				if err := w.store(ctx, kept); err != nil {
					w.lost.Add(ctx, int64(len(kept)))
					return err
				}
			}
			return nil
		case first := <-w.urgent:
			kept = w.flush(ctx, w.gather(first), kept)
		case <-tick.C:
			if kept = w.drain(kept); len(kept) > 0 {
				kept = w.flush(ctx, nil, kept)
			}
		}
	}
}

// gather takes all that wait for a commit.
func (w *Writer) gather(first request) []request {
	all := []request{first}
	for len(all) < maxFlush {
		select {
		case next := <-w.urgent:
			all = append(all, next)
		default:
			return all
		}
	}
	return all
}

// drain adds the records that nobody waits for.
func (w *Writer) drain(kept []*Call) []*Call {
	for len(kept) < maxFlush {
		select {
		case c := <-w.later:
			kept = append(kept, c)
		default:
			return kept
		}
	}
	return kept
}

// flush stores both kinds; what nobody waits for is kept when it fails.
func (w *Writer) flush(ctx context.Context, waiting []request, others []*Call) (kept []*Call) {
	calls := others
	for _, r := range waiting {
		calls = append(calls, r.call)
	}
	err := w.store(ctx, calls)
	for _, r := range waiting {
		r.done <- err
	}
	if err != nil {
		w.log.WarnContext(ctx, "audit records not stored", slog.Int("records", len(calls)), slog.String("error", err.Error()))
		return others
	}
	return nil
}

// logOf is whose log a record stands in.
type logOf struct {
	tenant uuid.UUID
	env    string
}

func (w *Writer) store(ctx context.Context, calls []*Call) error {
	byLog := map[logOf][]*Call{}
	for _, c := range calls {
		key := logOf{c.Tenant, c.Env}
		byLog[key] = append(byLog[key], c)
	}
	var parcels []eventbus.Parcel
	for _, of := range byLog {
		for len(of) > 0 {
			n := min(len(of), maxParcel)
			parcel, err := pack(of[:n])
			if err != nil {
				return err
			}
			parcels, of = append(parcels, parcel), of[n:]
		}
	}
	err := postgres.InTx(ctx, w.pool, func(tx pgx.Tx) error { return outbox.Append(ctx, tx, parcels...) })
	if err != nil {
		return unwritten(err)
	}
	w.publish(parcels...)
	return nil
}
