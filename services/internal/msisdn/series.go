package msisdn

import (
	_ "embed"
	"strconv"
	"strings"
)

// seriesFile lists series given to mobile services by their first five digits, a series or a range a line; # begins a
// comment.
//
//go:embed series.txt
var seriesFile string

// A series is the first five digits of a national number.
const (
	firstSeries = 60_000
	perSeries   = 100_000
)

// mobile has a bit for each series of the file.
var mobile = func() (set [(100_000 - firstSeries) / 64]uint64) {
	for line := range strings.Lines(seriesFile) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		from, to, isRange := strings.Cut(line, "-")
		if !isRange {
			to = from
		}
		for i := series(from); i <= series(to); i++ {
			set[i/64] |= 1 << (i % 64)
		}
	}
	return set
}()

func series(s string) uint {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n < firstSeries || n > 99_999 {
		panic("series.txt: " + s + " is no series") // part of the binary
	}
	return uint(n - firstSeries)
}

// Known tells whether the number's series is among those known to be given to mobile services.
func (n Number) Known() bool {
	if n < lowest || n > highest {
		return false
	}
	i := uint(n/perSeries) - firstSeries
	return mobile[i/64]>>(i%64)&1 == 1
}
