package screening

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nyaruka/phonenumbers"

	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
	"github.com/onlinesms/onlinesms/services/internal/gsm"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
	"github.com/onlinesms/onlinesms/services/internal/ratiotest"
)

// benchRound is how many messages a turn decides.
const benchRound = 4096

// BenchmarkRatioDecision (F1): the whole decision over 100,000 templates, with scan and segments, takes at most three times
// what scanning, comparing and measuring one hot message take, at least 700,000 a second on a core, without allocation.
func BenchmarkRatioDecision(b *testing.B) {
	w := newBenchWorld(b)
	if n := testing.AllocsPerRun(3, func() { w.decide(b, 0, benchRound) }); n != 0 {
		b.Fatalf("%v allocations in %d decisions", n, benchRound)
	}
	hot := w.decider.snapshot.Template(w.messages[0].TemplateID)
	rules := template.Rules{Whitelist: w.decider.snapshot.Entity(benchEntity).Whitelist}
	var matcher template.Matcher
	ratiotest.Compare(b, 1./3, w.side(b), ratiotest.Side{Name: "hot", Ops: benchRound, Run: func() {
		text := w.contents.all[0].Text
		for range benchRound {
			w.scan(text)
			if matcher.Match(hot.Parsed, text, rules) != nil || gsm.Measure(text).Segments != 1 {
				b.Fatal("does not match")
			}
		}
	}})
}

// BenchmarkRatioDecisionTwoThreads (F1): two threads over one snapshot decide at least 1.8 times what one does. What is
// compared is CPU time, in which waiting for each other's caches shows, and which other processes do not change.
func BenchmarkRatioDecisionTwoThreads(b *testing.B) {
	w := newBenchWorld(b)
	others := [2]*benchWorld{w.beside(), w.beside()}
	for i, other := range others {
		other.at = (2 + i) * benchRound // messages that nobody has just had in a cache
	}
	two := ratiotest.Side{Ops: 2 * 2 * benchRound, Run: func() { // half of the CPU time passes on each
		var wait sync.WaitGroup
		for _, other := range others {
			wait.Go(func() {
				other.decide(b, other.at, benchRound)
				other.at += benchRound
			})
		}
		wait.Wait()
	}}
	one := w.side(b)
	one.Name = "one-thread"
	ratiotest.Compare(b, 1.8, two, one)
}

// side decides a round further with every turn.
func (w *benchWorld) side(b *testing.B) ratiotest.Side {
	return ratiotest.Side{Ops: benchRound, Run: func() {
		w.decide(b, w.at, benchRound)
		w.at += benchRound
	}}
}

// beside is another thread's way into the same world.
func (w *benchWorld) beside() *benchWorld {
	d := &w.decider
	return &benchWorld{contents: w.contents, messages: w.messages, bodies: w.bodies, scan: newScan(),
		decider: decider{opener: d.opener, proofs: d.proofs, pack: d.pack, now: d.now, day: d.day, snapshot: d.snapshot, parcel: d.parcel}}
}

// naive does the same with libraries, as one would write it down: two look-ups in PostgreSQL, libphonenumber, a compiled
// regular expression for the template.
type naive struct {
	conn     *pgx.Conn
	patterns map[string]*regexp.Regexp
}

var slot = regexp.MustCompile(`\\\{#(alphanumeric|numeric|url)#\\\}`)

func newNaive(b *testing.B, w *benchWorld, n int) *naive {
	b.Helper()
	db := postgrestest.New(b, "compliance", outbox.Source)
	conn, err := pgx.Connect(b.Context(), db.AdminURL)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close(context.Background()) })
	if _, err := conn.Exec(b.Context(), `
		CREATE TABLE preference AS SELECT 6000000000 + g * 4001 AS number, 1 AS code FROM generate_series(1, 100000) g;
		CREATE TABLE consent AS SELECT 6000000000 + g * 4003 AS number, 1 AS state FROM generate_series(1, 100000) g;
		CREATE UNIQUE INDEX ON preference (number);
		CREATE UNIQUE INDEX ON consent (number);
		ANALYZE preference, consent`); err != nil {
		b.Fatal(err)
	}
	v := &naive{conn: conn, patterns: map[string]*regexp.Regexp{}}
	kinds := map[string]string{"alphanumeric": `([\p{L}\p{N} ]{1,40})`, "numeric": `([0-9]{1,30})`, "url": `(https?://\S+)`}
	for i := range n {
		pattern := slot.ReplaceAllStringFunc(regexp.QuoteMeta(w.bodies[i]), func(s string) string { return kinds[strings.Trim(s, `\{}#`)] })
		v.patterns[w.messages[i].TemplateID] = regexp.MustCompile(`^` + pattern + `$`)
	}
	return v
}

func (v *naive) decide(b *testing.B, w *benchWorld, i int) {
	m, c := &w.messages[i], &w.contents.all[i]
	number, err := phonenumbers.Parse(c.To, "IN")
	if err != nil {
		b.Fatal(err)
	}
	if phonenumbers.IsValidNumber(number) { // not all series are known to it
		phonenumbers.GetNumberType(number)
	}
	if v.patterns[m.TemplateID].FindStringSubmatchIndex(c.Text) == nil {
		b.Fatalf("%s does not match", m.TemplateID)
	}
	for _, detector := range detectors {
		detector.FindAllStringIndex(c.Text, -1)
	}
	for _, query := range []string{`SELECT code FROM preference WHERE number = $1`, `SELECT state FROM consent WHERE number = $1`} {
		var answer int
		if err := v.conn.QueryRow(context.Background(), query, int64(number.GetNationalNumber())).Scan(&answer); err != nil && !errors.Is(err, pgx.ErrNoRows) {
			b.Fatal(err)
		}
	}
}

// BenchmarkRatioDecisionNaive (F2): at least 100 times the naive way; what PostgreSQL's process uses counts.
func BenchmarkRatioDecisionNaive(b *testing.B) {
	w := newBenchWorld(b)
	const few = 256
	v := newNaive(b, w, few)
	ratiotest.Compare(b, 100, w.side(b),
		ratiotest.Side{Name: "naive", Ops: few, Elsewhere: func() time.Duration { return scheduled(b, v.conn.PgConn().PID()) }, Run: func() {
			for i := range few {
				v.decide(b, w, i)
			}
		}})
}

// scheduled is the CPU time a process has used.
func scheduled(b *testing.B, pid uint32) time.Duration {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
	if err != nil {
		b.Fatal(err)
	}
	first, _, _ := strings.Cut(string(raw), " ")
	ns, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return time.Duration(ns)
}
