package screening

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/content"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/internal/gsm"
	"github.com/onlinesms/onlinesms/services/internal/msisdn"
)

// Sizes of the world of the benchmark: uniform traffic over so many templates is the worst case for caches.
const (
	benchTemplates = 100_000
	benchHeaders   = 10_000
	benchMessages  = 1 << 14
	benchConsents  = 1 << 20
	benchEntity    = "1701158019811140068"
)

// benchProofs stand in for the stores of preference and consent: a nibble a number, and a table of numbers by open
// addressing, each one load from memory.
type benchProofs struct {
	plane    []byte
	consents []uint64
}

func (p *benchProofs) Proof(_ uuid.UUID, _ *Message, to msisdn.Number, _ time.Time, f *policy.Facts) {
	f.Consent, f.Preference = policy.ConsentNone, policy.NotBlocked
	if i := uint64(to) % uint64(2*len(p.plane)); p.plane[i/2]>>(i%2*4)&15 == 1 {
		f.Preference = policy.Blocked
	}
	for i := uint64(to) * 0x9E3779B97F4A7C15 >> 43; ; i = (i + 1) % uint64(len(p.consents)) {
		if p.consents[i] == 0 {
			return
		}
		if p.consents[i] == uint64(to) {
			f.Consent = policy.ConsentValid
			return
		}
	}
}

// benchContents gives the content of each message by its index.
type benchContents struct{ all []Content }

func (c *benchContents) Open(_ context.Context, _ *Parcel, m *Message, into *Content) error {
	*into = c.all[m.Expire&(benchMessages-1)]
	return nil
}

func (c *benchContents) Reseal(context.Context, *Parcel, *Message, *Content) ([]byte, error) {
	return nil, fmt.Errorf("nothing to reseal")
}

type benchWorld struct {
	decider  decider
	contents *benchContents
	messages []Message
	bodies   []string     // of the messages' templates
	scan     func(string) // for sensitive content
	at       int          // messages decided so far
	verdicts [lookAhead]Verdict
}

// newScan makes the scan for sensitive content that every decision has in it, for the side that is compared with one.
func newScan() func(text string) {
	var scanner content.Scanner
	var found []content.Finding
	return func(text string) { found = scanner.Append(found[:0], text) }
}

// detectors are its naive form: ten regular expressions, without check digits.
var detectors = []*regexp.Regexp{
	regexp.MustCompile(`\b[2-9][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}\b`),                   // Aadhaar
	regexp.MustCompile(`\b(?:[0-9][ -]?){13,19}\b`),                                     // card
	regexp.MustCompile(`(?i)\b[A-Z]{3}[ABCFGHJKLPT][A-Z][0-9]{4}[A-Z]\b`),               // PAN
	regexp.MustCompile(`(?i)\b[A-Z]{4}0[A-Z0-9]{6}\b`),                                  // IFSC
	regexp.MustCompile(`(?i)\b[A-Z0-9][A-Z0-9._-]{1,63}@[A-Z][A-Z0-9]{2,63}\b`),         // VPA
	regexp.MustCompile(`(?i)\b[A-Z0-9._%+-]{1,64}@[A-Z0-9.-]{1,63}\.[A-Z]{2,}\b`),       // address
	regexp.MustCompile(`(?i)\bhttps?://\S+`),                                            // link
	regexp.MustCompile(`(?:\+?91[ -]?)?\b[6-9][0-9]{4}[ -]?[0-9]{5}\b`),                 // telephone
	regexp.MustCompile(`(?i)\b(?:a/c|account|acct)\D{0,16}[0-9]{9,18}\b`),               // account
	regexp.MustCompile(`(?i)\b(?:otp|pin|cvv|password|passcode)\b\W{0,4}(?:is)?\W?\S+`), // secret
}

func benchHeader(i int) string {
	return string([]byte{'A' + byte(i/17576%26), 'A' + byte(i/676%26), 'A' + byte(i/26%26), 'A' + byte(i%26), 'Q', 'Q'})
}

// benchBody is a template of some 130 octets when filled, with a piece of fixed text of its own.
func benchBody(i int) string {
	return fmt.Sprintf("Dear {#alphanumeric#}, your order {#numeric#} of batch %d in shop %d was packed and goes out today. Stop or follow it at {#url#} - ABCBNK", i, i*7919)
}

func benchText(i int, r *rand.Rand) string {
	return strings.NewReplacer("{#alphanumeric#}", "Asha"+strconv.Itoa(r.IntN(1000)), "{#numeric#}", strconv.Itoa(100000+r.IntN(900000)),
		"{#url#}", "https://abc.in/t?id="+strconv.Itoa(r.IntN(1000000))).Replace(benchBody(i))
}

// benchCategory: of four messages one is promotional, one transactional, two are service messages.
func benchCategory(i int) (category, header string) {
	switch i % 4 {
	case 0:
		return "promotional", "512345"
	case 1:
		return "transactional", benchHeader(i % benchHeaders)
	}
	return "service", benchHeader(i % benchHeaders)
}

