package app

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/onlinesms/onlinesms/services/compliance/internal/offline"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
)

// counter counts what is read of a file.
type counter struct {
	io.Reader
	size int64 // 0: not known
	read atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read.Add(int64(n))
	return n, err
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// maxTold bounds the lines that are told one by one; drawEvery the drawing of the bar.
const (
	maxTold   = 50
	drawEvery = 100 * time.Millisecond
)

// tally is how a scrub goes: its progress while it runs, its summary in the end.
type tally struct {
	told  io.Writer
	pack  string
	in    *counter
	began time.Time
	drawn time.Time
	bar   bool

	lines, cleared, held, refused, invalid int
	segments                               int64
	codes                                  map[string]int
}

func (t *tally) add(r *offline.Result) {
	t.lines++
	switch {
	case r.Err != nil:
		if t.invalid++; t.invalid <= maxTold {
			t.clear()
			fmt.Fprintf(t.told, "line %d: %v\n", r.Line, r.Err)
		}
		return
	case r.Decision.Outcome == policy.Refused:
		t.refused++
	case r.Decision.Outcome == policy.Held:
		t.held++
	default:
		t.cleared++
	}
	if len(r.Decision.Reasons) > 0 {
		t.codes[r.Decision.Reasons[0].Code]++
	}
	if r.Decision.Outcome != policy.Refused {
		t.segments += int64(r.Size.Segments)
	}
	if t.bar && t.lines%1024 == 0 && time.Since(t.drawn) > drawEvery {
		t.draw()
	}
}

func (t *tally) draw() {
	t.drawn = time.Now()
	const width = 30
	rate := float64(t.lines) / time.Since(t.began).Seconds()
	if t.in.size <= 0 {
		fmt.Fprintf(t.told, "\r\x1b[K%d lines, %.0f/s, %d refused", t.lines, rate, t.refused)
		return
	}
	part := min(1, float64(t.in.read.Load())/float64(t.in.size))
	full := int(part * width)
	fmt.Fprintf(t.told, "\r\x1b[K[%s%s] %3.0f %%  %d lines, %.0f/s, %d refused", strings.Repeat("#", full), strings.Repeat(".", width-full), 100*part, t.lines, rate, t.refused)
}

func (t *tally) clear() {
	if t.bar {
		fmt.Fprint(t.told, "\r\x1b[K")
	}
}

// end prints the summary.
func (t *tally) end(quiet bool) {
	t.clear()
	if t.invalid > maxTold {
		fmt.Fprintf(t.told, "and %d more lines\n", t.invalid-maxTold)
	}
	if quiet {
		return
	}
	took := time.Since(t.began)
	fmt.Fprintf(t.told, "%d lines by rule pack %s in %v (%.0f/s): %d cleared, %d held, %d refused, %d invalid; %d segments\n", t.lines, t.pack,
		took.Round(time.Millisecond), float64(t.lines)/took.Seconds(), t.cleared, t.held, t.refused, t.invalid, t.segments)
	codes := slices.SortedFunc(maps.Keys(t.codes), func(a, b string) int { return cmp.Or(t.codes[b]-t.codes[a], strings.Compare(a, b)) })
	for _, code := range codes {
		fmt.Fprintf(t.told, "%8d  %s\n", t.codes[code], code)
	}
}
