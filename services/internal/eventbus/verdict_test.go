package eventbus

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

func TestReasonTextCanBeStored(t *testing.T) {
	for text, want := range map[string]string{
		"plain":                        "plain",
		"a\x00b\xffc":                  "a?b?c",
		strings.Repeat("x", 499) + "प": strings.Repeat("x", 499), // no half of a character
		strings.Repeat("\x00", 600):    strings.Repeat("?", 500),
	} {
		if got := reasonText(errors.New(text)); got != want {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestJudge(t *testing.T) {
	of := func(k errs.Kind) error { return errs.E(k, "R", "m", nil) }
	retry := func(d time.Duration) verdict { return verdict{actRetry, d} }
	tests := []struct {
		name                string
		err                 error
		delivered, failures int
		want                verdict
	}{
		{"done", nil, 7, 3, verdict{action: actAck}},
		{"done before", of(errs.Exists), 1, 0, verdict{action: actAck}},
		{"can never succeed", of(errs.Invalid), 1, 0, verdict{action: actDead}},
		{"not allowed", of(errs.Denied), 1, 0, verdict{action: actDead}},
		{"not known", of(errs.Unauthenticated), 1, 0, verdict{action: actDead}},
		{"kind inside a chain", fmt.Errorf("handler: %w", of(errs.Invalid)), 1, 0, verdict{action: actDead}},
		{"away, first", of(errs.Unavailable), 1, 0, retry(100 * time.Millisecond)},
		{"away, third", of(errs.Unavailable), 3, 0, retry(400 * time.Millisecond)},
		{"away, for days", of(errs.Unavailable), 100_000, 0, retry(5 * time.Second)},
		{"limit, for days", of(errs.Exhausted), 100_000, 0, retry(5 * time.Second)},
		{"not there, first", of(errs.NotFound), 1, 1, retry(100 * time.Millisecond)},
		{"not there, late", of(errs.NotFound), 12, 12, retry(30 * time.Second)},
		{"not there, 19 times", of(errs.NotFound), 19, 19, retry(30 * time.Second)},
		{"not there, 20 times", of(errs.NotFound), 20, 20, verdict{action: actDead}},
		{"not there, after an outage", of(errs.NotFound), 500, 1, retry(30 * time.Second)},
		{"our fault, first", of(errs.Internal), 1, 1, retry(100 * time.Millisecond)},
		{"our fault, 20 times", of(errs.Internal), 20, 20, verdict{action: actDead}},
		{"no kind is our fault", errors.New("x"), 20, 20, verdict{action: actDead}},
		{"delivery count unknown", of(errs.Internal), 0, 1, retry(100 * time.Millisecond)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := judge(test.err, test.delivered, test.failures); got != test.want {
				t.Errorf("judge = %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestCounts(t *testing.T) {
	for kind, want := range map[errs.Kind]bool{errs.Internal: true, errs.NotFound: true, errs.Unavailable: false,
		errs.Exhausted: false, errs.Invalid: false, errs.Exists: false} {
		if got := counts(errs.E(kind, "", "", nil)); got != want {
			t.Errorf("counts(kind %d) = %v, want %v", kind, got, want)
		}
	}
	if counts(nil) {
		t.Error("success counts as failure")
	}
}
