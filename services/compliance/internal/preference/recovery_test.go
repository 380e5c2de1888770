package preference_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onlinesms/onlinesms/services/compliance/internal/preference"
	"github.com/onlinesms/onlinesms/services/compliance/internal/preference/preferencetest"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

func importLines(t testing.TB, s *preference.Store, coverage preference.Coverage, text string) preference.Run {
	t.Helper()
	run, err := s.Import(context.Background(), preferencetest.NewRun(coverage), strings.NewReader(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func restart(t testing.TB, s *preference.Store, dir string) *preference.Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, dir)
}

// The register compared with a map through random files, changes and restarts.
func TestStoreAgreesWithMap(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	specs := []string{"", ",full", ",promo", ",none", ",1", ",2|3", ",,sms", ",8,voice,sun", ",,,holiday,1|9", ",5,live,mon|tue,4"}
	for range 20 {
		specs = append(specs, fmt.Sprintf(",%d|%d,,,%d", 1+r.IntN(8), 1+r.IntN(8), 1+r.IntN(9)))
	}
	dir := t.TempDir()
	s, want := open(t, dir), map[preference.Number]preference.Preference{}
	for round := range 6 {
		clear(want)
		var file strings.Builder
		for range 1 + r.IntN(50_000) {
			n, spec := number(r), specs[min(r.IntN(len(specs)), r.IntN(len(specs)))]
			p, err := preference.Parse(strings.TrimPrefix(spec, ","))
			if err != nil {
				t.Fatal(err)
			}
			want[n] = p
			file.WriteString(n.E164()[3:] + spec + "\n")
		}
		coverage := preference.Coverage(round % 2)
		run := importLines(t, s, coverage, file.String())
		if run.Numbers != uint64(len(want)) {
			t.Fatalf("%d numbers, want %d", run.Numbers, len(want))
		}
		compareStore(t, r, s, want, coverage)
		for range 50 {
			c := preference.Change{Number: number(r), Preference: 1<<2<<r.IntN(30) | 3}
			want[c.Number] = c.Preference
			if err := s.Update(c); err != nil {
				t.Fatal(err)
			}
		}
		compareStore(t, r, s, want, coverage)
		s = restart(t, s, dir)
		compareStore(t, r, s, want, coverage)
	}
}

func number(r *rand.Rand) preference.Number {
	return preference.Number(r.IntN(3)*1_333_333_333 + r.IntN(300_000))
}

func compareStore(t *testing.T, r *rand.Rand, s *preference.Store, want map[preference.Number]preference.Preference, coverage preference.Coverage) {
	t.Helper()
	v := s.View()
	defer v.Close()
	var numbers []preference.Number
	for n := range want {
		numbers = append(numbers, n, n^1)
	}
	for range 20_000 {
		numbers = append(numbers, number(r), preference.Number(r.Uint32N(preference.Numbers)))
	}
	got := make([]preference.Result, len(numbers))
	v.LookAll(got, numbers)
	for i, n := range numbers {
		p, listed := want[n]
		if expect := (preference.Result{Preference: p, Scrubbed: listed || coverage == preference.All}); got[i] != expect || v.Look(n) != expect {
			t.Fatalf("%d: %v, want %v", n, got[i], expect)
		}
	}
}

const importerDir = "PREFERENCE_TEST_IMPORTER"

// TestMain becomes the importer of the crash test when told so: it reads its standard input into the directory.
func TestMain(m *testing.M) {
	if dir := os.Getenv(importerDir); dir != "" {
		s, err := preference.Open(dir)
		if err == nil {
			fmt.Println("open")
			_, err = s.Import(context.Background(), preferencetest.NewRun(preference.All), os.Stdin, nil)
		}
		fmt.Println("done", err)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// An importer that is killed at any stage leaves the old file in force, or the new one whole.
func TestKilledImporterLeavesTheOldFile(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	old := importLines(t, s, preference.All, "9876543210,full\n")
	if err := s.Update(preference.Change{Number: 77, Preference: preference.Promotional}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		killImporter(t, dir)
		s = open(t, dir)
		if run, _ := s.Freshness(preferencetest.Noon); !cmp.Equal(run, old) {
			t.Fatalf("run %+v in force, want %+v", run, old)
		}
		if got := s.Look(preferencetest.MustNumber(t, "9876543210")); got.Preference != preference.Full {
			t.Errorf("the old file's number: %v", got)
		}
		if got := s.Look(77); got.Preference != preference.Promotional {
			t.Errorf("the old file's change: %v", got)
		}
		if parts, _ := filepath.Glob(filepath.Join(dir, "*.part")); len(parts) > 0 {
			t.Errorf("%v is left", parts)
		}
	}
	if run := importLines(t, s, preference.All, "9876543211,full\n"); run.Numbers != 1 {
		t.Errorf("an import afterwards: %+v", run)
	}
}

// killImporter lets another process import, and kills it (SIGKILL) once it has read lines that it must have stored.
func killImporter(t *testing.T, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append(os.Environ(), importerDir+"="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := []byte("9876543299,full\n")
	for range 4 { // the importer takes a MiB at a time: it has begun when more than one and the pipe's buffer are gone
		if _, err := in.Write(bytes.Repeat(line, 1<<16)); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "preference.plane.part")); err != nil || info.Size() == 0 {
		t.Errorf("the importer has not begun: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the importer ended by itself")
	}
}

// Whatever byte of a file is changed, the file is refused, and no answer comes from it.
func TestDamagedFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	importLines(t, s, preference.All, "6000000000,full\n9999999999,1,sms,sun,3\n")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "preference.plane")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{0, 9, 33, 161, 4000, 4096, 5000, 1_000_000_000, 2_000_000_000, info.Size() - 5000, info.Size() - 9, info.Size() - 1} {
		flip(t, path, at)
		if s, err := preference.Open(dir); err == nil {
			t.Errorf("byte %d of %d changed: opened, closed %v", at, info.Size(), s.Close())
		} else if errs.KindOf(err) != errs.Internal || strings.Contains(err.Error(), dir) {
			t.Errorf("byte %d: %v", at, err)
		}
		flip(t, path, at)
	}
	if err := os.Truncate(path, info.Size()-1); err != nil {
		t.Fatal(err)
	}
	if _, err := preference.Open(dir); err == nil {
		t.Error("a file cut short is opened")
	}
}

func flip(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// A journal cut at any byte keeps every change that was whole, and takes new ones.
func TestTornJournal(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	importLines(t, s, preference.All, "9876543210,full\n")
	const changes = 5
	for n := range preference.Number(changes) {
		if err := s.Update(preference.Change{Number: n, Preference: preference.Full}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	journals, err := filepath.Glob(filepath.Join(dir, "*.journal"))
	if err != nil || len(journals) != 1 {
		t.Fatalf("journals %v, %v", journals, err)
	}
	whole, err := os.ReadFile(journals[0])
	if err != nil {
		t.Fatal(err)
	}
	for cut := len(whole); cut >= 0; cut -= 7 {
		if err := os.WriteFile(journals[0], whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, dir)
		kept := preference.Number(max(0, (cut-40)/24))
		for n := range preference.Number(changes) {
			if got := s.Look(n).Preference == preference.Full; got != (n < kept) {
				t.Errorf("cut at %d: change %d is %t", cut, n, got)
			}
		}
		if err := s.Update(preference.Change{Number: 100, Preference: preference.Full}); err != nil {
			t.Fatal(err)
		}
		s = restart(t, s, dir)
		if got, last, err := s.Changes(0, 100); err != nil || len(got) != int(kept)+1 || last != uint64(kept)+1 {
			t.Errorf("cut at %d: changes %v, %d, %v", cut, got, last, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A replica gets the file and the changes, and refuses a transfer that is not whole.
func TestExportAndReceive(t *testing.T) {
	from, dir := open(t, t.TempDir()), t.TempDir()
	to := open(t, dir)
	var sent bytes.Buffer
	if _, err := from.Export(context.Background(), &sent); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("an export of nothing: %v", err)
	}
	run := importLines(t, from, preference.Listed, "6000000000,full\n8000000000,none\n9999999999,1,sms,sun,3\n")
	if err := from.Update(preference.Change{Number: 5, Preference: preference.Full}); err != nil {
		t.Fatal(err)
	}
	sent.Reset()
	if got, err := from.Export(context.Background(), &sent); err != nil || !cmp.Equal(got, run) {
		t.Fatalf("%+v, %v", got, err)
	}
	whole := sent.Bytes()
	for _, damaged := range [][]byte{whole[:len(whole)-1], whole[:len(whole)/2], append([]byte{1}, whole...), {}} {
		if _, err := to.Receive(context.Background(), bytes.NewReader(damaged)); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%d bytes of %d: %v", len(damaged), len(whole), err)
		}
	}
	if got, err := to.Receive(context.Background(), io.MultiReader(bytes.NewReader(whole))); err != nil || !cmp.Equal(got, run) {
		t.Fatalf("%+v, %v", got, err)
	}
	changes, last, err := from.Changes(0, 10)
	if err != nil || last != 1 {
		t.Fatalf("%v, %d, %v", changes, last, err)
	}
	if err := to.Update(changes...); err != nil {
		t.Fatal(err)
	}
	to = restart(t, to, dir)
	for _, n := range []preference.Number{0, 5, 6, 2_000_000_000, 3_999_999_999, 3_999_999_998} {
		if to.Look(n) != from.Look(n) {
			t.Errorf("%d: %v here, %v there", n, to.Look(n), from.Look(n))
		}
	}
	t.Logf("a file of %d numbers travels as %d bytes", run.Numbers, len(whole))
}

// A second import at the same time is refused, and the first goes on.
func TestOneImportAtATime(t *testing.T) {
	s := open(t, t.TempDir())
	in := &paused{text: strings.NewReader("9876543210\n"), reached: make(chan struct{}), resume: make(chan struct{})}
	first := make(chan error)
	go func() {
		_, err := s.Import(context.Background(), preferencetest.NewRun(preference.All), in, nil)
		first <- err
	}()
	<-in.reached
	if _, err := s.Import(context.Background(), preferencetest.NewRun(preference.All), strings.NewReader(""), nil); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("the second: %v", err)
	}
	close(in.resume)
	if err := <-first; err != nil {
		t.Errorf("the first: %v", err)
	}
}
