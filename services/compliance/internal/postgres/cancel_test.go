package postgres_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	store "github.com/onlinesms/onlinesms/services/compliance/internal/postgres"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

const env = "live"

// bulk is an accepted parcel of n messages with one outcome each.
func bulk(tenant uuid.UUID, now time.Time, decisions ...policy.Decision) screening.Screened {
	p := screening.Screened{Pack: "p", At: now}
	p.ID = screening.Accepted(newID())
	p.Tenant, p.Correlation, p.Env, p.Lane = tenant, p.ID, env, "bulk"
	for i, d := range decisions {
		id := p.ID
		id[15] = byte(i)
		m := screening.Message{ID: id, EntityID: "1701158019811140068", Header: "ABCBNK", TemplateID: "1107160000000000011", Content: []byte("sealed")}
		if d.Outcome == policy.Held {
			m.Schedule = d.Due.UnixMicro()
		}
		p.Messages, p.Verdicts = append(p.Messages, m), append(p.Verdicts, screening.Verdict{Decision: d})
	}
	return p
}

var (
	clear  = policy.Decision{Outcome: policy.Cleared}
	refuse = policy.Decision{Outcome: policy.Refused, Reasons: []policy.Reason{policy.R(policy.HeaderNotFound)}}
)

func heldUntil(due time.Time) policy.Decision {
	return policy.Decision{Outcome: policy.Held, Due: due, Reasons: []policy.Reason{policy.R(policy.Scheduled)}}
}

// told counts how often each message's event was published.
func told(t *testing.T, p *published, event string) map[uuid.UUID]int {
	t.Helper()
	n := map[uuid.UUID]int{}
	for _, parcel := range p.all() {
		name, _, _, _ := eventbus.ParseSubject(parcel.Subject)
		if name != "onlinesms.compliance.v1."+event {
			continue
		}
		// All parcels of messages have them, with their id first, in field 5.
		for _, m := range unmarshal(t, parcel.Payload, &compliancev1.CancelledParcel{}).GetMessages() {
			n[uuid.UUID(m.GetMessageId())]++
		}
	}
	return n
}

func record(t *testing.T, s *store.Store, screened ...screening.Screened) {
	t.Helper()
	if err := s.Record(t.Context(), screened); err != nil {
		t.Fatal(err)
	}
}

