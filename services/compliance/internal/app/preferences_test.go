package app

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/consumer"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/preference"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/compliance/internal/scrub"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/rpc"
	"github.com/onlinesms/onlinesms/services/internal/seal"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf"
)

const (
	listed      = "9876543210"
	listedE164  = "+919876543210"
	promoText   = "Fresh stock at ABC stores till Sunday. Opt out: https://abc.in/stop?x=1 - ABC"
	scrubScope  = "preferences:read"
	scrubSource = "TestScrubber"
)

// reader is PreferenceService of a replica, as the door calls it.
func (w *world) reader(c *compliance) compliancev1.PreferenceServiceClient {
	tls, err := tlsconf.Client(w.files["ingest"], name)
	must(w.t, err)
	conn, err := rpc.Dial(c.addr.String(), tls)
	must(w.t, err)
	w.t.Cleanup(func() { conn.Close() })
	return compliancev1.NewPreferenceServiceClient(conn)
}

// scrubbing takes the demo's override away: its promotion goes by preference and consent.
func (w *world) scrubbing() {
	w.t.Helper()
	for i := range w.demo.Rows.Objects {
		if o := &w.demo.Rows.Objects[i]; o.Kind == registry.Templates && o.ID == stock {
			o.Overrides = nil
		}
	}
	must(w.t, importFile(w.t.Context(), importConfig{Postgres: w.cfg.Postgres, Bus: w.cfg.Bus}, w.demo))
}

// file writes lines to a file that the command can import.
func (w *world) file(lines string) string {
	path := filepath.Join(w.t.TempDir(), "scrub.csv")
	must(w.t, os.WriteFile(path, []byte(lines), 0o600))
	return path
}

func (w *world) preferencesConfig() preferencesConfig {
	return preferencesConfig{Postgres: w.cfg.Postgres, Bus: w.cfg.Bus, KEK: w.cfg.KEK, Keyring: w.cfg.Keyring,
		PreferenceDir: w.cfg.PreferenceDir, PreferenceStoreBytes: w.cfg.PreferenceStoreBytes}
}

// scrub imports lines as scrubbed an hour before the world's now, by the command.
func (w *world) scrub(lines string) (string, error) {
	var out bytes.Buffer
	err := importPreferences(w.t.Context(), w.preferencesConfig(), []string{"-file", w.file(lines), "-provider", scrubSource,
		"-reference", "r-" + newID().String(), "-at", w.clock.now().Add(-time.Hour).Format(time.RFC3339)}, &out)
	return out.String(), err
}

// answer is what a replica's register says of the recipient of all messages.
func (w *world) answer(c compliancev1.PreferenceServiceClient) string {
	w.t.Helper()
	got, err := c.Lookup(w.as(w.demo.Tenant, "live", scrubScope), &compliancev1.PreferenceServiceLookupRequest{To: listedE164, Goods: 5})
	must(w.t, err)
	return strings.TrimSpace(got.GetAnswer() + " " + got.GetBlockedBy())
}

// promotion sends one promotional message and answers which reasons on preference it met.
func (w *world) promotion() (found []string) {
	w.t.Helper()
	parcel, _ := w.accept("live", "bulk", w.text(stock, "512345", promoText))
	w.ingest.Publish(parcel)
	for _, code := range w.next(1)[0].codes {
		if slices.Contains([]string{policy.PreferenceBlocked, policy.NotScrubbed}, code) {
			found = append(found, code)
		}
	}
	return found
}

