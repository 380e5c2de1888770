package outbox

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

const (
	// linger gathers published parcels into one deletion. Nobody waits for it: rows matter after 10 s only.
	linger = 50 * time.Millisecond
	// deleteParcels bounds one statement.
	deleteParcels = 5000
	// maxPublished bounds the memory while the database is away; what is dropped is published once more, later.
	maxPublished = 200_000
	// lastDelete bounds the deletion at the end of Run.
	lastDelete = 5 * time.Second
)

// Published takes note that the stream has stored the parcels: their outbox rows will be deleted, in batches. It is the
// Publisher's callback; it does not block.
func (r *Relay) Published(_ context.Context, done []eventbus.Parcel) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range done {
		if len(r.published) < maxPublished {
			r.published = append(r.published, p.ID)
		}
		if r.awaited[p.ID] {
			delete(r.awaited, p.ID)
			if len(r.awaited) == 0 {
				close(r.settled)
			}
		}
	}
	r.signal()
}

// signal says that something is in published.
func (r *Relay) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *Relay) runDelete(ctx context.Context) {
	for r.woken(ctx) && service.Pause(ctx, linger) {
		r.deleteAll(ctx)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastDelete)
	defer cancel()
	r.deleteAll(last)
}

func (r *Relay) woken(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-r.wake:
		return true
	}
}

// deleteAll deletes until nothing is left. After a failure it leaves the rest for a later wake-up.
func (r *Relay) deleteAll(ctx context.Context) {
	for more := true; more; {
		var err error
		if more, err = r.deleteSome(ctx); err != nil {
			if ctx.Err() == nil {
				slog.WarnContext(ctx, "outbox rows not deleted", slog.String("error", err.Error()))
			}
			service.Pause(ctx, r.tick)
			r.signal()
			return
		}
	}
}

// deleteSome deletes the rows of up to deleteParcels published parcels; more tells whether others wait. After an error
// they are put back.
func (r *Relay) deleteSome(ctx context.Context) (more bool, err error) {
	r.mu.Lock()
	n := min(len(r.published), deleteParcels)
	ids := slices.Clone(r.published[:n])
	r.published = slices.Delete(r.published, 0, n)
	r.mu.Unlock()
	if n > 0 {
		err = r.delete(ctx, ids)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.published = append(r.published, ids[:max(0, min(n, maxPublished-len(r.published)))]...)
	}
	return len(r.published) > 0, err
}

// delete is one round trip and one transaction (a batch without BEGIN), which does not wait for the disk.
func (r *Relay) delete(ctx context.Context, ids []uuid.UUID) error {
	slices.SortFunc(ids, compare)
	var batch pgx.Batch
	batch.Queue("SELECT set_config('synchronous_commit', 'off', true)")
	batch.Queue("DELETE FROM outbox WHERE parcel_id = ANY ($1::uuid[])", ids)
	return postgres.Map(r.pool.SendBatch(ctx, &batch).Close())
}