func newBenchWorld(b *testing.B) *benchWorld {
	b.Helper()
	var file strings.Builder
	file.WriteString("tenant: {id: 01930000-0000-7000-8000-000000000001}\nregistry:\n  telemarketers: [{id: \"1302157243747322354\", role: TM-DF}]\n" +
		"  entities: [{id: \"" + benchEntity + "\", chain: [\"1302157243747322354\"]}]\n  ctas: [{entity: \"" + benchEntity + "\", kind: dynamic, value: \"https://abc.in/t?\"}]\n  headers:\n" +
		"    - {header: \"512345\", entity: \"" + benchEntity + "\", kind: promotional}\n")
	for i := range benchHeaders {
		fmt.Fprintf(&file, "    - {header: %s, entity: %q}\n", benchHeader(i), benchEntity)
	}
	file.WriteString("  templates:\n")
	for i := range benchTemplates {
		category, header := benchCategory(i)
		fmt.Fprintf(&file, "    - {id: %q, entity: %q, headers: [%q], category: %s, body: %q}\n", benchID(i), benchEntity, header, category, benchBody(i))
	}
	parsed, err := registry.ParseFile([]byte(file.String()))
	if err != nil {
		b.Fatal(err)
	}
	snapshot, err := registry.NewSnapshot(parsed.Rows)
	if err != nil {
		b.Fatal(err)
	}
	packs, err := policy.Builtin()
	if err != nil {
		b.Fatal(err)
	}
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, policy.IST)
	w := &benchWorld{contents: &benchContents{}, scan: newScan()}
	w.decider = decider{opener: w.contents, proofs: newBenchProofs(), pack: packs.At(now), now: now, day: registry.Day(now), snapshot: snapshot,
		parcel: &Parcel{Tenant: uuid.New(), Env: "live"}}
	w.fill(now)
	w.pack()
	return w
}

func benchID(i int) string { return fmt.Sprintf("11071600%011d", i) }

func newBenchProofs() *benchProofs {
	r := rand.New(rand.NewPCG(9, 9))
	p := &benchProofs{plane: make([]byte, 128<<20), consents: make([]uint64, 2*benchConsents)}
	for i := range p.plane {
		p.plane[i] = byte(r.Uint32()) & 0x22 // 0 or 2: registered, and not blocked
	}
	for range benchConsents {
		to := 6_000_000_000 + r.Uint64N(4_000_000_000)
		i := to * 0x9E3779B97F4A7C15 >> 43
		for p.consents[i] != 0 {
			i = (i + 1) % uint64(len(p.consents))
		}
		p.consents[i] = to
	}
	return p
}

// fill makes messages over all templates; the bits of a message's expiry that do not matter are its index.
func (w *benchWorld) fill(now time.Time) {
	r := rand.New(rand.NewPCG(10, 10))
	expire := now.Add(time.Hour).UnixMicro() &^ (benchMessages - 1)
	for i := range benchMessages {
		at := r.IntN(benchTemplates)
		_, header := benchCategory(at)
		w.messages = append(w.messages, Message{EntityID: strings.Clone(benchEntity), Header: strings.Clone(header), TemplateID: benchID(at), Expire: expire | int64(i)})
		w.contents.all = append(w.contents.all, Content{To: msisdn.Number(6_000_000_000 + r.Uint64N(4_000_000_000)).E164(), Text: benchText(at, r)})
		w.bodies = append(w.bodies, benchBody(at))
	}
}

// pack lays what belongs to a message side by side, in the order in which messages are decided, as it comes in an event.
func (w *benchWorld) pack() {
	var all strings.Builder
	fields := func(visit func(*string)) {
		for i := range w.messages {
			m, c := &w.messages[i], &w.contents.all[i]
			for _, s := range []*string{&m.EntityID, &m.Header, &m.TemplateID, &c.To, &c.Text} {
				visit(s)
			}
		}
	}
	fields(func(s *string) { all.WriteString(*s) })
	at := 0
	fields(func(s *string) {
		*s = all.String()[at : at+len(*s)]
		at += len(*s)
	})
}

// decide decides messages by batches, and measures what it would cost to send.
func (w *benchWorld) decide(b *testing.B, from, n int) {
	from %= len(w.messages)
	verdicts := &w.verdicts
	for at := from; at < from+n; at += lookAhead {
		clear(verdicts[:])
		w.decider.known = w.decider.known[:0] // as for a parcel of its own
		if err := w.decider.decideAll(context.Background(), w.messages[at:at+lookAhead], verdicts[:]); err != nil {
			b.Error(err) // not Fatal: threads call it
			return
		}
		for i := range verdicts {
			if v := &verdicts[i]; v.Outcome != policy.Cleared || gsm.Measure(w.contents.all[at+i].Text).Segments != 1 {
				b.Errorf("%s: not one cleared segment: %v", w.messages[at+i].TemplateID, v.Reasons)
				return
			}
		}
	}
}