// TestTwoReplicasFollowAnImport: a file that is imported is in force on both replicas while sends flow, another after it as
// well; decisions are right before, during and after; a replica that comes later has it too, and one that is started again
// has kept it. Changes between two runs reach both.
func TestTwoReplicasFollowAnImport(t *testing.T) {
	w := newWorld(t, today(12))
	w.scrubbing()
	a, _ := w.start()
	b, stopB := w.start()
	replicas := []compliancev1.PreferenceServiceClient{w.reader(a), w.reader(b)}
	everywhere := func(want string) {
		t.Helper()
		for _, r := range replicas {
			until(t, want+" on every replica", func() bool { return w.answer(r) == want })
		}
	}
	everywhere("UNAVAILABLE")
	if got := w.promotion(); got != nil {
		t.Errorf("before any run: %v", got)
	}
	for _, step := range []struct{ lines, answer, code string }{
		{listed + "\n9876543211,none\n", "BLOCKED all", policy.PreferenceBlocked},
		{"9876543211,none\n", "NOT_SCRUBBED", policy.NotScrubbed},
		{listed + ",none\n", "FREE", ""},
		{listed + ",5\n", "BLOCKED category", policy.PreferenceBlocked},
	} {
		before := w.answer(replicas[0])
		imported := make(chan error, 1)
		go func() {
			out, err := w.scrub(step.lines)
			if err == nil && !strings.Contains(out, "numbers") {
				err = errors.New(out)
			}
			imported <- err
		}()
		for done := false; !done; { // sends flow: by the file before or by the one after, never by none
			select {
			case err := <-imported:
				must(t, err)
				done = true
			default:
				got := w.promotion()
				if now := w.answer(replicas[0]); before != "UNAVAILABLE" && now == before && len(got) > 1 {
					t.Errorf("during the import: %v", got)
				}
			}
		}
		everywhere(step.answer)
		if got := w.promotion(); strings.Join(got, "") != step.code {
			t.Errorf("after %q: %v", step.answer, got)
		}
	}
	var out bytes.Buffer
	must(t, importPreferences(t.Context(), w.preferencesConfig(), []string{"-changes", w.file(listed + ",none\n")}, &out))
	everywhere("FREE")
	must(t, importPreferences(t.Context(), w.preferencesConfig(), []string{"-changes", w.file(listed + ",promo\n9876543213,full\n")}, &out))
	everywhere("BLOCKED promotional")
	stopB()
	c, _ := w.start() // in a directory of its own: it has to fetch the file and all changes
	replicas = append(replicas[:1], w.reader(c))
	everywhere("BLOCKED promotional")
	fresh, err := replicas[1].GetFreshness(w.as(w.demo.Tenant, "live", scrubScope), &compliancev1.GetFreshnessRequest{})
	if err != nil || !fresh.GetFresh() || fresh.GetChanges() != 3 || fresh.GetRun().GetProvider() != scrubSource || fresh.GetRun().GetNumbers() != 1 {
		t.Errorf("%v %v", fresh, err)
	}
	w.checkRuns(replicas[0], 4)
	w.clock.set(today(12).Add(24 * time.Hour)) // the run was of yesterday
	if got := w.answer(replicas[0]); got != "UNAVAILABLE" {
		t.Errorf("the next day: %s", got)
	}
}

