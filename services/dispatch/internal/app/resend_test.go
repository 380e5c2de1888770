package app

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
	store "github.com/onlinesms/onlinesms/services/dispatch/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// A message in doubt goes out again only when its own tenant asks, not before its answer is given up, and once: it is
// given back to be decided anew.
func TestUnknownIsSentAgainOnlyOnRequest(t *testing.T) {
	w := newWorld(t, nil)
	r := w.start(w.oneRoute(), nil)
	p := w.cleared(delivery.Interactive, "99955507", texts(1)...) // neither response nor receipt
	w.take(r, p)
	w.all(ids(p), "Unknown")
	id := p.Messages[0].ID
	at := func(now time.Time) *store.Store {
		return store.New(w.db.DB.Worker, w.publish, recipientOf, newID, func() time.Time { return now })
	}
	now, later := at(time.Now()), at(time.Now().Add(delivery.LateFor+time.Minute))
	for name, c := range map[string]struct {
		store   *store.Store
		tenant  uuid.UUID
		env     string
		message uuid.UUID
		reason  string
	}{
		"too early":           {now, p.Tenant, "test", id, "RESEND_TOO_EARLY"},
		"another tenant":      {later, uuid.New(), "test", id, "MESSAGE_NOT_IN_DOUBT"},
		"another environment": {later, p.Tenant, "live", id, "MESSAGE_NOT_IN_DOUBT"},
		"another message":     {later, p.Tenant, "test", uuid.New(), "MESSAGE_NOT_IN_DOUBT"},
	} {
		err := c.store.Resend(t.Context(), c.tenant, c.env, c.message)
		if e, ok := errors.AsType[*errs.Error](err); !ok || e.Reason != c.reason {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := later.Resend(t.Context(), p.Tenant, "test", id); err != nil {
		t.Fatal(err)
	}
	if err := later.Resend(t.Context(), p.Tenant, "test", id); errs.KindOf(err) != errs.Exists {
		t.Errorf("twice: %v", err)
	}
	w.all(ids(p), "Returned")
	o := w.outcome(id)
	if o.Reason.GetCode() != "RESEND_REQUESTED" || uuid.UUID(o.ClearedParcelId) != p.ID || o.Round != 1 {
		t.Errorf("returned: %v", o)
	}
	w.once(1) // not by us: compliance clears it anew
}
