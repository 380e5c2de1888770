package app

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
	"github.com/onlinesms/onlinesms/services/internal/principal"
	"github.com/onlinesms/onlinesms/services/internal/rpc"
	"github.com/onlinesms/onlinesms/services/internal/service"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf"
)

func TestMessagesAreDecided(t *testing.T) {
	w := newWorld(t, today(12))
	c, _ := w.start()
	scheduled := w.text(otp, "ABCBNK", otpText)
	scheduled.schedule = w.clock.now().Add(time.Hour)
	variables := message{template: shipped, header: "ABCBNK", expire: w.clock.now().Add(time.Hour), content: &ingestv1.Content{
		Variables: []*ingestv1.Variable{{Value: "Asha"}, {Value: "2345"}, {Value: "https://abc.in/t?o=2345"}}}}
	parcel, ids := w.accept("live", "bulk", w.text(otp, "ABCBNK", otpText), w.text(otp, "ABCBNK", otpText+"."), scheduled, variables)
	w.ingest.Publish(parcel)
	got := w.next(4)
	slices.SortFunc(got, func(a, b seen) int { return int(a.id[15]) - int(b.id[15]) })
	for i, want := range []seen{{event: "MessagesCleared"}, {event: "MessagesRefused", codes: []string{"TEMPLATE_NOT_MATCHED"}},
		{event: "MessagesHeld", codes: []string{"SCHEDULED"}, due: scheduled.schedule.UnixMicro()}, {event: "MessagesCleared"}} {
		if g := got[i]; g.id != ids[i] || g.event != want.event || !slices.Equal(g.codes, want.codes) || g.due != want.due || g.round != 0 {
			t.Errorf("message %d: %+v, want %+v", i, g, want)
		}
	}
	if text := w.open("live", got[3]).GetText(); text != "Dear Asha, order 2345 shipped. Track: https://abc.in/t?o=2345 - ABCBNK" {
		t.Errorf("rendered: %q", text)
	}
	w.checkDecision(c, ids[1], "REFUSED", "TEMPLATE_NOT_MATCHED")

	// The same parcel in another event: no second effect. What follows it shows that it was treated.
	w.ingest.Publish(parcel)
	another, more := w.accept("live", "bulk", w.text(otp, "ABCBNK", otpText))
	w.ingest.Publish(another)
	if after := w.next(1); after[0].id != more[0] {
		t.Errorf("a redelivery had an effect: %+v", after)
	}

	w.clock.set(scheduled.schedule)
	if released := w.next(1)[0]; released.event != "MessagesCleared" || released.id != ids[2] || released.round != 0 {
		t.Errorf("released: %+v", released)
	}
	postgrestest.CheckTenancy(t, w.database)
}

// dial connects to a replica's inner port as another service.
func (w *world) dial(caller string, c *compliance) *grpc.ClientConn {
	tls, err := tlsconf.Client(w.files[caller], name)
	must(w.t, err)
	conn, err := rpc.Dial(c.addr.String(), tls)
	must(w.t, err)
	w.t.Cleanup(func() { conn.Close() })
	return conn
}

func (w *world) client(caller string, c *compliance) compliancev1.ComplianceServiceClient {
	return compliancev1.NewComplianceServiceClient(w.dial(caller, c))
}

// checkDecision asks as the door does, and as others may not.
func (w *world) checkDecision(c *compliance, id uuid.UUID, outcome, code string) {
	t := w.t
	t.Helper()
	p := principal.Principal{TenantID: w.demo.Tenant, Env: "live", Actor: "key/test", Scopes: []string{"decisions:read"}}
	ctx := rpc.WithPrincipal(principal.NewContext(t.Context(), p))
	req := &compliancev1.GetDecisionRequest{MessageId: id.String()}
	got, err := w.client("ingest", c).GetDecision(ctx, req)
	if err != nil || got.GetDecisions()[0].GetOutcome() != outcome || got.GetDecisions()[0].GetReasons()[0].GetCode() != code {
		t.Errorf("%v %v", got, err)
	}
	if _, err := w.client("dispatch", c).GetDecision(ctx, req); status.Code(err) != codes.PermissionDenied {
		t.Errorf("dispatch may ask: %v", err)
	}
	p.TenantID = uuid.New()
	other := rpc.WithPrincipal(principal.NewContext(t.Context(), p))
	if _, err := w.client("ingest", c).GetDecision(other, req); status.Code(err) != codes.NotFound {
		t.Errorf("another tenant: %v", err)
	}
	category, err := w.client("ingest", c).GetTemplateCategory(t.Context(), &compliancev1.GetTemplateCategoryRequest{TenantId: w.demo.Tenant.String(), TemplateId: otp})
	if err != nil || category.GetCategory() != typev1.Category_TRANSACTIONAL {
		t.Errorf("category: %v %v", category, err)
	}
}

