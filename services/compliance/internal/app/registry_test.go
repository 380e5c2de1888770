package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
	"github.com/onlinesms/onlinesms/services/internal/principal"
	"github.com/onlinesms/onlinesms/services/internal/rpc"
)

// registrar is RegistryService of a replica, as the door calls it.
func (w *world) registrar(c *compliance) compliancev1.RegistryServiceClient {
	return compliancev1.NewRegistryServiceClient(w.dial("ingest", c))
}

// as is a call of a tenant's key.
func (w *world) as(tenant uuid.UUID, env string, scopes ...string) context.Context {
	return rpc.WithPrincipal(principal.NewContext(w.t.Context(), principal.Principal{TenantID: tenant, Env: env, Actor: "key/k1", Scopes: scopes}))
}

func (w *world) admin() context.Context {
	return w.as(w.demo.Tenant, "live", "registry:read", "registry:write")
}

// until polls with a deadline.
func until(t testing.TB, what string, met func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !met() {
		if time.Since(start) > patience {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(time.Millisecond) // poll with a deadline: a snapshot has no signal
	}
	return time.Since(start)
}

// TestSuspendedWhileSendsFlow: with two replicas and thousands of templates, a template that is suspended at one is refused
// by both, while messages of it are being sent; what is accepted after both know is refused without exception.
func TestSuspendedWhileSendsFlow(t *testing.T) {
	w := newWorld(t, today(12))
	a, _ := w.start()
	b, _ := w.start()
	w.importMany(a, 3000)
	replicas := []*compliance{a, b}
	for _, c := range replicas {
		until(t, "the import is loaded", func() bool { return c.registry.Snapshot(w.demo.Tenant).Template(manyID(2999)) != nil })
	}
	var sent atomic.Int64
	flow, stop := context.WithCancel(t.Context())
	flowing := make(chan struct{})
	go func() {
		defer close(flowing)
		pace := time.NewTicker(5 * time.Millisecond)
		defer pace.Stop()
		for flow.Err() == nil {
			<-pace.C
			parcel, _ := w.accept("live", "bulk", w.text(otp, "ABCBNK", otpText))
			w.ingest.Publish(parcel)
			sent.Add(1)
		}
	}()
	if first := w.next1(); first.event != "MessagesCleared" {
		t.Fatalf("%+v", first)
	}
	_, err := w.registrar(a).UpdateObjectStatus(w.admin(), &compliancev1.UpdateObjectStatusRequest{Kind: "templates", ObjectId: otp, Status: "suspended_customer", Reason: "test"})
	must(t, err)
	for i, c := range replicas {
		took := until(t, "the suspension is followed", func() bool {
			return c.registry.Snapshot(w.demo.Tenant).Template(otp).Status == policy.SuspendedCustomer
		})
		t.Logf("replica %d followed within %v of the answer", i, took)
	}
	stop()
	<-flowing
	parcel, ids := w.accept("live", "bulk", w.text(otp, "ABCBNK", otpText), w.text(otp, "ABCBNK", otpText))
	w.ingest.Publish(parcel)
	after := map[uuid.UUID]bool{ids[0]: true, ids[1]: true}
	cleared, refused := 1, 0
	for range int(sent.Load()) - 1 + len(ids) {
		got := w.next1()
		switch {
		case got.event == "MessagesRefused" && got.codes[0] == "TEMPLATE_SUSPENDED":
			refused++
		case got.event == "MessagesCleared" && !after[got.id]:
			cleared++
		default:
			t.Errorf("%+v", got)
		}
	}
	t.Logf("%d messages while it was suspended: %d cleared, %d refused", sent.Load(), cleared, refused)
	if refused < len(ids) {
		t.Errorf("only %d were refused", refused)
	}
}

// next1 is the next message, of an event that may hold several.
func (w *world) next1() seen {
	w.t.Helper()
	for len(w.waiting) == 0 {
		select {
		case batch := <-w.delivered:
			for _, d := range batch {
				w.waiting = append(w.waiting, w.decode(d)...)
			}
		case <-time.After(patience):
			w.t.Fatal("no more messages come")
		}
	}
	first := w.waiting[0]
	w.waiting = w.waiting[1:]
	return first
}

// TestKillSwitch: a stop holds on every replica, for what it names, until it is taken back.
func TestKillSwitch(t *testing.T) {
	w := newWorld(t, today(12))
	a, _ := w.start()
	b, _ := w.start()
	client := w.registrar(a)
	_, err := client.StopSending(w.admin(), &compliancev1.StopSendingRequest{Scope: "header", ObjectId: "ABCBNK", Reason: "phishing reported"})
	must(t, err)
	stopped := func(c *compliance) bool {
		return c.registry.Snapshot(w.demo.Tenant).Stops(entity, "ABCBNK", otp) != 0
	}
	for i, c := range []*compliance{a, b} {
		t.Logf("replica %d stopped within %v of the answer", i, until(t, "the stop is followed", func() bool { return stopped(c) }))
	}
	parcel, _ := w.accept("test", "otp", w.text(otp, "ABCBNK", otpText))
	w.ingest.Publish(parcel)
	if got := w.next(1)[0]; got.event != "MessagesRefused" || got.codes[0] != "SENDING_STOPPED" {
		t.Errorf("%+v", got)
	}
	list, err := w.registrar(b).ListStops(w.admin(), &compliancev1.ListStopsRequest{})
	if err != nil || len(list.GetStops()) != 1 || list.GetStops()[0].GetActor() != "key/k1" || list.GetStops()[0].GetReason() != "phishing reported" {
		t.Errorf("%v %v", list, err)
	}
	_, err = w.registrar(b).ResumeSending(w.admin(), &compliancev1.ResumeSendingRequest{Scope: "header", ObjectId: "ABCBNK", Reason: "settled"})
	must(t, err)
	for _, c := range []*compliance{a, b} {
		until(t, "the stop is off", func() bool { return !stopped(c) })
	}
	parcel, _ = w.accept("live", "otp", w.text(otp, "ABCBNK", otpText))
	w.ingest.Publish(parcel)
	if got := w.next(1)[0]; got.event != "MessagesCleared" {
		t.Errorf("%+v", got)
	}
	postgrestest.CheckTenancy(t, w.database)
}

// TestRegistryIsTheTenants: who may do what, and what another tenant sees.
func TestRegistryIsTheTenants(t *testing.T) {
	w := newWorld(t, today(12))
	c, _ := w.start()
	client := w.registrar(c)
	header := &compliancev1.RegistryObject{ObjectId: "ABCNEW", EntityId: entity, Detail: &compliancev1.RegistryObject_Header{Header: &compliancev1.HeaderDetail{}}}
	create := func(ctx context.Context) error {
		_, err := client.CreateObject(ctx, &compliancev1.CreateObjectRequest{Kind: "headers", Object: header})
		return err
	}
	get := func(ctx context.Context) error {
		_, err := client.GetObject(ctx, &compliancev1.GetObjectRequest{Kind: "headers", ObjectId: "ABCNEW"})
		return err
	}
	for _, step := range []struct {
		name string
		err  error
		want codes.Code
	}{
		{"without a key", create(t.Context()), codes.Unauthenticated},
		{"to read only", create(w.as(w.demo.Tenant, "live", "registry:read")), codes.PermissionDenied},
		{"a test key", create(w.as(w.demo.Tenant, "test", "registry:write")), codes.PermissionDenied},
		{"another tenant has no such entity", create(w.as(uuid.New(), "live", "registry:write")), codes.InvalidArgument},
		{"create", create(w.admin()), codes.OK},
		{"create again", create(w.admin()), codes.AlreadyExists},
		{"read", get(w.as(w.demo.Tenant, "test", "registry:read")), codes.OK},
		{"another tenant reads", get(w.as(uuid.New(), "live", "registry:read")), codes.NotFound},
		{"to write only", get(w.as(w.demo.Tenant, "live", "registry:write")), codes.PermissionDenied},
	} {
		if got := status.Code(step.err); got != step.want {
			t.Errorf("%s: %v", step.name, step.err)
		}
	}
	until(t, "the header is followed", func() bool { return c.registry.Snapshot(w.demo.Tenant).Header("ABCNEW") != nil })
	if _, err := client.DeactivateObject(w.admin(), &compliancev1.DeactivateObjectRequest{Kind: "headers", ObjectId: "ABCNEW"}); err != nil {
		t.Fatal(err)
	}
	header.Name = "renamed"
	renamed, err := client.UpdateObject(w.admin(), &compliancev1.UpdateObjectRequest{Kind: "headers", ObjectId: "ABCNEW", Object: header})
	if err != nil || renamed.GetObject().GetName() != "renamed" || renamed.GetObject().GetStatus() != "inactive" {
		t.Errorf("renamed: %v %v", renamed, err)
	}
	header.Version = renamed.GetObject().GetVersion() - 1
	if _, err := client.UpdateObject(w.admin(), &compliancev1.UpdateObjectRequest{Kind: "headers", ObjectId: "ABCNEW", Object: header}); status.Code(err) != codes.AlreadyExists {
		t.Errorf("of an older version: %v", err)
	}
	until(t, "its end is followed", func() bool { return c.registry.Snapshot(w.demo.Tenant).Header("ABCNEW").Status == policy.Inactive })
}

// TestUsesAreWritten: what was cleared live is known as used, what was sent for trial is not.
func TestUsesAreWritten(t *testing.T) {
	w := newWorld(t, today(12))
	c, stop := w.start()
	live, _ := w.accept("live", "otp", w.text(otp, "ABCBNK", otpText))
	trial, _ := w.accept("test", "otp", message{template: shipped, header: "ABCBNK", expire: w.clock.now().Add(time.Hour),
		content: w.text(shipped, "ABCBNK", "Dear Asha, order 2345 shipped. Track: https://abc.in/t?o=2345 - ABCBNK").content})
	w.ingest.Publish(live, trial)
	for _, got := range w.next(2) {
		if got.event != "MessagesCleared" {
			t.Fatalf("%+v", got)
		}
	}
	c.flush(t.Context())
	day := w.clock.now().In(policy.IST).Format(time.DateOnly)
	for id, want := range map[string]string{otp: day, shipped: ""} {
		got, err := w.registrar(c).GetObject(w.admin(), &compliancev1.GetObjectRequest{Kind: "templates", ObjectId: id})
		if err != nil || got.GetObject().GetLastUseDate() != want {
			t.Errorf("%s was used %q, %v", id, got.GetObject().GetLastUseDate(), err)
		}
	}
	if left := c.registry.Snapshot(w.demo.Tenant).Used(); len(left) != 0 {
		t.Errorf("to be written again: %v", left)
	}
	stop()
}

// TestExport: what is exported, by the RPC and by the command, is the registry.
func TestExport(t *testing.T) {
	w := newWorld(t, today(12))
	c, _ := w.start()
	stream, err := w.registrar(c).ExportRegistry(w.admin(), &compliancev1.ExportRegistryRequest{})
	must(t, err)
	n := 0
	for {
		if _, err := stream.Recv(); err != nil {
			break
		}
		n++
	}
	if n != len(w.demo.Rows.Objects) {
		t.Errorf("%d objects", n)
	}
	for _, format := range []string{"yaml", "ndjson"} {
		var out strings.Builder
		must(t, export(t.Context(), importConfig{Postgres: w.cfg.Postgres}, w.demo.Tenant, format, &out))
		w.checkExport(format, out.String())
	}
	if err := export(t.Context(), importConfig{Postgres: w.cfg.Postgres}, uuid.New(), "yaml", &strings.Builder{}); err == nil {
		t.Error("an empty registry is exported")
	}
	if err := Export(t.Context(), nil); !errors.Is(err, errUsage) {
		t.Error(err)
	}
}

func manyID(i int) string { return fmt.Sprintf("11071700001%08d", i) }

// manyCSV is a file of so many templates.
func manyCSV(n int) []byte {
	var b strings.Builder
	b.WriteString("Template Id,Template Name,Template Type,Header,Template Content,Template Status\n")
	for i := range n {
		fmt.Fprintf(&b, "%s,T%d,Service Implicit,ABCBNK,\"Dear {#alphanumeric#}, order %d of {#numeric#} is on its way - ABCBNK\",Approved\n", manyID(i), i, i)
	}
	return []byte(b.String())
}
