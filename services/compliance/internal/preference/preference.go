package preference

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Preference is what a subscriber has registered (TCCCPR 2018, schedule II: categories, modes, days, time bands). The zero
// value is nothing registered. A partial preference lists what is blocked; each dimension blocks by itself.
//
// Bits: 0-1 the kind, 2-9 categories 1-8, 10-14 modes, 15-22 Monday to Sunday and national holidays, 23-31 bands i-ix.
type Preference uint32

// The kinds of preference.
const (
	None        Preference = iota // nothing registered
	Full                          // fully blocked: category 0
	Promotional                   // promotional messages blocked, whatever they sell
	partial
)

// Mode is a way to reach a subscriber.
type Mode uint8

// The modes (TCCCPR 2018, schedule II).
const (
	Voice Mode = iota
	SMS
	Prerecorded
	LiveAgent
	Robo
	modes
)

const (
	categoryBit = 2
	modeBit     = 10
	dayBit      = 15
	bandBit     = 23
	holiday     = 7
	bands       = 9
)

// IST is the one zone of India; it has no daylight saving.
var IST = time.FixedZone("IST", 19800)

var (
	modeNames = []string{"voice", "sms", "prerecorded", "live", "robo"}
	dayNames  = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun", "holiday"}
	// bandEnds are the hours at which bands i-ix end: 0-6, 6-8, 8-10, 10-12, 12-14, 14-16, 16-18, 18-21, 21-24.
	bandEnds = [bands]int{6, 8, 10, 12, 14, 16, 18, 21, 24}
)

// Part is the dimension by which a message is blocked; it is the detail of reason PREFERENCE_BLOCKED.
type Part uint8

// The parts, in the order in which they decide.
const (
	Free Part = iota // nothing blocks
	ByAll
	ByPromotional
	ByCategory
	ByMode
	ByDay
	ByBand
)

// String is the part's name in reasons.
func (p Part) String() string {
	return [...]string{"free", "all", "promotional", "category", "mode", "day", "band"}[p]
}

// Message is what a preference is asked about.
type Message struct {
	Goods   int // category of goods of the promotion, 1-8; 0 for others
	Mode    Mode
	At      time.Time // of the delivery, any zone
	Holiday bool      // a national holiday in India
}

// Blocks tells whether, and by which part, the preference blocks a promotional message. Consent, which overrides it, is
// another room's question.
func (p Preference) Blocks(m Message) Part {
	switch p & 3 {
	case None:
		return Free
	case Full:
		return ByAll
	case Promotional:
		return ByPromotional
	}
	at := m.At.In(IST)
	day := 1 << ((int(at.Weekday()) + 6) % 7)
	if m.Holiday {
		day |= 1 << holiday
	}
	switch {
	case m.Goods >= 1 && m.Goods <= 8 && p>>(categoryBit+m.Goods-1)&1 != 0:
		return ByCategory
	case p>>(modeBit+m.Mode)&1 != 0:
		return ByMode
	case int(p>>dayBit)&day != 0:
		return ByDay
	case p>>(bandBit+bandAt(at.Hour()))&1 != 0:
		return ByBand
	}
	return Free
}

func bandAt(hour int) int {
	for i, end := range bandEnds {
		if hour < end {
			return i
		}
	}
	return bands - 1
}

// Parse reads a preference as import files write it behind the number: up to four fields parted by commas.
//
//	1  none, full (or 0), promo (or 50), or blocked categories 1-8 parted by |; may be empty when another field is not
//	2  blocked modes: voice, sms, prerecorded, live, robo
//	3  blocked days: mon to sun, holiday
//	4  blocked time bands: 1-9 for i-ix (00-06, 06-08, 08-10, 10-12, 12-14, 14-16, 16-18, 18-21, 21-24 IST)
//
// The whole of it empty is full: a file of numbers alone is a list of the fully blocked. Case does not matter.
func Parse(s string) (Preference, error) {
	fields := strings.Split(strings.ToLower(s), ",")
	for i := range fields {
		fields[i] = strings.TrimSpace(fields[i])
	}
	if len(fields) > 4 {
		return 0, fmt.Errorf("%d fields behind the number; there are at most 4", len(fields))
	}
	rest := strings.Join(fields[1:], "")
	switch fields[0] {
	case "none":
		return whole(None, rest)
	case "full", "0":
		return whole(Full, rest)
	case "promo", "50":
		return whole(Promotional, rest)
	case "":
		if rest == "" {
			return Full, nil
		}
	}
	p := partial
	for i, field := range fields {
		bits, err := parts(i, field)
		if err != nil {
			return 0, err
		}
		p |= bits
	}
	return p, nil
}

func whole(p Preference, rest string) (Preference, error) {
	if rest != "" {
		return 0, fmt.Errorf("none, full and promo stand alone")
	}
	return p, nil
}

// dimensions are the four fields: what the entries of each are called, and its first bit.
var dimensions = [4]struct {
	name  string
	first int
	count int
	words []string
}{{"category", categoryBit, 8, nil}, {"mode", modeBit, int(modes), modeNames}, {"day", dayBit, holiday + 1, dayNames}, {"band", bandBit, bands, nil}}

func parts(dimension int, field string) (p Preference, err error) {
	d := &dimensions[dimension]
	for _, entry := range strings.Split(field, "|") {
		if field == "" {
			break
		}
		at := -1
		for i, w := range d.words {
			if w == entry {
				at = i
			}
		}
		if n, err := strconv.Atoi(entry); err == nil && d.words == nil && n >= 1 && n <= d.count {
			at = n - 1
		}
		if at < 0 {
			return 0, fmt.Errorf("%s %d is not known; see the format of import files", d.name, strings.Index(field, entry)+1)
		}
		p |= 1 << (d.first + at)
	}
	return p, nil
}

// String writes the preference as Parse reads it.
func (p Preference) String() string {
	switch p & 3 {
	case None:
		return "none"
	case Full:
		return "full"
	case Promotional:
		return "promo"
	}
	var fields []string
	for i := range dimensions {
		d := &dimensions[i]
		var entries []string
		for at := range d.count {
			if p>>(d.first+at)&1 == 0 {
				continue
			}
			if d.words != nil {
				entries = append(entries, d.words[at])
			} else {
				entries = append(entries, strconv.Itoa(at+1))
			}
		}
		fields = append(fields, strings.Join(entries, "|"))
	}
	return strings.TrimRight(strings.Join(fields, ","), ",")
}

// valid tells whether the bits form a preference: only a partial one has parts, and at least one.
func (p Preference) valid() bool {
	return p < partial || p&3 == partial && bits.OnesCount32(uint32(p)) > 2
}

// NationalHoliday tells whether an instant is on one of the three national holidays of India: 26 January, 15 August, 2 October.
func NationalHoliday(at time.Time) bool {
	switch _, month, day := at.In(IST).Date(); month {
	case time.January:
		return day == 26
	case time.August:
		return day == 15
	case time.October:
		return day == 2
	}
	return false
}