// giveBack is what dispatch says of a cleared message that it may not send now.
func (w *world) giveBack(cleared seen, due time.Time, reason string) {
	id := newID()
	payload, err := proto.Marshal(&dispatchv1.OutcomeParcel{ParcelId: id[:], TenantId: w.demo.Tenant[:], CorrelationId: id[:],
		Outcomes: []*dispatchv1.Outcome{{MessageId: cleared.id[:], ClearedParcelId: cleared.parcel[:], DueTimeUs: due.UnixMicro(),
			Reason: &typev1.Reason{Code: reason, Detail: "not now"}}}})
	must(w.t, err)
	w.dispatch.Publish(eventbus.Parcel{ID: id, Tenant: w.demo.Tenant, Entries: 1, Payload: payload,
		Subject: eventbus.Subject("onlinesms.dispatch.v1.MessagesReturned", "live", "bulk")})
}

// TestPromotionAtNight: held at 22:00, cleared at 10:00; given back by dispatch at 21:00, held once more in the next round.
func TestPromotionAtNight(t *testing.T) {
	w := newWorld(t, today(22))
	w.start()
	parcel, ids := w.accept("live", "bulk", w.text(stock, "512345", "Fresh stock at ABC stores till Sunday. Opt out: https://abc.in/stop?x=1 - ABC"))
	w.ingest.Publish(parcel)
	ten := today(10).AddDate(0, 0, 1)
	if held := w.next(1)[0]; held.event != "MessagesHeld" || held.codes[0] != "PROMO_WINDOW" || held.due != ten.UnixMicro() {
		t.Fatalf("%+v", held)
	}
	w.clock.set(ten)
	cleared := w.next(1)[0]
	if cleared.event != "MessagesCleared" || cleared.id != ids[0] || cleared.round != 0 {
		t.Fatalf("%+v", cleared)
	}
	night := ten.Add(11 * time.Hour)
	w.clock.set(night)
	due := ten.AddDate(0, 0, 1)
	w.giveBack(cleared, due, "PROMO_WINDOW")
	if held := w.next(1)[0]; held.event != "MessagesHeld" || held.round != 1 || held.due != due.UnixMicro() {
		t.Fatalf("%+v", held)
	}
	w.clock.set(due)
	if again := w.next(1)[0]; again.event != "MessagesCleared" || again.round != 1 {
		t.Fatalf("%+v", again)
	}
}

// TestImportIsFollowed: a template suspended while sends flow is refused within a second.
func TestImportIsFollowed(t *testing.T) {
	w := newWorld(t, today(12))
	c, _ := w.start()
	for i := range w.demo.Rows.Objects {
		if w.demo.Rows.Objects[i].ID == otp {
			w.demo.Rows.Objects[i].Status = "suspended_usage"
		}
	}
	must(t, importFile(t.Context(), importConfig{Postgres: w.cfg.Postgres, Bus: w.cfg.Bus}, w.demo))
	deadline := time.Now().Add(patience)
	for c.registry.Snapshot(w.demo.Tenant).Version() < 2 {
		if time.Now().After(deadline) {
			t.Fatal("the new version is not loaded")
		}
		time.Sleep(time.Millisecond) // poll with a deadline: the snapshot has no signal
	}
	parcel, _ := w.accept("live", "otp", w.text(otp, "ABCBNK", otpText))
	w.ingest.Publish(parcel)
	if got := w.next(1)[0]; got.event != "MessagesRefused" || got.codes[0] != "TEMPLATE_SUSPENDED" {
		t.Errorf("%+v", got)
	}
}

