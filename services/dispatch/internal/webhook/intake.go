package webhook

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

// lease is how long a delivery belongs to who has taken it: well above what an attempt may last, below what a
// tenant wants to wait for after a crash of ours.
const lease = time.Minute

// Job is one event for one endpoint, to be sent.
type Job struct {
	Endpoint, Tenant uuid.UUID
	Env              string
	Event
	Attempts int       // made so far
	Before   int       // of these, before the last replay
	Created  time.Time // when it was taken, or replayed
	Due      time.Time // earliest next attempt; while it is held by a replica, the end of its lease
}

// Shelf keeps what is to be sent.
type Shelf interface {
	// Put keeps jobs, each an endpoint's event once: it answers those that were not there. One commit for all.
	Put(ctx context.Context, jobs []*Job) (fresh []*Job, err error)
}

// Intake takes events for the endpoints that want them. It is the eventbus.Handler of durable `webhook`.
type Intake struct {
	directory *Directory
	shelf     Shelf
	engine    *Engine // nil: another process sends
	now       func() time.Time
}

// NewIntake makes an intake; what it takes is handed to engine as far as that has room.
func NewIntake(d *Directory, s Shelf, e *Engine, now func() time.Time) *Intake {
	return &Intake{directory: d, shelf: s, engine: e, now: now}
}

// Handle keeps what the endpoints of a batch's tenants want to know, and returns when it is durable. A repeat finds its
// ids taken. An endpoint that was activated before an event came is known: the directory's version is read after it.
func (in *Intake) Handle(ctx context.Context, batch []eventbus.Delivery) error {
	known, err := in.directory.fresh(ctx)
	if err != nil {
		return err
	}
	if len(known.of) == 0 {
		return nil
	}
	var jobs []*Job
	for i := range batch {
		if jobs, err = in.jobs(jobs, known, &batch[i]); err != nil {
			return err
		}
	}
	if len(jobs) == 0 {
		return nil
	}
	return in.keep(ctx, jobs)
}

// jobs appends one for each event and endpoint that wants it.
func (in *Intake) jobs(jobs []*Job, known *snapshot, d *eventbus.Delivery) ([]*Job, error) {
	shape, ok := shapes[d.Event]
	if !ok {
		return jobs, nil
	}
	views, err := eventbus.Parcels(d.Data)
	if err != nil {
		return nil, err
	}
	var t translator
	now := in.now()
	for i := range views {
		v := &views[i]
		var wanting []*target
		for _, e := range known.of[scope{v.Tenant, d.Env}] {
			if e.Wants(typeOf(shape.state)) {
				wanting = append(wanting, e)
			}
		}
		if len(wanting) == 0 {
			continue
		}
		if err := t.events(d, v, func(event Event) error {
			for _, e := range wanting {
				jobs = append(jobs, &Job{Endpoint: e.ID, Tenant: v.Tenant, Env: d.Env, Event: event, Created: now, Due: now})
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return jobs, nil
}

// keep stores jobs, those for which the engine has room as taken by it.
func (in *Intake) keep(ctx context.Context, jobs []*Job) error {
	if in.engine == nil {
		_, err := in.shelf.Put(ctx, jobs)
		return err
	}
	reserved := map[*Job]bool{}
	for _, j := range jobs {
		if in.engine.reserve(j.Endpoint) {
			reserved[j] = true
			j.Due = j.Due.Add(lease)
		}
	}
	fresh, err := in.shelf.Put(ctx, jobs)
	var mine []*Job
	for _, j := range fresh {
		if reserved[j] {
			mine = append(mine, j)
			delete(reserved, j)
		} else {
			in.engine.waiting(j.Endpoint)
		}
	}
	for j := range reserved { // not stored, or not for the first time
		in.engine.release(j.Endpoint)
	}
	in.engine.take(mine)
	return err
}
