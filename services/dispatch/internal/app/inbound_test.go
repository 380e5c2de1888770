package app

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/api"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/inbound"
	store "github.com/onlinesms/onlinesms/services/dispatch/internal/postgres"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/smpp"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/smsc"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/principal"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

// entries are the inbound messages that were told.
func (w *world) entries() []*dispatchv1.InboundEntry {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.said)
}

func (w *world) wishesOf(tenant uuid.UUID) []*dispatchv1.ReceivedOptOut {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.wishes[tenant])
}

// inject lets a handset write.
func (w *world) inject(from, to, text string) {
	w.t.Helper()
	if _, err := w.sim.Inject(smsc.Inbound{From: from, To: to, Text: text, SystemID: "test"}); err != nil {
		w.t.Fatal(err)
	}
}

// X06: a deliver_sm with esm_class 0 and text STOP is no receipt: it is the recipient's wish, told to every tenant that
// sent by the header, and answered after that is durable.
func TestX06StopIsAWishOfEveryOwnerOfTheHeader(t *testing.T) {
	w := newWorld(t, nil)
	r := w.start(w.oneRoute(), nil)
	first, second := w.cleared(delivery.Interactive, "", texts(1)...), w.cleared(delivery.Interactive, "99955517", texts(1)...)
	w.take(r, first)
	w.all(ids(first), "Delivered")
	w.take(r, second) // its handset answers STOP
	w.all(ids(second), "Delivered")
	w.eventually("both tenants are told", func() bool { return len(w.wishesOf(first.Tenant)) == 1 && len(w.wishesOf(second.Tenant)) == 1 })
	wish := w.wishesOf(second.Tenant)[0]
	if wish.Scope != "header" || wish.Source != "keyword" || wish.ObjectId != header || !strings.Contains(string(wish.RecipientIndex), "99955517") {
		t.Errorf("the wish: %v", wish)
	}
	w.eventually("told and answered", func() bool { return len(w.entries()) == 1 && w.sim.Stats().Inbound.Pending == 0 })
	said := w.entries()[0]
	if said.Action != "STOP" || said.To != header || !strings.Contains(said.From, "XXXXXX") || said.Route != "sim" || said.Parts != 1 {
		t.Errorf("told: %v", said)
	}
	if n := w.rows("parked_receipts"); n != 0 {
		t.Errorf("%d receipts parked: the wish was taken for one", n)
	}
}

// A long text in Hindi comes in parts and is one message of the tenant the address is configured for; what it says is
// read as it was written. The same part again is not a second message.
func TestInboundInPartsIsOneMessage(t *testing.T) {
	w := newWorld(t, nil)
	tenant := uuid.New()
	routes := strings.Replace(w.oneRoute(), "{name: sim,", "{name: sim, inbound: [{to: \"56161\", tenant: "+tenant.String()+"}],", 1)
	r := w.start(routes, nil)
	w.take(r, w.cleared(delivery.OTP, "", texts(1)...)) // bound, once the gate opens
	text := strings.Repeat("मुझे यह ऑफ़र पसंद नहीं 😀 ", 12)
	w.inject("919876543210", "56161", text)
	w.inject("919876543210", "56161", "बंद करें")
	w.eventually("two messages", func() bool { return len(w.entries()) == 2 })
	reader := store.NewInboundReader(w.db.DB)
	list, err := reader.List(t.Context(), inbound.Query{
		Tenant: tenant, Env: "test", Start: time.Now().Add(-time.Hour), End: time.Now().Add(time.Hour), Limit: 10,
	})
	if err != nil || len(list) != 2 {
		t.Fatalf("%d messages, %v", len(list), err)
	}
	letters := inbound.NewLetters(plain{}, nil)
	found := map[string]inbound.Message{}
	for i := range list {
		from, text, err := letters.Read(t.Context(), &list[i])
		if err != nil || from != "+919876543210" {
			t.Errorf("from %q, %v", from, err)
		}
		found[text] = list[i]
	}
	if m, ok := found[text]; !ok || m.Parts < 2 || m.Incomplete || m.Action != "" {
		t.Errorf("the long message is not among %d: %+v", len(found), m)
	}
	if m := found["बंद करें"]; m.Action != inbound.Stop || m.Parts != 1 {
		t.Errorf("the wish: %+v", m)
	}
	if got := w.wishesOf(tenant); len(got) != 1 || got[0].ObjectId != "56161" {
		t.Errorf("wishes %v", got)
	}
	if others, err := reader.List(t.Context(), inbound.Query{Tenant: uuid.New(), Env: "test", Start: time.Now().Add(-time.Hour), End: time.Now().Add(time.Hour), Limit: 10}); err != nil || len(others) != 0 {
		t.Errorf("another tenant sees %d messages, %v", len(others), err)
	}
}

