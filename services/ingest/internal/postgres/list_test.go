package postgres_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/ingest/internal/message/messagetest"
)

func TestList(t *testing.T) {
	w := newWorld(t)
	var parcels []message.Parcel
	for range 6 {
		parcels = append(parcels, w.accept(t, tenantA))
		w.now = w.now.Add(time.Second)
	}
	w.accept(t, tenantB)
	w.say(t, parcels[0], message.Event{Kind: message.KindSubmitted})
	w.say(t, parcels[1], message.Event{Kind: message.KindDelivered})
	w.say(t, parcels[2], message.Event{Kind: message.KindHeld})
	w.say(t, parcels[3], message.Event{Kind: message.KindUndelivered})

	query := message.Query{Tenant: tenantA, Env: "live", Start: w.now.Add(-time.Hour), End: w.now, Limit: 100}
	all := w.list(t, query)
	if len(all) != 12 || !slices.IsSortedFunc(all, func(a, b message.Summary) int { return b.Accept.Compare(a.Accept) }) {
		t.Fatalf("%d messages", len(all))
	}
	for _, limit := range []int{1, 5, 12} {
		q := query
		q.Limit = limit
		if got := w.list(t, q); !cmp.Equal(got, all) {
			t.Errorf("pages of %d give %d messages", limit, len(got))
		}
	}
	if m := all[0]; m.ID != parcels[5].Entries[1].ID || m.Header != "ABCBNK" || m.TemplateID != "1107160000000000011" ||
		m.ClientReference != "order-6" || m.Lane != "bulk" || m.Standing.State != message.StateRefused {
		t.Errorf("the newest: %+v", m)
	}
	for state, want := range map[message.State]int{
		message.StateRefused: 6, message.StateDelivered: 1, message.StateSubmitted: 1, message.StateHeld: 1,
		message.StateUndelivered: 1, message.StateAccepted: 2, message.StateUnknown: 0,
	} {
		q := query
		q.State, q.Limit = state, 2
		got := w.list(t, q)
		if len(got) != want || slices.ContainsFunc(got, func(m message.Summary) bool { return m.Standing.State != state }) {
			t.Errorf("state %d: %d messages, want %d", state, len(got), want)
		}
	}
	narrow := query
	narrow.Start, narrow.End = parcels[1].Entries[0].Message.Expire.Add(-time.Hour), w.now.Add(-3*time.Second)
	if got := w.list(t, narrow); len(got) != 4 {
		t.Errorf("%d messages between second 1 and 3, want 4", len(got))
	}
	reference := query
	reference.Reference = "order-3"
	if got := w.list(t, reference); len(got) != 2 || got[0].ClientReference != "order-3" {
		t.Errorf("by reference: %v", got)
	}
	reference.State = message.StateHeld
	if got := w.list(t, reference); len(got) != 1 || got[0].ID != parcels[2].Entries[0].ID {
		t.Errorf("by reference and state: %v", got)
	}
	other := query
	other.Env = "test"
	if got := w.list(t, other); len(got) != 0 {
		t.Errorf("the test environment shows %d live messages", len(got))
	}
}

// list reads all pages.
func (w *world) list(t *testing.T, q message.Query) (all []message.Summary) {
	t.Helper()
	for range 200 {
		page, err := w.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Messages...)
		if q.Before = page.Next; page.Next == uuid.Nil {
			return all
		}
	}
	t.Fatal("the list does not end")
	return nil
}

// A page of a filter that finds nothing near ends all the same, and the pages together find what there is: across the
// steps of a scan, the bounds of a page and of opened parcels.
func TestListFarBack(t *testing.T) {
	w := newWorld(t)
	w.flushes = 1
	f := messagetest.NewFlush(w.now, 1, tenantA)
	f.Parcels = nil
	var all []uuid.UUID
	for i := range 2150 {
		f.Parcels = append(f.Parcels, messagetest.NewFlush(w.now.Add(time.Duration(i)*time.Millisecond), uint16(i), tenantA).Parcels[0])
		for _, e := range f.Parcels[i].Entries {
			e.Message.ClientReference = "one-for-all"
			all = append(all, e.ID)
		}
	}
	if err := w.Accept(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	w.say(t, f.Parcels[7], message.Event{Kind: message.KindHeld})
	query := message.Query{Tenant: tenantA, Env: "live", Start: w.now.Add(-time.Hour), End: w.now.Add(time.Hour), State: message.StateHeld, Limit: 3}
	for _, reference := range []string{"", "one-for-all"} {
		query.Reference = reference
		page, err := w.List(t.Context(), query)
		if err != nil || len(page.Messages) != 0 || page.Next == uuid.Nil {
			t.Errorf("reference %q: the first page has %d messages, next %s, %v", reference, len(page.Messages), page.Next, err)
		}
		if got := w.list(t, query); len(got) != 1 || got[0].ID != f.Parcels[7].Entries[0].ID {
			t.Errorf("reference %q: %v", reference, got)
		}
	}
	query.State, query.Limit = 0, 500
	slices.Reverse(all)
	for _, reference := range []string{"", "one-for-all"} {
		query.Reference = reference
		var got []uuid.UUID
		for _, m := range w.list(t, query) {
			got = append(got, m.ID)
		}
		if diff := cmp.Diff(all, got); diff != "" {
			t.Errorf("reference %q: %s", reference, diff)
		}
	}
}

// Rare messages in large parcels: a page opens a bounded number of them.
func TestListOpensFewParcels(t *testing.T) {
	w := newWorld(t)
	var want []uuid.UUID
	for i := range 50 {
		f := messagetest.NewFlush(w.now.Add(time.Duration(i)*time.Millisecond), uint16(i), tenantA)
		p := &f.Parcels[0]
		for j := 2; j < message.MaxParcel; j++ {
			p.Entries = append(p.Entries, message.Entry{ID: message.IDAt(p.ID, j), Message: p.Entries[0].Message})
		}
		if err := w.Accept(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		want = append(want, p.Entries[1].ID)
	}
	query := message.Query{Tenant: tenantA, Env: "live", Start: w.now.Add(-time.Hour), End: w.now.Add(time.Hour), State: message.StateRefused, Limit: 500}
	page, err := w.List(t.Context(), query)
	if err != nil || len(page.Messages) != 40 || page.Next == uuid.Nil {
		t.Errorf("the first page has %d messages, %v", len(page.Messages), err)
	}
	var got []uuid.UUID
	for _, m := range w.list(t, query) {
		got = append(got, m.ID)
	}
	slices.Reverse(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func BenchmarkList(b *testing.B) {
	w := newWorld(b)
	for i := range 2000 {
		w.now = w.now.Add(time.Millisecond)
		w.flushes = uint16(i)
		w.accept(b, tenantA)
	}
	for _, state := range []message.State{0, message.StateHeld} {
		b.Run(fmt.Sprintf("state=%d", state), func(b *testing.B) {
			q := message.Query{Tenant: tenantA, Env: "live", Start: w.now.Add(-time.Hour), End: w.now.Add(time.Hour), State: state, Limit: 50}
			for b.Loop() {
				if _, err := w.List(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
