package webhook_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/webhook"
)

// The log is searched by each of its filters and paged without gap or repeat; another tenant finds nothing.
func TestTheLogIsSearchedAndPaged(t *testing.T) {
	w := newWorld(t)
	r := w.receive(nil)
	at, _ := w.endpoint(r.URL)
	s := w.start()
	begin := time.Now()
	for range 3 {
		w.send(s, w.tenant, 7)
	}
	w.until("delivered", func() bool { return w.states(at)[webhook.Delivered] == 21 })
	find := func(change func(*webhook.Search)) []webhook.Delivery {
		q := webhook.Search{Tenant: w.tenant, Env: "live", Limit: 100}
		change(&q)
		found, err := w.store.Deliveries(t.Context(), q)
		w.must(err)
		return found
	}
	all := find(func(*webhook.Search) {})
	waiting, done := webhook.Waiting, webhook.Delivered
	for name, c := range map[string]struct {
		change func(*webhook.Search)
		want   int
	}{
		"all":             {func(*webhook.Search) {}, 21},
		"endpoint":        {func(q *webhook.Search) { q.Endpoint = at.Endpoint }, 21},
		"other endpoint":  {func(q *webhook.Search) { q.Endpoint = uuid.New() }, 0},
		"message":         {func(q *webhook.Search) { q.Message = all[0].Message }, 1},
		"type":            {func(q *webhook.Search) { q.Type = "message.delivered" }, 21},
		"other type":      {func(q *webhook.Search) { q.Type = "message.held" }, 0},
		"pending":         {func(q *webhook.Search) { q.State = &waiting }, 0},
		"delivered":       {func(q *webhook.Search) { q.State = &done }, 21},
		"since":           {func(q *webhook.Search) { q.Start = begin.Add(-time.Second) }, 21},
		"before":          {func(q *webhook.Search) { q.End = begin.Add(-time.Second) }, 0},
		"another's":       {func(q *webhook.Search) { q.Tenant = uuid.New() }, 0},
		"another's place": {func(q *webhook.Search) { q.Env = "test" }, 0},
	} {
		if n := len(find(c.change)); n != c.want {
			t.Errorf("%s: %d found, want %d", name, n, c.want)
		}
	}
	seen := map[uuid.UUID]bool{}
	for last := (webhook.Delivery{}); ; {
		page := find(func(q *webhook.Search) { q.Limit, q.BeforeEvent, q.BeforeEndpoint = 4, last.ID, last.Endpoint })
		if len(page) == 0 {
			break
		}
		for _, d := range page {
			if seen[d.ID] || len(d.Body) == 0 || d.Status != 204 {
				t.Errorf("delivery %+v", d)
			}
			seen[d.ID] = true
		}
		last = page[len(page)-1]
	}
	if len(seen) != 21 {
		t.Errorf("%d on pages", len(seen))
	}
	_, err := w.store.Again(t.Context(), webhook.Place{Tenant: uuid.New(), Env: "live", Endpoint: at.Endpoint}, webhook.Replay{Event: all[0].ID})
	if reasonOf(err) != "WEBHOOK_ENDPOINT_NOT_FOUND" {
		t.Errorf("replay by another: %v", err)
	}
	if _, err := w.store.Again(t.Context(), at, webhook.Replay{Event: all[0].ID}); err != nil {
		t.Fatal(err)
	}
	w.until("replayed", func() bool { return r.attempts() == 22 })
	if r.events() != 21 {
		t.Error("a replay has another id")
	}
}

// An endpoint that is removed gets nothing more; one that is disabled gets what waits once it is enabled.
func TestDisabledAndRemovedEndpointsAreLeftAlone(t *testing.T) {
	w := newWorld(t)
	r := w.receive(nil)
	at, _ := w.endpoint(r.URL)
	_, err := w.service().Disable(t.Context(), at)
	w.must(err)
	s := w.start()
	w.send(s, w.tenant, 3)
	if n := len(w.states(at)); n != 0 {
		t.Errorf("%d states of a disabled endpoint", n)
	}
	_, err = w.service().Enable(t.Context(), at)
	w.must(err)
	w.send(s, w.tenant, 3)
	w.until("enabled", func() bool { return r.events() == 3 })
	w.must(w.service().Remove(t.Context(), at))
	w.send(s, w.tenant, 3)
	if _, err := w.store.Endpoint(t.Context(), at); reasonOf(err) != "WEBHOOK_ENDPOINT_NOT_FOUND" {
		t.Errorf("removed: %v", err)
	}
	if r.events() != 3 {
		t.Errorf("%d events", r.events())
	}
}

// A tenant has a bounded number of endpoints.
func TestEndpointsAreLimited(t *testing.T) {
	w := newWorld(t)
	var err error
	for range 51 {
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = w.service().Create(t.Context(), w.tenant, "live", webhook.Wish{URL: "https://127.0.0.1:9/"})
	}
	if reasonOf(err) != "WEBHOOK_ENDPOINT_LIMIT" {
		t.Errorf("the 51st: %v", err)
	}
	if _, _, err := w.service().Create(t.Context(), w.tenant, "test", webhook.Wish{URL: "https://127.0.0.1:9/"}); err != nil {
		t.Errorf("in the other environment: %v", err)
	}
}