// TestDeathAfterTheCommit: decisions committed by a process that dies before it publishes go out by the relay of the next
// one, once, and a redelivery of their cause has no effect.
func TestDeathAfterTheCommit(t *testing.T) {
	w := newWorld(t, today(12))
	dying, err := open(t.Context(), w.cfg, slog.Default(), w.clock.now)
	must(t, err)
	parcel, ids := w.accept("live", "bulk", w.text(otp, "ABCBNK", otpText))
	p := w.decodeAccepted(parcel)
	must(t, dying.screener.Screen(t.Context(), []screening.Parcel{p})) // its publisher never runs
	dying.close()

	later := w.clock.now().Add(time.Hour) // the relay takes rows older than 10 s
	if now := time.Now().Add(time.Minute); later.Before(now) {
		later = now
	}
	w.clock.set(later)
	_, stop := w.start()
	if got := w.next(1)[0]; got.event != "MessagesCleared" || got.id != ids[0] {
		t.Fatalf("%+v", got)
	}
	w.ingest.Publish(parcel)
	another, more := w.accept("live", "bulk", w.text(otp, "ABCBNK", otpText))
	w.ingest.Publish(another)
	if got := w.next(1)[0]; got.id != more[0] {
		t.Errorf("a redelivery had an effect: %+v", got)
	}
	stop()
	var rows int
	must(t, w.database.DB.Worker.QueryRow(t.Context(), "SELECT count(*) FROM outbox").Scan(&rows))
	if rows != 0 {
		t.Errorf("%d rows left in the outbox", rows)
	}
}

func (w *world) decodeAccepted(parcel eventbus.Parcel) screening.Parcel {
	w.t.Helper()
	var a ingestv1.AcceptedParcel
	must(w.t, proto.Unmarshal(parcel.Payload, &a))
	p := screening.Parcel{ID: parcel.ID, Tenant: parcel.Tenant, Correlation: uuid.UUID(a.GetCorrelationId()), Env: "live", Lane: "bulk"}
	for _, m := range a.GetMessages() {
		p.Messages = append(p.Messages, screening.Message{ID: uuid.UUID(m.GetMessageId()), EntityID: m.GetEntityId(), Header: m.GetHeader(),
			TemplateID: m.GetTemplateId(), Content: m.GetContent(), RecipientIndex: m.GetRecipientIndex(), Expire: m.GetExpireTimeUs()})
	}
	return p
}

// TestPoisonIsKept: an event that cannot be read becomes a dead letter and does not stop what follows.
func TestPoisonIsKept(t *testing.T) {
	w := newWorld(t, today(12))
	c, _ := w.start()
	poison := eventbus.Parcel{ID: newID(), Tenant: w.demo.Tenant, Entries: 1, Payload: []byte{0x0a, 0x01, 0x00},
		Subject: eventbus.Subject("onlinesms.ingest.v1.MessagesAccepted", "live", "interactive")}
	w.ingest.Publish(poison)
	parcel, _ := w.accept("live", "interactive", w.text(otp, "ABCBNK", otpText))
	w.ingest.Publish(parcel)
	deadline := time.Now().Add(patience)
	letters := outbox.NewDeadLetters(c.db.Worker)
	for {
		kept, err := letters.List(t.Context(), 10)
		must(t, err)
		if len(kept) == 1 {
			if !strings.Contains(kept[0].Reason, "EVENT_MALFORMED") {
				t.Errorf("kept for %s", kept[0].Reason)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the poison is not kept")
		}
		time.Sleep(time.Millisecond) // poll with a deadline
	}
}

func TestConfig(t *testing.T) {
	err := Config{}.Validate()
	for _, setting := range []string{"POSTGRES_URL", "NATS_MONITOR_URL", "KEK", "INGEST_ADDR", "TLS_CA_FILE"} {
		if err == nil || !strings.Contains(err.Error(), setting) {
			t.Errorf("%s is not required: %v", setting, err)
		}
	}
}

func TestRouteSettings(t *testing.T) {
	if err := (Config{Live: RouteConfig{Telemarketer: "1"}, ReleaseRate: -1}).Validate(); err == nil ||
		!strings.Contains(err.Error(), "ROUTE_LIVE_TELEMARKETER") || !strings.Contains(err.Error(), "RELEASE_RATE") {
		t.Error(err)
	}
	c := Config{Live: RouteConfig{Telemarketer: "1302157243747322354", AlphaPromo: true}}
	if r := c.route("live"); r.Telemarketer != c.Live.Telemarketer || !r.AlphaPromo || c.route("test").AlphaPromo {
		t.Errorf("%+v", r)
	}
}

func TestLiveOperatorsAreKnown(t *testing.T) {
	if err := (Config{LiveOperators: []string{"VI", "NOKIA"}}).Validate(); err == nil || !strings.Contains(err.Error(), "LIVE_OPERATORS") {
		t.Error(err)
	}
	if err := (Config{LiveOperators: []string{"VI"}}).Validate(); strings.Contains(err.Error(), "LIVE_OPERATORS") {
		t.Error(err)
	}
}

func TestImportUsage(t *testing.T) {
	if err := Import(t.Context(), nil); !errors.Is(err, service.ErrUsage) {
		t.Error(err)
	}
	if err := Import(t.Context(), []string{"-file", filepath.Join(t.TempDir(), "none.yaml")}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
