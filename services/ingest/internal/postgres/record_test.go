package postgres_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/ingest/internal/message/messagetest"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

func TestGet(t *testing.T) {
	w := newWorld(t)
	p := w.accept(t, tenantA)
	w.say(t, p, message.Event{Kind: message.KindDelivered, Segments: 1, Encoding: "GSM7"})
	w.say(t, p, message.Event{Kind: message.KindCleared})
	d, err := w.Get(t.Context(), tenantA, "live", p.Entries[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if d.Standing.State != message.StateDelivered || len(d.Events) != 2 || string(d.Content) != "sealed 0" ||
		d.EntityID != "1701158019811140068" || d.Header != "ABCBNK" || d.Lane != "bulk" || !d.Expire.Equal(p.Entries[0].Message.Expire.Truncate(time.Microsecond)) {
		t.Errorf("%+v", d)
	}
	refused, err := w.Get(t.Context(), tenantA, "live", p.Entries[1].ID)
	if err != nil || refused.Standing.State != message.StateRefused || refused.Events[0].Reasons[0].Code != "RECIPIENT_INVALID" {
		t.Errorf("%+v, %v", refused, err)
	}
	for name, c := range map[string]struct {
		tenant uuid.UUID
		env    string
		id     uuid.UUID
	}{
		"another tenant":      {tenantB, "live", p.Entries[0].ID},
		"another environment": {tenantA, "test", p.Entries[0].ID},
		"another index":       {tenantA, "live", message.IDAt(p.ID, 2)},
		"another day":         {tenantA, "live", uuid.Must(uuid.Parse("00000000-0000-7000-8000-000000000000"))},
		"not a UUIDv7":        {tenantA, "live", uuid.Max},
	} {
		if _, err := w.Get(t.Context(), c.tenant, c.env, c.id); errs.KindOf(err) != errs.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Contents made from variables are kept when they are cleared; those of messages sent by text are not stored twice.
func TestRenderedContents(t *testing.T) {
	w := newWorld(t)
	for _, byVariables := range []bool{true, false} {
		w.flushes++
		f := messagetest.NewFlush(w.now, w.flushes, tenantA)
		if p := &f.Parcels[0]; byVariables {
			p.Entries[1].Message.Variables = []message.Variable{{Value: "482913"}}
		}
		if err := w.Accept(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		c := chunk(f.Parcels[0], message.Event{Kind: message.KindCleared, Index: 1})
		c.Rendered = []message.Rendered{{Index: 1, Content: []byte("rendered")}}
		if err := w.Record(t.Context(), []message.Chunk{c}); err != nil {
			t.Fatal(err)
		}
		d, err := w.Get(t.Context(), tenantA, "live", f.Parcels[0].Entries[1].ID)
		if err != nil || (string(d.Rendered) == "rendered") != byVariables {
			t.Errorf("by variables %v: rendered %q, %v", byVariables, d.Rendered, err)
		}
		if d, err := w.Get(t.Context(), tenantA, "live", f.Parcels[0].Entries[0].ID); err != nil || d.Rendered != nil {
			t.Errorf("the message beside it has content %q, %v", d.Rendered, err)
		}
	}
}

func TestRecordOnceAndUpward(t *testing.T) {
	w := newWorld(t)
	p := w.accept(t, tenantA)
	id := p.Entries[0].ID
	state := func() (s message.Standing) {
		t.Helper()
		err := w.db.DB.Worker.QueryRow(t.Context(), `SELECT coalesce(final_round, 0), coalesce(final_state, 0) FROM messages WHERE message_id = $1`, id).
			Scan(&s.Round, &s.State)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for i, step := range []struct {
		event message.Event
		want  message.Standing
	}{
		{message.Event{Kind: message.KindSubmitted}, message.Standing{}},
		{message.Event{Kind: message.KindExpired}, message.Standing{State: message.StateExpired}},
		{message.Event{Kind: message.KindDelivered}, message.Standing{State: message.StateDelivered}},
		{message.Event{Kind: message.KindUndelivered}, message.Standing{State: message.StateDelivered}},
		{message.Event{Kind: message.KindRefused, Round: 1}, message.Standing{Round: 1, State: message.StateRefused}},
	} {
		if w.say(t, p, step.event); state() != step.want {
			t.Errorf("after step %d: %+v, want %+v", i, state(), step.want)
		}
	}
	// The same event parcel again, in a batch with a new one and with two final states for one message.
	both := chunk(p, message.Event{Kind: message.KindFailed, Round: 2})
	both.Final = append(both.Final, message.Finish{ID: id, Standing: message.Standing{Round: 2, State: message.StateDelivered}})
	for range 2 {
		if err := w.Record(t.Context(), []message.Chunk{both}); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.count(t, "message_events"); n != 7 || state() != (message.Standing{Round: 2, State: message.StateDelivered}) {
		t.Errorf("%d rows, want 7 (one is ingest's own); %+v", n, state())
	}
	// Another tenant's event of the same ids changes nothing.
	stranger := p
	stranger.Tenant = tenantB
	w.say(t, stranger, message.Event{Kind: message.KindDelivered, Round: 3})
	if got := state(); got.Round != 2 {
		t.Errorf("another tenant moved the message to %+v", got)
	}
}
