package delivery

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/route"
)

const (
	unboundGrace = 15 * time.Second // a route without a session for so long is not usable
	returnDelay  = time.Minute      // what is given back for want of a bind is due after it
)

// routable tells whether a route can be chosen now.
func (t *term) routable(r *route.Route) bool { return t.usable(r.Name) }

// assign chooses the route whose binds' holder owns a parcel: of its messages each goes by its own, see queue. One whose
// route is bound elsewhere is handed over.
func (t *term) assign(p *Parcel) {
	r := t.routes.Choose(&route.Traffic{Env: p.Env}, t.routable)
	if r == nil {
		p.Route = "" // no route of this environment: given back at once
		return
	}
	p.Route = r.Name
	p.HandedOver = !t.usable(r.Name)
}

// remember makes parcels known as this term's from before they are owned until they need no more work.
func (t *term) remember(parcels ...*Parcel) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range parcels {
		if t.parcels[p.ID] == nil { // the same event once more must not displace what is at work
			t.parcels[p.ID] = p
		}
	}
}

// forget undoes remember; another Parcel of the same id stays.
func (t *term) forget(p *Parcel) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.parcels[p.ID] == p {
		delete(t.parcels, p.ID)
	}
}

func (t *term) knows(id uuid.UUID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.parcels[id] != nil
}

// enqueue makes parcels durable and queues the new ones. Until it is known which are, all are remembered: when the
// commit's answer is lost, none is, and stray finds those that were committed.
func (t *term) enqueue(ctx context.Context, parcels []*Parcel) error {
	t.remember(parcels...)
	fresh, err := t.e.cfg.Queue.Enqueue(ctx, t.id, parcels)
	if errors.Is(err, ErrFenced) {
		t.fence()
		err = errNotTaking
	}
	taken := make(map[*Parcel]bool, len(fresh))
	for _, p := range fresh {
		if err == nil && !p.HandedOver {
			taken[p] = true
			p.Start(len(p.Messages))
		}
	}
	for _, p := range parcels {
		if !taken[p] {
			t.forget(p)
		}
	}
	if err != nil {
		return err
	}
	for _, p := range fresh {
		if taken[p] {
			t.queue(p, p.Messages)
		}
	}
	return nil
}

// queue puts messages of a parcel this replica owns into their lane; the parcel's count has been started.
func (t *term) queue(p *Parcel, open []*Message) {
	t.e.stats.Taken.Add(int64(len(open)))
	if t.routes.Choose(&route.Traffic{Env: p.Env}, t.routable) == nil {
		t.giveBack(open)
		return
	}
	ready := map[string][]*Message{}
	for _, m := range open {
		if m.Unreadable != "" {
			t.note(Result{Message: m, Kind: Failed, At: t.e.cfg.Now(), Reason: m.Unreadable})
			continue
		}
		rt := t.routes.Choose(m.traffic(), t.routable)
		if rt == nil { // routes there are, but none takes its class: an operator would refuse it
			t.note(Result{Message: m, Kind: Failed, At: t.e.cfg.Now(), Reason: ReasonNoRoute})
			continue
		}
		m.Route = rt.Name
		m.tlvs = t.lanes[rt.Name].tlvs(rt.Profile(), m)
		ready[rt.Name] = append(ready[rt.Name], m)
	}
	for name, list := range ready {
		t.lanes[name].push(list...)
	}
}

// traffic is what a message's route is chosen by.
func (m *Message) traffic() *route.Traffic {
	return &route.Traffic{Env: m.Parcel.Env, Category: m.Category, Entity: m.Entity, Header: m.Header, To: m.To,
		Key: binary.BigEndian.Uint32(m.ID[12:])}
}

// giveBack returns messages that no bind can take for a while.
func (t *term) giveBack(messages []*Message) {
	now := t.e.cfg.Now()
	for _, m := range messages {
		t.note(Result{Message: m, Kind: Returned, At: now, Reason: ReasonUnavailable, Due: now.Add(returnDelay)})
	}
}

// note records results and counts them.
func (t *term) note(results ...Result) {
	for i := range results {
		t.e.stats.count(results[i].Kind)
	}
	t.record.add(results...)
}

func (s *Stats) count(k Kind) {
	switch k {
	case Submitted:
		s.Submitted.Add(1)
	case Failed:
		s.Failed.Add(1)
	case Unknown:
		s.Unknown.Add(1)
	case Returned:
		s.Returned.Add(1)
	case Expired:
		s.Expired.Add(1)
	case Released, Retried:
		s.Released.Add(1)
	}
}

// usable tells whether this replica has a session of the route, or had one a moment ago and still holds its lease.
func (t *term) usable(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, ever := t.bound[name]
	if !ever || len(t.binds[name]) == 0 {
		return false
	}
	return at.IsZero() || t.e.cfg.Now().Sub(at) < unboundGrace
}

func (t *term) anyUsable() bool {
	for name := range t.lanes {
		if t.usable(name) {
			return true
		}
	}
	return false
}

// admits tells whether a lane may take more, or answers a channel that closes when that may have changed.
func (t *term) admits(lane Lane) (open bool, room <-chan struct{}) {
	if !t.anyUsable() {
		return false, nil
	}
	for name, b := range t.lanes {
		if t.usable(name) {
			if room := b.full(lane); room != nil {
				return false, room
			}
		}
	}
	return true, nil
}

// sessions keeps count of a route's sessions: bound is zero time while there is one, else when the last one ended.
func (t *term) sessions(name string) {
	t.mu.Lock()
	up := false
	for _, b := range t.binds[name] {
		up = up || b.up.Load()
	}
	if up {
		t.bound[name] = time.Time{}
	} else if at, ever := t.bound[name]; ever && at.IsZero() {
		t.bound[name] = t.e.cfg.Now()
	}
	t.mu.Unlock()
	t.e.mu.Lock()
	t.e.tell()
	t.e.mu.Unlock()
}

// unboundFor is how long a route has had no session here; for one that never had, as long as it takes.
func (t *term) unboundFor(name string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, ever := t.bound[name]
	if !ever {
		return 2 * unboundGrace
	}
	if at.IsZero() {
		return 0
	}
	return t.e.cfg.Now().Sub(at)
}
