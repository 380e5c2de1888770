package app

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/api"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/portal"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

var errUsage = service.ErrUsage

// checkExport reads an export back.
func (w *world) checkExport(format, content string) {
	w.t.Helper()
	var objects []registry.Object
	if format == "yaml" {
		f, err := registry.ParseFile([]byte(content))
		must(w.t, err)
		objects = f.Rows.Objects
	} else {
		var err error
		objects, err = api.ReadExport(strings.NewReader(content))
		must(w.t, err)
	}
	known := map[registry.Key]*registry.Object{}
	for i := range objects {
		known[objects[i].Key()] = &objects[i]
	}
	for i := range w.demo.Rows.Objects {
		o := &w.demo.Rows.Objects[i]
		if got := known[o.Key()]; got == nil || !registry.Same(got, o) {
			w.t.Errorf("%s: %+v, want %+v", format, got, o)
		}
	}
}

// importMany imports so many templates by RPC and answers how it went.
func (w *world) importMany(c *compliance, n int) *compliancev1.RegistryImport {
	w.t.Helper()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write(manyCSV(n))
	must(w.t, err)
	must(w.t, z.Close())
	last := w.importBytes(c, packed.Bytes(), &compliancev1.CreateImportRequest{EntityId: entity})
	if last.GetState() != "SUCCEEDED" {
		w.t.Fatalf("%v", last)
	}
	return last
}

// importBytes imports a file in two parts and watches it to its end.
func (w *world) importBytes(c *compliance, content []byte, req *compliancev1.CreateImportRequest) (last *compliancev1.RegistryImport) {
	w.t.Helper()
	client, half := w.registrar(c), len(content)/2
	req.Content, req.More = content[:half], true
	created, err := client.CreateImport(w.admin(), req)
	must(w.t, err)
	id := created.GetImport().GetImportId()
	for range 2 { // a repetition has no effect
		_, err = client.AppendImport(w.admin(), &compliancev1.AppendImportRequest{ImportId: id, Offset: int64(half), Content: content[half:]})
		must(w.t, err)
	}
	watch, err := client.WatchImport(w.admin(), &compliancev1.WatchImportRequest{ImportId: id})
	must(w.t, err)
	percent := int32(0)
	for {
		resp, err := watch.Recv()
		if errors.Is(err, io.EOF) {
			return last
		}
		must(w.t, err)
		if last = resp.GetImport(); last.GetPercent() < percent {
			w.t.Errorf("progress went back from %d to %d", percent, last.GetPercent())
		}
		percent = last.GetPercent()
	}
}

// TestImportOfAPortalsFile: all of it, the same again changes nothing, a wrong line stops all of it and is named.
func TestImportOfAPortalsFile(t *testing.T) {
	w := newWorld(t, today(12))
	c, _ := w.start()
	if got := w.importMany(c, 500); got.GetCreated() != 500 || got.GetPercent() != 100 || got.GetPortal() != "vilpower" || got.GetKind() != "templates" {
		t.Errorf("%v", got)
	}
	version := func() int64 { return w.rows(w.demo.Tenant).Version }
	before := version()
	if got := w.importMany(c, 500); got.GetUnchanged() != 500 || got.GetCreated()+got.GetChanged() != 0 || version() != before {
		t.Errorf("the same again: %v, version %d after %d", got, version(), before)
	}
	wrong := append(manyCSV(700), []byte("1107170000100000000,T0,Service Implicit,ABCBNK,zebra,Approved\n17,T,Service Implicit,ABCBNK,x,Approved\n")...)
	got := w.importBytes(c, wrong, &compliancev1.CreateImportRequest{EntityId: entity})
	if got.GetState() != "FAILED" || got.GetReason() != "IMPORT_LINES_WRONG" || version() != before {
		t.Errorf("%v, version %d after %d", got, version(), before)
	}
	page, err := w.registrar(c).ListImportProblems(w.admin(), &compliancev1.ListImportProblemsRequest{ImportId: got.GetImportId(), PageSize: 2})
	must(t, err)
	if len(page.GetProblems()) != 2 || page.GetNextPageToken() == "" || page.GetProblems()[0].GetLine() != 702 {
		t.Errorf("%v", page)
	}
	rest, err := w.registrar(c).ListImportProblems(w.admin(), &compliancev1.ListImportProblemsRequest{ImportId: got.GetImportId(), PageToken: page.GetNextPageToken()})
	must(t, err)
	for _, p := range append(page.GetProblems(), rest.GetProblems()...) {
		if p.GetLine() < 702 || p.GetReason() == "" || p.GetDetail() == "" || strings.Contains(p.GetDetail(), "zebra") {
			t.Errorf("%v", p)
		}
	}
	if _, err := w.registrar(c).GetImport(w.as(uuid.New(), "live", "registry:read"), &compliancev1.GetImportRequest{ImportId: got.GetImportId()}); status.Code(err) != codes.NotFound {
		t.Errorf("another tenant: %v", err)
	}
}

func (w *world) rows(tenant uuid.UUID) registry.Rows {
	w.t.Helper()
	c, err := open(w.t.Context(), w.cfg, slog.Default(), w.clock.now)
	must(w.t, err)
	defer c.close()
	rows, err := c.records.Rows(w.t.Context(), tenant, 0, nil)
	must(w.t, err)
	return rows
}

