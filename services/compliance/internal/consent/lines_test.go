package consent_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onlinesms/onlinesms/services/compliance/internal/consent"
)

func reader(columns []string) consent.Reader {
	return consent.Reader{Columns: columns, Now: time.Date(2026, 10, 12, 12, 0, 0, 0, ist), IsID: func(s string) bool { return len(s) == 19 },
		IsHeader: func(s string) bool { return len(s) == 6 }, Away: func() error { return nil },
		Index: func(number string) (index [16]byte, ok bool) {
			copy(index[:], number)
			return index, len(number) == 10 && number[0] >= '6'
		}}
}

// TestLines: problems name line and column and repeat no value; other lines are taken.
func TestLines(t *testing.T) {
	columns, err := consent.Header(consent.OfConsents, []byte("\xef\xbb\xbfEntity_ID, recipient,basis,grant_time,contract,extra"))
	if err != nil {
		t.Fatal(err)
	}
	const secret = "98765432"
	lines, taken := consent.Lines([]byte(strings.Join([]string{
		theEntity + ",9876543210,,2026-10-01,,x",
		"17,9876543210,,,,",
		theEntity + "," + secret + ",,,,",
		"",
		theEntity + ",9876543211,inferred,01-10-2026 10:00:00,,",
		theEntity + ",9876543212,inferred,01-10-2026 10:00:00,c1,",
		theEntity + ",9876543213,,2026-10-13,,",
		theEntity + ",9876543213,,soon,,",
		"too,few",
		"a \"quote,9876543213,,,,",
		theEntity + ",987", // cut off
	}, "\r\n")), true)
	if len(lines) != 10 || taken == 0 {
		t.Fatalf("%d lines, %d bytes", len(lines), taken)
	}
	r := reader(columns)
	rows := r.Read(consent.OfConsents, lines, 2)
	var got []string
	for _, p := range rows.Problems {
		got = append(got, fmt.Sprintf("%d %s %s", p.Line, p.Column, p.Reason))
		if strings.Contains(p.Detail, secret) {
			t.Errorf("%q repeats a number", p.Detail)
		}
	}
	want := []string{"3 entity_id FORMAT", "4 recipient RECIPIENT_INVALID", "6 contract REQUIRED", "8 occur_time OUT_OF_RANGE", "9 grant_time FORMAT",
		"10  CSV_MALFORMED", "11  CSV_MALFORMED"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int64{2, 7}, rows.Numbers); diff != "" || rows.Bad != 7 {
		t.Errorf("%d bad: %s", rows.Bad, diff)
	}
	if w := rows.Wanted[0]; w.Grant.Method != "dca" || w.Source != "dca" || !w.Occur.Equal(time.Date(2026, 10, 1, 0, 0, 0, 0, ist)) {
		t.Errorf("%+v", w)
	}
}

func TestHeaderRow(t *testing.T) {
	for kind, row := range map[string]string{consent.OfConsents: "recipient,purpose", consent.OfSuppressions: "number", consent.OfComplaints: "recipient,entity_id"} {
		if _, err := consent.Header(kind, []byte(row)); reasonOf(err) != "IMPORT_COLUMNS" {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if _, err := consent.Header(consent.OfComplaints, []byte("PK\x03\x04\xff")); reasonOf(err) != "CSV_MALFORMED" {
		t.Errorf("a spreadsheet: %v", err)
	}
}

// FuzzLines: whatever the bytes, and however they are divided, each whole line is taken once and none is invented.
func FuzzLines(f *testing.F) {
	f.Add([]byte("recipient,entity_id\n9876543210,1701158019811140068\r\n\n\"x"), 7)
	f.Fuzz(func(t *testing.T, file []byte, size int) {
		size = 1 + size&0xff
		var got []string
		for rest := file; len(rest) > 0; {
			n := min(size, len(rest))
			lines, taken := consent.Lines(rest[:n], n < len(rest))
			for taken == 0 && n < len(rest) { // a line longer than the part
				n = min(2*n, len(rest))
				lines, taken = consent.Lines(rest[:n], n < len(rest))
			}
			for _, l := range lines {
				got = append(got, string(l))
			}
			rest = rest[taken:]
		}
		var want []string
		for line := range strings.Lines(string(file)) {
			want = append(want, strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
		r := reader([]string{"recipient", "applies_to", "expire_time"})
		lines, _ := consent.Lines(file, false)
		if rows := r.Read(consent.OfSuppressions, lines, 1); len(rows.Suppressions) != len(rows.Numbers) || len(rows.Numbers)+int(rows.Bad) > len(lines) {
			t.Fatalf("%d entries and %d bad lines of %d", len(rows.Numbers), rows.Bad, len(lines))
		}
	})
}
