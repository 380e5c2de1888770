package postgres_test

import (
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	store "github.com/onlinesms/onlinesms/services/compliance/internal/postgres"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening/screeningtest"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
)

// published collects what a store publishes.
type published struct {
	mu      sync.Mutex
	parcels []eventbus.Parcel
}

func (p *published) publish(parcels ...eventbus.Parcel) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.parcels = append(p.parcels, parcels...)
}

func (p *published) all() []eventbus.Parcel {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.parcels)
}

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

func open(t testing.TB) (*store.Store, *published, *postgrestest.Database) {
	t.Helper()
	d := postgrestest.New(t, "compliance", store.Sources...)
	p := &published{}
	return store.NewStore(d.DB, p.publish, newID, time.Now), p, d
}

func TestStore(t *testing.T) {
	screeningtest.RunStoreTests(t, func(t *testing.T) screeningtest.Harness {
		s, p, _ := open(t)
		return screeningtest.Harness{Store: s,
			Outgoing: func() (out []screeningtest.Outgoing) {
				for _, parcel := range p.all() {
					out = append(out, decode(t, parcel))
				}
				return out
			},
			Decisions: func(tenant, message uuid.UUID) []screening.Decided {
				found, err := s.Decisions(t.Context(), tenant, "live", message)
				if err != nil {
					t.Fatal(err)
				}
				decided := make([]screening.Decided, len(found))
				for i := range found {
					decided[i] = found[i].Decided
					decided[i].At, decided[i].Parcel = found[i].At.UTC(), uuid.Nil // its id is the store's choice
				}
				return decided
			}}
	})
}

func decode(t *testing.T, p eventbus.Parcel) screeningtest.Outgoing {
	t.Helper()
	event, env, lane, _ := eventbus.ParseSubject(p.Subject)
	out := screeningtest.Outgoing{ID: p.ID, Tenant: p.Tenant, Env: env, Lane: lane}
	var cause []byte
	switch event {
	case "onlinesms.compliance.v1.MessagesCleared":
		out.Outcome = policy.Cleared
		m := unmarshal(t, p.Payload, &compliancev1.ClearedParcel{})
		cause = m.GetCausationId()
		for _, c := range m.GetMessages() {
			out.Messages = append(out.Messages, screeningtest.OutgoingMessage{ID: uuid.UUID(c.GetMessageId()), Round: c.GetRound(), Content: string(c.GetContent())})
		}
	case "onlinesms.compliance.v1.MessagesRefused":
		m := unmarshal(t, p.Payload, &compliancev1.RefusedParcel{})
		cause = m.GetCausationId()
		for _, c := range m.GetMessages() {
			out.Messages = append(out.Messages, screeningtest.OutgoingMessage{ID: uuid.UUID(c.GetMessageId()), Round: c.GetRound(), Codes: codes(c.GetReasons()...)})
		}
	case "onlinesms.compliance.v1.MessagesHeld":
		out.Outcome = policy.Held
		m := unmarshal(t, p.Payload, &compliancev1.HeldParcel{})
		cause = m.GetCausationId()
		for _, c := range m.GetMessages() {
			out.Messages = append(out.Messages, screeningtest.OutgoingMessage{ID: uuid.UUID(c.GetMessageId()), Round: c.GetRound(), Codes: codes(c.GetReason())})
		}
	default:
		t.Fatalf("unexpected event %s", event)
	}
	if out.Cause = uuid.UUID(cause); p.Entries != len(out.Messages) {
		t.Errorf("%d entries counted, %d there", p.Entries, len(out.Messages))
	}
	return out
}

func unmarshal[M proto.Message](t *testing.T, raw []byte, m M) M {
	t.Helper()
	if err := proto.Unmarshal(raw, m); err != nil {
		t.Fatal(err)
	}
	return m
}

func codes(reasons ...*typev1.Reason) (c []string) {
	for _, r := range reasons {
		c = append(c, r.GetCode())
	}
	return c
}

// TestOutgoingIsInTheOutbox: what is published is stored with its transaction, byte for byte.
func TestOutgoingIsInTheOutbox(t *testing.T) {
	s, p, d := open(t)
	if err := s.Record(t.Context(), []screening.Screened{screeningtest.Judge(screeningtest.NewParcel(3), screeningtest.Clear)}); err != nil {
		t.Fatal(err)
	}
	sent := p.all()
	stored, err := outbox.Load(t.Context(), d.DB.Worker, sent[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sent, stored); diff != "" {
		t.Error(diff)
	}
	var waiting int
	if err := d.DB.Worker.QueryRow(t.Context(), "SELECT count(*) FROM outbox").Scan(&waiting); err != nil || waiting != 1 {
		t.Errorf("%d outbox rows, %v", waiting, err)
	}
}

func TestDecisionsOfOthersAreNotFound(t *testing.T) {
	s, _, _ := open(t)
	p := screeningtest.NewParcel(1)
	if err := s.Record(t.Context(), []screening.Screened{screeningtest.Judge(p, screeningtest.Clear)}); err != nil {
		t.Fatal(err)
	}
	unknown := p.Messages[0].ID
	unknown[15] = 7
	for name, ask := range map[string]func() ([]screening.Recorded, error){
		"another tenant": func() ([]screening.Recorded, error) {
			return s.Decisions(t.Context(), uuid.New(), "live", p.Messages[0].ID)
		},
		"another environment": func() ([]screening.Recorded, error) {
			return s.Decisions(t.Context(), p.Tenant, "test", p.Messages[0].ID)
		},
		"no such message": func() ([]screening.Recorded, error) { return s.Decisions(t.Context(), p.Tenant, "live", unknown) },
	} {
		if found, err := ask(); errs.KindOf(err) != errs.NotFound || len(found) != 0 {
			t.Errorf("%s: %v %v", name, found, err)
		}
	}
}

func demo(t testing.TB) registry.File {
	t.Helper()
	raw, err := os.ReadFile("../../../../deploy/local/demo.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f, err := registry.ParseFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestTenantsSeeTheirOwn: the tenant role reads decisions, holds and registry of its tenant only.
func TestTenantsSeeTheirOwn(t *testing.T) {
	s, _, d := open(t)
	p := screeningtest.NewParcel(1)
	screened := screeningtest.Judge(p, screeningtest.HoldUntil(postgres.Minted(p.ID)))
	if err := s.Record(t.Context(), []screening.Screened{screened}); err != nil {
		t.Fatal(err)
	}
	f := demo(t)
	if _, err := s.Import(t.Context(), p.Tenant, author, f.Rows.Objects); err != nil {
		t.Fatal(err)
	}
	tables := []string{"decisions", "holds", "parcels", "registry_versions", "registry_objects", "template_revisions"}
	for tenant, sees := range map[uuid.UUID]bool{p.Tenant: true, uuid.New(): false} {
		for _, table := range tables {
			var n int
			err := d.DB.InTenant(t.Context(), tenant, func(tx pgx.Tx) error {
				return tx.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n)
			})
			if err != nil || (n > 0) != sees {
				t.Errorf("%s: %d rows, %v", table, n, err)
			}
		}
	}
}