// Requirement 78 on the service: a portal's export is compared, differences are listed, nothing is changed but what the
// portal has blacklisted.
func TestRequirement78CompareBlacklists(t *testing.T) {
	w := newWorld(t, today(12))
	c, _ := w.start()
	file := "template_id,category,headers,body,status\n" +
		otp + ",transactional,ABCBNK,{#numeric#} is your OTP for ABC login. Do not share it. - ABCBNK,blacklisted\n" +
		shipped + ",promotional,ABCBNK,another,active\n"
	got := w.importBytes(c, []byte(file), &compliancev1.CreateImportRequest{EntityId: entity, Mode: "compare"})
	if got.GetState() != "SUCCEEDED" || got.GetChanged() != 1 {
		t.Fatalf("%v", got)
	}
	page, err := w.registrar(c).ListImportProblems(w.admin(), &compliancev1.ListImportProblemsRequest{ImportId: got.GetImportId()})
	must(t, err)
	found := map[string]int{}
	for _, p := range page.GetProblems() {
		found[p.GetReason()]++
	}
	if found["STATUS_DIFFERS"] != 1 || found["BODY_DIFFERS"] != 1 || found["CATEGORY_DIFFERS"] != 1 || found["NOT_IN_EXPORT"] != 3 {
		t.Errorf("%v", found)
	}
	until(t, "the blacklisting is followed", func() bool {
		return c.registry.Snapshot(w.demo.Tenant).Template(otp).Status == policy.Blacklisted
	})
	parcel, _ := w.accept("live", "otp", w.text(otp, "ABCBNK", otpText))
	w.ingest.Publish(parcel)
	if got := w.next(1)[0]; got.event != "MessagesRefused" || got.codes[0] != "TEMPLATE_BLACKLISTED" {
		t.Errorf("%+v", got)
	}
}

// TestImportSurvivesItsHolder: an import whose process died is carried through by another when its lease is over, and the
// one that held it can do nothing to it any more.
func TestImportSurvivesItsHolder(t *testing.T) {
	w := newWorld(t, today(12))
	dead, err := open(t.Context(), w.cfg, slog.Default(), w.clock.now)
	must(t, err)
	defer dead.close()
	i, err := dead.records.CreateImport(t.Context(), portal.Import{Tenant: w.demo.Tenant, Mode: portal.ModeImport, Actor: "key/k1", Entity: entity}, manyCSV(50), false)
	must(t, err)
	held, err := dead.records.ClaimImport(t.Context())
	if err != nil || held == nil || held.ID != i.ID {
		t.Fatal(held, err)
	}
	c, _ := w.start()
	if again, err := c.records.ClaimImport(t.Context()); err != nil || again != nil {
		t.Fatalf("claimed twice: %v %v", again, err)
	}
	_, err = w.database.DB.Worker.Exec(t.Context(), `UPDATE registry_imports SET lease_until = now() - interval '1 second'`)
	must(t, err)
	c.wakeImporter()
	until(t, "it is taken over", func() bool {
		now, err := c.records.GetImport(t.Context(), w.demo.Tenant, i.ID)
		must(t, err)
		return now.State == portal.Succeeded && now.Created == 50
	})
	held.State = portal.Succeeded
	if err := dead.records.Progress(t.Context(), held); err == nil {
		t.Error("the former holder reports progress")
	}
	if err := dead.records.Fail(t.Context(), held, nil); err == nil {
		t.Error("the former holder ends it")
	}
}

// TestImportCommand: the command carries a portal's file through and prints how it goes, and what is wrong with it.
func TestImportCommand(t *testing.T) {
	w := newWorld(t, today(12))
	var out strings.Builder
	i := portal.Import{Tenant: w.demo.Tenant, Mode: portal.ModeImport, Entity: entity}
	must(t, importCSV(t.Context(), importConfig{Postgres: w.cfg.Postgres, Bus: w.cfg.Bus}, i, manyCSV(20), &out))
	if !strings.Contains(out.String(), "100 %") || !strings.Contains(out.String(), "20 new") {
		t.Errorf("%s", out.String())
	}
	out.Reset()
	err := importCSV(t.Context(), importConfig{Postgres: w.cfg.Postgres}, i, []byte("template_id,category,body\n1,service,x\n"), &out)
	if err == nil || !strings.Contains(out.String(), "line 2, template_id: TEMPLATE_ID_INVALID") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// peakMiB is the most memory this process has had.
func peakMiB(b *testing.B) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	must(b, err)
	return float64(kib) / 1024
}

// BenchmarkImport100k imports 100,000 templates and waits until they are in memory.
func BenchmarkImport100k(b *testing.B) {
	w := newWorld(b, today(12))
	c, _ := w.start()
	b.ResetTimer()
	for b.Loop() {
		start := time.Now()
		w.importMany(c, 100_000)
		done := time.Since(start)
		until(b, "they are loaded", func() bool { return c.registry.Snapshot(w.demo.Tenant).Template(manyID(99_999)) != nil })
		b.ReportMetric(done.Seconds(), "s/import")
		b.ReportMetric(time.Since(start).Seconds(), "s/in-memory")
		b.ReportMetric(peakMiB(b), "MiB-peak-of-process")
		if _, err := w.database.DB.Worker.Exec(b.Context(), `DELETE FROM registry_objects WHERE object_id LIKE '11071700001%'`); err != nil {
			b.Fatal(err)
		}
	}
}
