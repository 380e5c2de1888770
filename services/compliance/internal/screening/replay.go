package screening

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
)

// Differences tells in what a decision differs from the recorded one: outcome, due time, reasons with their metadata, and
// warnings. The sentences of reasons are not compared: the catalogue may word them better by now.
func (r *Recorded) Differences(d *policy.Decision) (found []Difference) {
	compare := func(field, recorded, replayed string) {
		if recorded != replayed {
			found = append(found, Difference{field, recorded, replayed})
		}
	}
	compare("outcome", r.Outcome.String(), d.Outcome.String())
	compare("due_time", instantOf(r.Due), instantOf(d.Due))
	compare("reasons", words(r.Reasons), words(d.Reasons))
	compare("warnings", strings.Join(r.Warnings.Codes(), ", "), strings.Join(d.Warnings.Codes(), ", "))
	return found
}

func instantOf(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// words are reasons with their metadata in one line.
func words(reasons []policy.Reason) string {
	var all []string
	for _, r := range reasons {
		word := r.Code
		for _, key := range slices.Sorted(maps.Keys(r.Metadata)) {
			word += fmt.Sprintf(" %s=%s", key, r.Metadata[key])
		}
		all = append(all, word)
	}
	return strings.Join(all, ", ")
}