// While messages from handsets cannot be kept, the operator is told to send them again, and does: nothing is lost.
func TestInboundIsNotAnsweredBeforeItIsDurable(t *testing.T) {
	w := newWorld(t, func(k *smsc.Knobs) { k.RetryDelayMS = 20 })
	s := store.New(w.db.DB.Worker, w.publish, recipientOf, newID, time.Now)
	gate := &gated{Inbound: w.receiver(s, w.routes(w.oneRoute())), open: make(chan struct{})}
	r := w.start(w.oneRoute(), func(c *delivery.Config) { c.Inbound = gate })
	p := w.cleared(delivery.OTP, "", texts(1)...)
	w.take(r, p)
	w.all(ids(p), "Delivered")
	w.inject("919876543210", header, "Hello")
	w.eventually("it was handed over", func() bool { return w.sim.Stats().Inbound.Sent > 0 })
	if n := w.sim.Stats().Inbound; n.Acknowledged != 0 || n.Pending != 1 {
		t.Errorf("answered before it was kept: %+v", n)
	}
	close(gate.open)
	w.eventually("kept, then answered", func() bool { return len(w.entries()) == 1 && w.sim.Stats().Inbound.Pending == 0 })
}

// gated keeps nothing until it is opened.
type gated struct {
	delivery.Inbound
	open chan struct{}
}

func (g *gated) Receive(ctx context.Context, parts []inbound.Part) error {
	select {
	case <-g.open:
		return g.Inbound.Receive(ctx, parts)
	default:
		return errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "the store is away", nil)
	}
}

// Sealed by a key of ingest, found by the number's hash, shown by scope: through the service as it is built.
func TestInboundIsSealedAndShownByScope(t *testing.T) {
	h := newHouse(t)
	d, err := open(t.Context(), h.cfg, slog.New(slog.DiscardHandler))
	h.must(err)
	t.Cleanup(d.close)
	h.background(func(ctx context.Context) error { return service.Run(ctx, slog.New(slog.DiscardHandler), d.tasks()...) })
	until(t, "ready", func() bool { return d.ready() == nil })
	messages, x := h.clear(eventbus.LaneOTP, 1), h.listen()
	until(t, "submitted", func() bool { return x.once("onlinesms.dispatch.v1.MessagesSubmitted", messages) })
	_, err = h.sim.Inject(smsc.Inbound{From: "919876543210", To: header, Text: "My secret answer"})
	h.must(err)
	server := d.inboxServer()
	call := func(scopes ...string) context.Context {
		return principal.NewContext(t.Context(), principal.Principal{TenantID: h.tenant, Env: "test", Actor: "key/t", Scopes: scopes})
	}
	var page *dispatchv1.ListInboundResponse
	until(t, "listed", func() bool {
		page, err = server.ListInbound(call("inbound:read"), &dispatchv1.ListInboundRequest{From: "9876543210"})
		h.must(err)
		return len(page.Inbound) == 1
	})
	if m := page.Inbound[0]; m.From != "+9198XXXXXX10" || m.Text != "" || m.To != header {
		t.Errorf("without content:read: %v", m)
	}
	full, err := server.GetInbound(call("inbound:read", "content:read"), &dispatchv1.GetInboundRequest{InboundId: page.Inbound[0].InboundId})
	h.must(err)
	if m := full.Inbound; m.From != "+919876543210" || m.Text != "My secret answer" {
		t.Errorf("with content:read: %v", m)
	}
	var dump string
	h.must(d.db.Worker.QueryRow(t.Context(), `SELECT string_agg(i::text, ' ') || (SELECT string_agg(p::text, ' ') FROM inbound_parts p) FROM inbound i`).Scan(&dump))
	if strings.Contains(dump, "6d7920736563726574") || strings.Contains(dump, "9876543210") || strings.Contains(dump, "secret") {
		t.Error("number or text stands in a table in clear")
	}
	stranger := principal.NewContext(t.Context(), principal.Principal{TenantID: uuid.New(), Env: "test", Scopes: []string{"inbound:read"}})
	if _, err := server.GetInbound(stranger, &dispatchv1.GetInboundRequest{InboundId: page.Inbound[0].InboundId}); errs.KindOf(err) != errs.NotFound {
		t.Errorf("another tenant: %v", err)
	}
	if _, err := server.GetInbound(call("messages:read"), &dispatchv1.GetInboundRequest{InboundId: page.Inbound[0].InboundId}); errs.KindOf(err) != errs.Denied {
		t.Errorf("without the scope: %v", err)
	}
	keywords(t, server, call("inbound:read", "inbound:write"))
}