func cancel(t *testing.T, s *store.Store, p screening.Screened, i int) screening.Withdrawal {
	t.Helper()
	w, err := s.Cancel(t.Context(), p.Tenant, p.Env, p.Lane, p.Messages[i].ID, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestCancelBeforeTheDecision(t *testing.T) {
	s, p, _ := open(t)
	parcel := bulk(uuid.New(), time.Now(), clear, clear)
	for range 2 { // a repeat is harmless
		if w := cancel(t, s, parcel, 0); !w.Cancelled {
			t.Fatalf("%+v", w)
		}
	}
	record(t, s, parcel)
	gone, cleared := told(t, p, "MessagesCancelled"), told(t, p, "MessagesCleared")
	if len(gone) != 1 || gone[parcel.Messages[0].ID] != 1 || len(cleared) != 1 || cleared[parcel.Messages[1].ID] != 1 {
		t.Errorf("cancelled %v, cleared %v", gone, cleared)
	}
	if found, err := s.Decisions(t.Context(), parcel.Tenant, env, parcel.Messages[1].ID); err != nil || len(found) != 1 {
		t.Error(found, err)
	}
}

func TestCancelWhatIsHeld(t *testing.T) {
	s, p, d := open(t)
	now := time.Now()
	parcel := bulk(uuid.New(), now, heldUntil(now.Add(time.Hour)), heldUntil(now.Add(time.Hour)), refuse)
	record(t, s, parcel)
	for i := range 2 {
		for range 2 {
			if w := cancel(t, s, parcel, i); !w.Cancelled {
				t.Fatalf("%+v", w)
			}
		}
	}
	if w := cancel(t, s, parcel, 2); w.Cancelled || w.Latest.Outcome != policy.Refused {
		t.Errorf("%+v", w)
	}
	if gone := told(t, p, "MessagesCancelled"); len(gone) != 2 || gone[parcel.Messages[0].ID] != 1 || gone[parcel.Messages[1].ID] != 1 {
		t.Errorf("cancelled %v", gone)
	}
	var holds int
	if err := d.DB.Worker.QueryRow(t.Context(), `SELECT count(*) FROM holds`).Scan(&holds); err != nil || holds != 0 {
		t.Error(holds, err)
	}
}

func TestCancelWhatIsCleared(t *testing.T) {
	s, p, _ := open(t)
	parcel := bulk(uuid.New(), time.Now(), clear)
	record(t, s, parcel)
	w := cancel(t, s, parcel, 0)
	if out := p.all(); w.Cancelled || len(out) != 1 || w.Latest.Parcel != out[0].ID {
		t.Fatalf("%+v, published %v", w, out)
	}
	// Dispatch gives back what it was too late to withdraw: then it ends here, and its sender is told.
	again := bulk(parcel.Tenant, time.Now(), heldUntil(time.Now().Add(time.Hour)))
	again.ID, again.Messages, again.Verdicts[0].Round = newID(), parcel.Messages, 1
	record(t, s, again)
	if gone := told(t, p, "MessagesCancelled"); gone[parcel.Messages[0].ID] != 1 {
		t.Errorf("cancelled %v", gone)
	}
}

// TestCancelRacesTheDecision: of both, exactly one has its way, and the answer says which.
func TestCancelRacesTheDecision(t *testing.T) {
	s, p, _ := open(t)
	parcels := make([]screening.Screened, 40)
	answers := make([]screening.Withdrawal, len(parcels))
	var wg sync.WaitGroup
	for i := range parcels {
		parcels[i] = bulk(uuid.New(), time.Now(), clear)
		wg.Go(func() { record(t, s, parcels[i]) })
		wg.Go(func() { answers[i] = cancel(t, s, parcels[i], 0) })
	}
	wg.Wait()
	gone, cleared := told(t, p, "MessagesCancelled"), told(t, p, "MessagesCleared")
	for i, parcel := range parcels {
		id, want := parcel.Messages[0].ID, 0
		if answers[i].Cancelled {
			want = 1
		}
		if gone[id] != want || cleared[id] != 1-want {
			t.Errorf("answer %+v, cancelled %d times, cleared %d times", answers[i], gone[id], cleared[id])
		}
	}
}

func TestCancelScheduled(t *testing.T) {
	s, p, _ := open(t)
	now := time.Now().Truncate(time.Second)
	tenant := uuid.New()
	var parcels []screening.Screened
	for i := range 120 { // more than two pages of holds
		parcels = append(parcels, bulk(tenant, now, heldUntil(now.Add(time.Duration(i+1)*time.Hour)), clear))
	}
	other := bulk(uuid.New(), now, heldUntil(now.Add(time.Hour)))
	parcels[3].Messages[0].Header = "OTHER1"
	record(t, s, append(parcels, other)...)
	q := screening.Scheduled{Tenant: tenant, Env: env, Header: "ABCBNK", Start: now.Add(2 * time.Hour), End: now.Add(102 * time.Hour)}
	n, more, err := s.CancelScheduled(t.Context(), q, now)
	if err != nil || n != 99 || more {
		t.Fatalf("%d %v %v", n, more, err)
	}
	if n, _, err = s.CancelScheduled(t.Context(), q, now); err != nil || n != 0 {
		t.Errorf("again: %d %v", n, err)
	}
	if n, _, err = s.CancelScheduled(t.Context(), screening.Scheduled{Tenant: tenant, Env: env}, now); err != nil || n != 21 {
		t.Errorf("the rest: %d %v", n, err)
	}
	gone := told(t, p, "MessagesCancelled")
	if len(gone) != 120 || gone[other.Messages[0].ID] != 0 {
		t.Errorf("%d told", len(gone))
	}
}
