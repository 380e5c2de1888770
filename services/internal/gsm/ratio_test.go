package gsm_test

import (
	"strings"
	"testing"

	"github.com/onlinesms/onlinesms/services/internal/gsm"
	"github.com/onlinesms/onlinesms/services/internal/ratiotest"
)

// septetsOf is the usual table: septets by octet, 0 where the default alphabet has none.
var septetsOf = func() (t [256]uint8) {
	for i := range 128 {
		switch c := gsm.Code(rune(i)); {
		case c == gsm.NoCode:
		case c&gsm.Shifted != 0:
			t[i] = 2
		default:
			t[i] = 1
		}
	}
	return t
}()

// byTable is the usual way to cut ASCII into segments: one pass over the table, an octet at a time.
func byTable(text string) gsm.Size {
	units, segments, room := 0, 1, 153
	for i := range len(text) {
		w := int(septetsOf[text[i]])
		if w == 0 {
			return gsm.Size{Alphabet: gsm.UCS2}
		}
		if w > room {
			segments, room = segments+1, 153
		}
		units, room = units+w, room-w
	}
	if units <= 160 {
		segments = 1
	}
	return gsm.Size{Units: units, Segments: segments}
}

func texts() map[string]string {
	return map[string]string{
		"ascii160":  strings.Repeat("Your OTP is 123456. ", 8),
		"ascii480":  strings.Repeat("Your OTP is 123456. ", 24),
		"hindi70":   strings.Repeat("ऑर्डरभेज", 9)[:70*3],
		"hindi160":  strings.Repeat("ऑर्डरभेज", 20),
		"extension": strings.Repeat("{a}[b]", 60),
	}
}

func BenchmarkMeasure(b *testing.B) {
	for name, text := range texts() {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				gsm.Measure(text)
			}
		})
	}
}

// BenchmarkRatioMeasure (D1): ASCII takes at most a third of the loop over a table, and 0.4 ns an octet.
func BenchmarkRatioMeasure(b *testing.B) {
	for _, name := range []string{"ascii160", "ascii480"} {
		text := texts()[name]
		if byTable(text) != gsm.Measure(text) {
			b.Fatal("the ways differ")
		}
		b.Run(name, func(b *testing.B) {
			const round = 1000
			ratiotest.Compare(b, 3,
				ratiotest.Side{Ops: round, Run: func() {
					for range round {
						if gsm.Measure(text).Units != len(text) {
							b.Fatal("wrong")
						}
					}
				}},
				ratiotest.Side{Name: "table", Ops: round, Run: func() {
					for range round {
						if byTable(text).Units != len(text) {
							b.Fatal("wrong")
						}
					}
				}})
		})
	}
}

// BenchmarkRatioMeasureHindi: UCS-2, at most 2.5 ns a character; a loop over the characters is the baseline.
func BenchmarkRatioMeasureHindi(b *testing.B) {
	const round = 1000
	text := texts()["hindi160"]
	ratiotest.Compare(b, 1,
		ratiotest.Side{Ops: round * 160, Run: func() {
			for range round {
				if gsm.Measure(text).Units != 160 {
					b.Fatal("wrong")
				}
			}
		}},
		ratiotest.Side{Name: "runes", Ops: round * 160, Run: func() {
			for range round {
				units := 0
				for _, r := range text {
					units += gsm.Width(r, gsm.UCS2)
				}
				if units != 160 {
					b.Fatal("wrong")
				}
			}
		}})
}
