package app

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	auditv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/audit/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/audit/internal/ledger"
	store "github.com/onlinesms/onlinesms/services/audit/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/eventbus/eventbustest"
	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
	"github.com/onlinesms/onlinesms/services/internal/principal"
	"github.com/onlinesms/onlinesms/services/internal/rpc"
	"github.com/onlinesms/onlinesms/services/internal/rpc/rpctest"
	"github.com/onlinesms/onlinesms/services/internal/service"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf/devca"
)

// identities makes a CA with a certificate a service.
func identities(t *testing.T, names ...string) map[string]tlsconf.Files {
	t.Helper()
	dir := t.TempDir()
	if err := devca.Create(dir); err != nil {
		t.Fatal(err)
	}
	files := map[string]tlsconf.Files{}
	for _, name := range names {
		if err := devca.Issue(dir, name, nil, tlsconf.SPIFFEID(name)); err != nil {
			t.Fatal(err)
		}
		files[name] = tlsconf.Files{
			Cert: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+"-key.pem"), CA: filepath.Join(dir, "ca.pem"),
		}
	}
	return files
}

// client calls audit as one of the services.
func client(t *testing.T, addr string, files tlsconf.Files) auditv1.AuditServiceClient {
	t.Helper()
	tls, err := tlsconf.Client(files, "audit")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := rpc.Dial(addr, tls)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return auditv1.NewAuditServiceClient(conn)
}

// acceptParcels publishes n accepted parcels of a tenant as ingest would.
func acceptParcels(t *testing.T, cfg eventbus.Config, tenant uuid.UUID, n int) {
	t.Helper()
	bus, err := eventbus.Connect(t.Context(), cfg, "ingest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Close)
	durables := []string{store.Consumer}
	streams := eventbus.ServiceStreams("ingest", map[string][]string{
		eventbus.LaneOTP: durables, eventbus.LaneInteractive: durables, eventbus.LaneBulk: durables, eventbus.LaneControl: durables,
	})
	if err := bus.Own(t.Context(), streams); err != nil {
		t.Fatal(err)
	}
	publisher := bus.NewPublisher("ingest", func(context.Context, []eventbus.Parcel) {})
	go func() { _ = publisher.Run(t.Context()) }()
	for range n {
		id, _ := ledger.SplitMessageID(uuid.Must(uuid.NewV7()))
		payload, err := proto.Marshal(&ingestv1.AcceptedParcel{
			ParcelId: id[:], TenantId: tenant[:], CorrelationId: id[:],
			Messages: []*ingestv1.AcceptedMessage{{MessageId: id[:], Content: []byte("sealed")}},
		})
		if err != nil {
			t.Fatal(err)
		}
		subject := eventbus.Subject("onlinesms.ingest.v1.MessagesAccepted", principal.Live, eventbus.LaneBulk)
		publisher.Publish(eventbus.Parcel{ID: id, Tenant: tenant, Subject: subject, Entries: 1, Payload: payload})
	}
}

func TestEventsBecomeEntriesThatTheDoorCanList(t *testing.T) {
	database, bus := postgrestest.New(t, "audit", store.Sources...), eventbustest.Run(t)
	certificates := identities(t, "audit", "ingest", "dispatch")
	cfg := Config{Postgres: database.Config, Bus: bus, TLS: certificates["audit"], GRPCAddr: "127.0.0.1:0"}
	a, err := open(t.Context(), cfg, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- service.Run(ctx, slog.Default(), a.tasks()...) }()
	t.Cleanup(func() {
		stop()
		if err := <-stopped; err != nil {
			t.Errorf("stopping: %v", err)
		}
		a.close()
	})

	tenant := uuid.New()
	acceptParcels(t, bus, tenant, 30)
	reader := principal.Principal{TenantID: tenant, Env: principal.Live, Actor: "key/test", Scopes: []string{"audit:read"}}
	asReader := rpc.WithPrincipal(principal.NewContext(t.Context(), reader))
	door := client(t, a.server.Addr().String(), certificates["ingest"])
	events := listAll(t, asReader, door, 30)
	for i, e := range events {
		if e.GetIndex() != int64(i) || e.GetActor() != "service/ingest" || e.GetMessageCount() != 1 {
			t.Fatalf("entry %d is %v", i, e)
		}
	}
	got, err := door.GetEvent(asReader, &auditv1.GetEventRequest{Index: 7})
	if err != nil || ledger.LeafHash(got.GetLeaf()) != [32]byte(got.GetEvent().GetLeafHash()) {
		t.Errorf("GetEvent: the leaf does not hash to its hash (%v)", err)
	}
	checkRefusals(t, a.server.Addr().String(), certificates, reader)
	t.Run("Item7EveryCaller", func(t *testing.T) {
		rpctest.CheckCallers(t, a.server.Addr().String(), "audit", filepath.Dir(certificates["audit"].CA), nil)
	})
	postgrestest.CheckTenancy(t, database)
}

// listAll pages until want events are there.
func listAll(t *testing.T, ctx context.Context, door auditv1.AuditServiceClient, want int) []*auditv1.Event {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		var events []*auditv1.Event
		req := &auditv1.ListEventsRequest{PageSize: 7}
		for {
			page, err := door.ListEvents(ctx, req)
			if err != nil {
				t.Fatal(err)
			}
			events = append(events, page.GetEvents()...)
			if req.PageToken = page.GetNextPageToken(); req.PageToken == "" {
				break
			}
		}
		if len(events) == want {
			return events
		}
		if time.Now().After(deadline) || len(events) > want {
			t.Fatalf("%d entries, want %d", len(events), want)
		}
	}
}

func checkRefusals(t *testing.T, addr string, certificates map[string]tlsconf.Files, reader principal.Principal) {
	t.Helper()
	call := func(caller string, p *principal.Principal, req *auditv1.ListEventsRequest) error {
		ctx := t.Context()
		if p != nil {
			ctx = rpc.WithPrincipal(principal.NewContext(ctx, *p))
		}
		_, err := client(t, addr, certificates[caller]).ListEvents(ctx, req)
		return err
	}
	noScope, other := reader, reader
	noScope.Scopes = nil
	other.TenantID = uuid.New()
	all := &auditv1.ListEventsRequest{}
	for _, c := range []struct {
		name string
		err  error
		want codes.Code
	}{
		{"another service", call("dispatch", &reader, all), codes.PermissionDenied},
		{"no principal", call("ingest", nil, all), codes.Unauthenticated},
		{"no scope", call("ingest", &noScope, all), codes.PermissionDenied},
		{"page too large", call("ingest", &reader, &auditv1.ListEventsRequest{PageSize: 501}), codes.InvalidArgument},
		{"forged token", call("ingest", &reader, &auditv1.ListEventsRequest{PageToken: "x"}), codes.InvalidArgument},
		{"message id that is none", call("ingest", &reader, &auditv1.ListEventsRequest{MessageId: "7"}), codes.InvalidArgument},
		{"another tenant", call("ingest", &other, all), codes.OK},
	} {
		if got := status.Code(c.err); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	page, err := client(t, addr, certificates["ingest"]).ListEvents(rpc.WithPrincipal(principal.NewContext(t.Context(), other)), all)
	if err != nil || len(page.GetEvents()) != 0 {
		t.Errorf("another tenant sees %d entries (%v)", len(page.GetEvents()), err)
	}
}