// keywords: a tenant's own words are kept, listed before the built-in ones, and checked.
func keywords(t *testing.T, server *api.InboundServer, ctx context.Context) {
	t.Helper()
	own := []*dispatchv1.InboundKeyword{{Keyword: "no more!", Action: "STOP"}, {Keyword: "cancel", Action: "NONE"}}
	for range 2 {
		if _, err := server.SetInboundKeywords(ctx, &dispatchv1.SetInboundKeywordsRequest{Own: own}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := server.GetInboundKeywords(ctx, &dispatchv1.GetInboundKeywordsRequest{})
	if err != nil || len(got.Own) != 2 || got.Own[1].Keyword != "NO MORE" || len(got.BuiltIn) < 50 {
		t.Errorf("%v, %v", got.GetOwn(), err)
	}
	for _, bad := range [][]*dispatchv1.InboundKeyword{
		{{Keyword: "STOP", Action: "NONE"}}, {{Keyword: "?!", Action: "STOP"}}, {{Keyword: "A", Action: "CALL"}},
		{{Keyword: "A", Action: "STOP"}, {Keyword: "a", Action: "HELP"}},
	} {
		if _, err := server.SetInboundKeywords(ctx, &dispatchv1.SetInboundKeywordsRequest{Own: bad}); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%v is taken: %v", bad, err)
		}
	}
}

// part is part seq of total of a message to 56161, with its text.
func part(ref byte, total, seq byte, text string, at time.Time) inbound.Part {
	sm := &smpp.DeliverSM{
		Source: smpp.Address{Digits: "919876543210"}, Destination: smpp.Address{Digits: "56161"}, ESMClass: smpp.ESMClassUDHI,
		ShortMessage: append([]byte{5, 0, 3, ref, total, seq}, text...),
	}
	pdu, _ := sm.AppendTo(nil, 1)
	return inbound.Read("test", "sim", sm, pdu, at)
}

// Parts come in any order, twice, too late, or under a reference that is used again: each text is told once, one with
// gaps as such.
func TestPartsInAnyOrder(t *testing.T) {
	w := newWorld(t, nil)
	now := time.Now()
	tenant := uuid.New()
	r := w.receiver(store.New(w.db.DB.Worker, w.publish, recipientOf, newID, func() time.Time { return now }),
		w.routes(strings.Replace(w.oneRoute(), "{name: sim,", "{name: sim, inbound: [{to: \"56161\", tenant: "+tenant.String()+"}],", 1)))
	receive := func(parts ...inbound.Part) {
		t.Helper()
		if err := r.Receive(t.Context(), parts); err != nil {
			t.Fatal(err)
		}
	}
	receive(part(1, 3, 3, "c", now))
	receive(part(1, 3, 1, "a", now), part(1, 3, 1, "a", now))
	receive(part(1, 3, 3, "c", now)) // sent again before it was whole
	receive(part(1, 3, 2, "b", now))
	receive(part(1, 3, 2, "b", now)) // and after
	receive(part(2, 2, 1, "lost", now))
	receive(part(2, 2, 1, "new", now), part(2, 2, 2, "er", now)) // the reference comes round
	receive(part(3, 2, 2, "alone", now.Add(-7*time.Hour)))
	for range 2 {
		if _, err := r.Overdue(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	list, err := store.NewInboundReader(w.db.DB).List(t.Context(), inbound.Query{
		Tenant: tenant, Env: "test", Start: now.Add(-24 * time.Hour), End: now.Add(time.Hour), Limit: 10,
	})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for i := range list {
		_, text, err := inbound.NewLetters(plain{}, nil).Read(t.Context(), &list[i])
		if err != nil {
			t.Fatal(err)
		}
		got[text] = list[i].Incomplete
	}
	want := map[string]bool{"abc": false, "lost … ": true, "newer": false, " … alone": true}
	if len(list) != len(want) || len(w.entries()) != len(want) {
		t.Errorf("%d messages, %d told, want %d", len(list), len(w.entries()), len(want))
	}
	for text, incomplete := range want {
		if is, ok := got[text]; !ok || is != incomplete {
			t.Errorf("%q is not among %v as incomplete=%v", text, got, incomplete)
		}
	}
}
