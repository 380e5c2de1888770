package template

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of a telephone number as people write it: the shortest toll-free one, E.164's fifteen digits, groups.
const (
	leastCall = 8
	maxDigits = 15
	maxGroups = 8
)

// run is a run of digits in a text.
type run struct {
	start, end int
	digits     string // in ASCII
	plus       bool   // a plus stands before it
}

// numbers appends the telephone numbers of a text that stand outside of the links in the list.
func numbers(text string, list []found) []found {
	links := len(list)
	var window [maxGroups]run
	n := 0
	for at := 0; at < len(text); {
		if c := text[at]; c < utf8.RuneSelf && !digit(c) {
			at++
			continue
		}
		if f, inside := covering(list[:links], at); inside {
			at = f.end
			continue
		}
		r, end := runAt(text, at)
		if r.digits == "" {
			at = end
			continue
		}
		if n == maxGroups || n > 0 && !joins(text[window[n-1].end:at]) {
			list = dial(text, window[:n], list)
			n = 0
		}
		window[n] = r
		n, at = n+1, end
	}
	return dial(text, window[:n], list)
}

func covering(links []found, at int) (found, bool) {
	for _, f := range links {
		if at >= f.start && at < f.end {
			return f, true
		}
	}
	return found{}, false
}

// runAt reads a run of digits of any script; without one it goes over one character.
func runAt(text string, at int) (r run, end int) {
	plain := true
	for end = at; end < len(text); {
		c, size := utf8.DecodeRuneInString(text[end:])
		if _, ok := decimal(c); !ok {
			if end == at {
				return run{}, at + size
			}
			break
		}
		plain = plain && size == 1
		end += size
	}
	r = run{start: at, end: end, digits: text[at:end], plus: at > 0 && text[at-1] == '+'}
	if !plain {
		r.digits = strings.Map(func(c rune) rune { d, _ := decimal(c); return d }, r.digits)
	}
	return r, end
}

// decimal is the ASCII digit of a decimal digit of any script. Unicode encodes the digits of a script together, from zero.
func decimal(r rune) (rune, bool) {
	if r < utf8.RuneSelf {
		return r, r >= '0' && r <= '9'
	}
	for _, block := range unicode.Nd.R16 {
		if r >= rune(block.Lo) && r <= rune(block.Hi) {
			return '0' + (r-rune(block.Lo))%10, true
		}
	}
	return 0, false
}

// joins tells whether what stands between two runs of digits may separate the groups of one number.
func joins(between string) bool {
	return len(between) <= 2 && strings.Trim(between, " -.()+") == "" && strings.Count(between, ".") < 2
}

// dial appends the numbers among runs that stand together.
func dial(text string, window []run, list []found) []found {
	for i := 0; i < len(window); i++ {
		for j := len(window); j > i; j-- {
			value, ok := number(window[i:j])
			if !ok {
				continue
			}
			f := found{kind: Number, start: window[i].start, end: window[j-1].end, value: value}
			if window[i].plus {
				f.start--
			}
			f.glued = f.start > 0 && label(text[f.start-1]) || f.end < len(text) && label(text[f.end])
			list = append(list, f)
			i = j - 1
			break
		}
	}
	return list
}

// number joins runs and tells whether they can be called.
func number(window []run) (string, bool) {
	size := 0
	for _, r := range window {
		size += len(r.digits)
	}
	if size < leastCall || size > maxDigits || !grouped(window) {
		return "", false
	}
	value := window[0].digits
	for _, r := range window[1:] {
		value += r.digits
	}
	if window[0].plus {
		return value, true
	}
	return value, callable(value)
}

// grouped tells whether digits are written in groups as telephone numbers are, and not as dates or amounts: groups of
// three and more after the prefix of country or trunk, or all of two.
func grouped(window []run) bool {
	if len(window) == 1 {
		return true
	}
	pairs := true
	for _, r := range window {
		pairs = pairs && len(r.digits) == 2
	}
	if pairs {
		return true
	}
	first := window[0]
	switch first.digits {
	case "0", "91", "0091":
		window = window[1:]
	default:
		if first.plus && len(first.digits) <= 3 { // another country's code
			window = window[1:]
		}
	}
	for _, r := range window {
		if len(r.digits) < 3 {
			return false
		}
	}
	return true
}

// callable tells whether digits are a number that can be called in India: ten digits from 6-9 with or without 91, 0091
// or 0, and toll-free numbers from 1800 and 1860 of 8 to 11 digits.
func callable(digits string) bool {
	n := national(digits)
	return len(n) == 10 && n[0] >= '6' || tollFree(n)
}

func tollFree(n string) bool {
	return len(n) >= 8 && len(n) <= 11 && (strings.HasPrefix(n, "1800") || strings.HasPrefix(n, "1860"))
}

// national strips the country code or trunk prefix; what is left is digits when value was a number.
func national(value string) string {
	digits := strings.TrimPrefix(value, "+")
	switch {
	case len(digits) == 14 && strings.HasPrefix(digits, "0091"):
		return digits[4:]
	case len(digits) == 12 && strings.HasPrefix(digits, "91"):
		return digits[2:]
	case len(digits) >= 11 && strings.HasPrefix(digits, "0") && len(digits) <= 12:
		return digits[1:]
	default:
		return digits
	}
}