// checkRuns pages through all runs, the latest first.
func (w *world) checkRuns(c compliancev1.PreferenceServiceClient, want int) {
	w.t.Helper()
	var runs []*compliancev1.ScrubRun
	for token := ""; ; {
		page, err := c.ListRuns(w.as(w.demo.Tenant, "live", scrubScope), &compliancev1.ListRunsRequest{PageSize: 3, PageToken: token})
		must(w.t, err)
		runs = append(runs, page.GetRuns()...)
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	if len(runs) != want || !slices.IsSortedFunc(runs, func(a, b *compliancev1.ScrubRun) int {
		return b.GetImportTime().AsTime().Compare(a.GetImportTime().AsTime())
	}) {
		w.t.Errorf("%d runs: %v", len(runs), runs)
	}
}

// TestImportThatFails: wrong lines are named by number, a cancelled import changes nothing, and nothing is left of either.
func TestImportThatFails(t *testing.T) {
	w := newWorld(t, today(12))
	c, _ := w.start()
	r := w.reader(c)
	_, err := w.scrub(listed + ",promo\n")
	must(t, err)
	until(t, "the file is in force", func() bool { return w.answer(r) == "BLOCKED promotional" })
	out, err := w.scrub("number\n9876543211\n12345\n9876543212,9\n")
	if err == nil || !strings.Contains(out, "line 3") || !strings.Contains(out, "line 4") || strings.Contains(out, "12345") {
		t.Errorf("%v %s", err, out)
	}
	ctx, cancel := context.WithCancel(t.Context())
	endless, feed := io.Pipe()
	go func() {
		for i := 0; ; i++ {
			if i == 100_000 {
				cancel()
			}
			if _, err := io.WriteString(feed, listed+",none\n"); err != nil {
				return
			}
		}
	}()
	err = w.importFrom(ctx, endless)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	must(t, endless.Close())
	if got := w.answer(r); got != "BLOCKED promotional" {
		t.Errorf("afterwards: %s", got)
	}
	if left, err := os.ReadDir(filepath.Join(filepath.Dir(w.cfg.PreferenceDir), "import")); err != nil || slices.ContainsFunc(left, func(e os.DirEntry) bool {
		return strings.Contains(e.Name(), ".plane") && !strings.Contains(e.Name(), ".lock") && !strings.Contains(e.Name(), ".owner")
	}) {
		t.Errorf("left: %v %v", left, err)
	}
	if _, err := w.scrub(listed + ",none\n"); err != nil { // it can be started again
		t.Fatal(err)
	}
	until(t, "the next file is in force", func() bool { return w.answer(r) == "FREE" })
}

// stream is a provider whose lines come from a reader.
type stream struct{ lines io.ReadCloser }

func (s stream) Fetch(context.Context) (scrub.Result, error) {
	return scrub.Result{Provider: scrubSource, At: time.Now(), Lines: s.lines}, nil
}

// importFrom imports what comes from a reader, as the command does.
func (w *world) importFrom(ctx context.Context, lines io.ReadCloser) error {
	w.t.Helper()
	bus, err := eventbus.Connect(w.t.Context(), w.cfg.Bus, name)
	must(w.t, err)
	defer bus.Close()
	objects, err := bus.Objects(w.t.Context(), bucket, w.cfg.PreferenceStoreBytes)
	must(w.t, err)
	keyring, err := seal.OpenKeyring(w.t.Context(), w.cfg.KEK, w.cfg.Keyring, time.Now)
	must(w.t, err)
	i := scrub.Importer{Dir: scrub.Scratch(filepath.Dir(w.cfg.PreferenceDir)), Keys: keyring, Objects: objects, NewID: newID, Now: time.Now}
	_, err = i.Import(ctx, stream{lines}, func(preference.Progress, int64) {})
	return err
}

// TestRequirement51NothingInClear: what leaves a replica is sealed: the file in the object store and the changes in the table
// open for their purpose only, and no number stands in any table of preferences or in what the command prints.
func TestRequirement51NothingInClear(t *testing.T) {
	w := newWorld(t, today(12))
	out, err := w.scrub(listed + ",promo\n")
	must(t, err)
	var changed bytes.Buffer
	must(t, importPreferences(t.Context(), w.preferencesConfig(), []string{"-changes", w.file(listed + ",none\n")}, &changed))
	var object, rows string
	var sealed []byte
	must(t, w.database.DB.Worker.QueryRow(t.Context(), `SELECT r.object, c.sealed, r::text || c::text FROM preference_runs r JOIN preference_changes c USING (run_id)`).
		Scan(&object, &sealed, &rows))
	bus, err := eventbus.Connect(t.Context(), w.cfg.Bus, name)
	must(t, err)
	defer bus.Close()
	objects, err := bus.Objects(t.Context(), bucket, w.cfg.PreferenceStoreBytes)
	must(t, err)
	r, err := objects.Get(t.Context(), object)
	must(t, err)
	file, err := io.ReadAll(r)
	must(t, errors.Join(err, r.Close()))
	n, _ := preference.ParseNumber(listedE164)
	plain := preference.MarshalChanges([]preference.Change{{Number: n, Preference: preference.None}})
	for what, content := range map[string][]byte{"the object": file, "the changes": sealed, "the tables": []byte(rows), "the import's output": []byte(out), "the changes' output": changed.Bytes()} {
		if bytes.Contains(content, plain[:4]) || bytes.Contains(content, []byte(listed)) || len(content) == 0 {
			t.Errorf("%s hold the number, or nothing", what)
		}
	}
	keyring, err := seal.OpenKeyring(t.Context(), w.cfg.KEK, w.cfg.Keyring, time.Now)
	must(t, err)
	for _, place := range [][2]string{{"test", "preference-file/v1"}, {"live", "preference-changes/v1"}} {
		if opened, err := keyring.OpenFile(t.Context(), place[0], place[1], bytes.NewReader(file)); err == nil {
			if _, err = io.ReadAll(opened); err == nil {
				t.Errorf("the file opens for %v", place)
			}
		}
	}
}

// TestOperatorsAnswers: a receipt by which an operator blocks promotion (650) stops the next promotion to the number, on
// every replica, in its environment only.
func TestOperatorsAnswers(t *testing.T) {
	w := newWorld(t, today(12))
	a, _ := w.start()
	b, _ := w.start()
	_, err := w.scrub(listed + ",none\n")
	must(t, err)
	replicas := []compliancev1.PreferenceServiceClient{w.reader(a), w.reader(b)}
	for _, r := range replicas {
		until(t, "the file is in force", func() bool { return w.answer(r) == "FREE" })
	}
	parcel, ids := w.accept("live", "otp", w.text(otp, "ABCBNK", otpText))
	w.ingest.Publish(parcel)
	if got := w.next(1)[0]; got.event != "MessagesCleared" {
		t.Fatalf("%+v", got)
	}
	id := newID()
	payload, err := proto.Marshal(&dispatchv1.OutcomeParcel{ParcelId: id[:], TenantId: w.demo.Tenant[:], CorrelationId: id[:], Outcomes: []*dispatchv1.Outcome{
		{MessageId: ids[0][:], TimeUs: w.clock.now().UnixMicro(), Reason: &typev1.Reason{Code: policy.PreferenceBlocked}}}})
	must(t, err)
	w.dispatch.Publish(eventbus.Parcel{ID: id, Tenant: w.demo.Tenant, Entries: 1, Payload: payload, Subject: eventbus.Subject(consumer.EventUndelivered, "live", "otp")})
	for _, r := range replicas {
		until(t, "the operator's answer counts", func() bool { return w.answer(r) == "BLOCKED operator" })
	}
	test, err := replicas[0].Lookup(w.as(w.demo.Tenant, "test", scrubScope), &compliancev1.PreferenceServiceLookupRequest{To: listedE164})
	if err != nil || test.GetAnswer() != "FREE" {
		t.Errorf("the other environment: %v %v", test, err)
	}
}

// TestWhoMayRead: a scope is needed, and what is asked must make sense.
func TestWhoMayReadPreferences(t *testing.T) {
	w := newWorld(t, today(12))
	c, _ := w.start()
	r := w.reader(c)
	may, mayNot := w.as(w.demo.Tenant, "live", scrubScope), w.as(w.demo.Tenant, "live", "registry:read")
	look := func(ctx context.Context, req *compliancev1.PreferenceServiceLookupRequest) error {
		_, err := r.Lookup(ctx, req)
		return err
	}
	_, fresh := r.GetFreshness(mayNot, &compliancev1.GetFreshnessRequest{})
	_, runs := r.ListRuns(mayNot, &compliancev1.ListRunsRequest{})
	_, size := r.ListRuns(may, &compliancev1.ListRunsRequest{PageSize: 501})
	_, token := r.ListRuns(may, &compliancev1.ListRunsRequest{PageToken: "x"})
	for name, step := range map[string]struct {
		err  error
		want codes.Code
	}{
		"look up":         {look(mayNot, &compliancev1.PreferenceServiceLookupRequest{To: listedE164}), codes.PermissionDenied},
		"freshness":       {fresh, codes.PermissionDenied},
		"runs":            {runs, codes.PermissionDenied},
		"a landline":      {look(may, &compliancev1.PreferenceServiceLookupRequest{To: "+911123456789"}), codes.InvalidArgument},
		"goods":           {look(may, &compliancev1.PreferenceServiceLookupRequest{To: listedE164, Goods: 9}), codes.InvalidArgument},
		"a page too long": {size, codes.InvalidArgument},
		"a token":         {token, codes.InvalidArgument},
	} {
		if status.Code(step.err) != step.want || strings.Contains(step.err.Error(), "11234") {
			t.Errorf("%s: %v", name, step.err)
		}
	}
}
