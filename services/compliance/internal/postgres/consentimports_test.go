package postgres_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/consent"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

func reasonOf(err error) string {
	if e, ok := errors.AsType[*errs.Error](err); ok {
		return e.Reason
	}
	return ""
}

// TestImportGoesOn: a file in parts cut anywhere, each sent twice as after a lost answer, is taken line by line once; what is
// wrong is named by its line; imported again it says nothing new.
func TestImportGoesOn(t *testing.T) {
	p := newPeople(t)
	var file strings.Builder
	file.WriteString("recipient,entity_id,grant_time,registrar_reference\n")
	const lines = 1000
	for n := range lines {
		number := fmt.Sprintf("98765%05d", n)
		if n%100 == 50 {
			number = "12"
		}
		fmt.Fprintf(&file, "%s,%s,2026-01-31,DCA-%d\n", number, demoEntity, n)
	}
	first := p.importFile(file.String(), 4099)
	if !first.Done || first.Lines != lines+1 || first.Recorded != lines-10 || first.Problems != 10 || first.Unchanged != 0 || first.Percent() != 100 {
		t.Errorf("%+v", first)
	}
	problems, err := p.s.ConsentImportProblems(t.Context(), p.at, first.ID, 52, 1, 3)
	if err != nil || len(problems) != 3 || problems[0].Line != 152 || problems[0].Reason != "RECIPIENT_INVALID" {
		t.Errorf("%+v %v", problems, err)
	}
	if again := p.importFile(file.String(), 100_000); again.Recorded != 0 || again.Unchanged != lines-10 {
		t.Errorf("again: %+v", again)
	}
	var index [16]byte
	copy(index[:], "9876500049")
	if got := p.ask(true, func(a *screening.Asked) { a.Recipient = index[:] }); got.Consent == 0 {
		t.Errorf("%+v", got)
	}
}

// importFile sends a file in parts, each twice, and looks at the progress in between.
func (p *people) importFile(file string, size int) (i consent.Import) {
	p.Helper()
	part := consent.Part{Kind: consent.OfConsents, Total: int64(len(file))}
	for !i.Done {
		end := min(len(file), int(part.Offset)+size)
		part.Content, part.More = []byte(file[part.Offset:end]), end < len(file)
		took := part.Offset
		for range 2 {
			if took == 0 && i.ID != uuid.Nil {
				part.Import = i.ID
			}
			var err error
			if i, err = p.s.TakePart(p.Context(), p.at, by, part, p.reader()); err != nil {
				if part.More && reasonOf(err) == "IMPORT_OFFSET" { // the second time, its cut line was not taken
					break
				}
				p.Fatal(err)
			}
			part.Import = i.ID
			if stood, err := p.s.ConsentImport(p.Context(), p.at, i.ID); err != nil || stood.Next != i.Next || stood.Percent() != i.Percent() {
				p.Fatalf("%+v %v", stood, err)
			}
		}
		stood, err := p.s.ConsentImport(p.Context(), p.at, part.Import)
		if err != nil {
			p.Fatal(err)
		}
		i, part.Offset = stood, stood.Next
	}
	return i
}

func TestImportsThatCannotBe(t *testing.T) {
	p := newPeople(t)
	take := func(part consent.Part) (consent.Import, error) {
		part.Kind = consent.OfConsents
		return p.s.TakePart(t.Context(), p.at, by, part, p.reader())
	}
	begun, err := take(consent.Part{Content: []byte("recipient,entity_id\n"), More: true})
	must(t, err)
	for want, part := range map[string]consent.Part{
		"IMPORT_OFFSET":    {Import: begun.ID, Offset: 99, Content: []byte("x")},
		"IMPORT_NOT_FOUND": {Import: uuid.New(), Content: []byte("x")},
		"CSV_MALFORMED":    {Import: begun.ID, Offset: begun.Next, Content: []byte("no end of the line"), More: true},
		"IMPORT_COLUMNS":   {Content: []byte("a,b\n")},
	} {
		if _, err := take(part); reasonOf(err) != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := take(consent.Part{Import: begun.ID, Offset: begun.Next, Content: []byte("9876543210," + demoEntity)}); err != nil {
		t.Error(err)
	}
	if _, err := take(consent.Part{Import: begun.ID, Offset: 999, Content: []byte("x")}); reasonOf(err) != "IMPORT_STATE" {
		t.Errorf("after its end: %v", err)
	}
	if _, err := p.s.ConsentImport(t.Context(), consent.Place{Tenant: p.at.Tenant, Env: "test"}, begun.ID); errs.KindOf(err) != errs.NotFound {
		t.Errorf("from the other environment: %v", err)
	}
}
