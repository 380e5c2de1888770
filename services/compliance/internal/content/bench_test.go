package content_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/onlinesms/onlinesms/services/compliance/internal/content"
)

// cleanWords are the words that clean text is made of.
var cleanWords = strings.Fields(clean + ` we have received payment towards electricity for the month of August statement available
	visit branch tomorrow between ten and five cashback credited wallet balance updated thank you shopping festival offer
	valid till stock lasts terms apply subscription renewed automatically next cycle delivery partner assigned arriving soon
	please rate your experience appointment confirmed doctor reminder school bus delayed ten minutes parents informed premium
	due avoid lapse pay before date ignore already paid recharge successful plan data exhausted unlimited calls`)

// clean is running text as a bank or shop writes it, without a finding.
const clean = "Dear customer, your shipment from ABC stores is out for delivery and should reach you by evening. " +
	"Please keep Rs 1,499 ready and track the parcel in our app. Thank you for shopping with us - ABCBNK"

// adversaries are texts that make each part of the scanner work as hard as it can.
var adversaries = map[string]string{
	"aadhaars":         "234123412346 ",
	"aadhaars grouped": "2341 2341 2346 ",
	"fours":            "4444 ",
	"cards":            "4111111111111111 ",
	"cards of 19":      "4000000000000000006 ",
	"singles":          "2 3 4 1 2 3 4 1 2 3 4 6 x ",
	"spelled ones":     "1 ",
	"pans":             "ABCPE1234F ",
	"gstins":           "27AAPFU0939F1ZV ",
	"ifsc":             "HDFC0001234 ",
	"voters":           "WKH1186253 ",
	"accounts":         "a/c 123456789 ",
	"account and ifsc": "ac 123456789 HDFC0001234 ",
	"ats":              "@",
	"a at":             "a@",
	"handles":          "ab@ybl ",
	"mails":            "a@b.in ",
	"mail no top":      "a@bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
	"dots":             "a@.........................................................",
	"points":           ".",
	"locals":           "a.b-c+d%",
	"otps":             "otp 1234 ",
	"otp words":        "otp ",
	"pwd words":        "pwd a",
	"passwords":        "pwd a@1b ",
	"long password":    "pwd aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	"pins":             "upi pin is 4821 ",
	"fields":           "http://a?pan=b&pan=b&pan=b&pan=b ",
	"long fields":      "http://a?pan=pan=pan=pan=pan=pan=pan=pan=pan=pan=pan=pan=pan=pan=pan=pan=pan=pan=pan=pan=",
	"schemes":          "://",
	"one letter":       "a ",
	"digit":            "1",
	"letter":           "a",
	"long words":       "abcdefghijklmnopqrstuvwxyz ",
	"phones":           "9876543210 ",
	"phones grouped":   "91 98765 43210 ",
	"amex":             "3782 822463 10005 ",
}

// scripts are adversaries that have to be folded; their measure is clean Hindi text.
var scripts = map[string]string{
	"hindi digits": "२३४१२३४१२३४६ ",
	"hindi words":  "ओटीपी है ४८२९१३ ",
	"full width":   "４１１１１１１１１１１１１１１１ ",
	"zero width":   "\u200b",
	"invalid":      "\xff",
	"four bytes":   "😀",
	"two bytes":    "é",
}

const cleanHindi = "प्रिय ग्राहक, आपका ऑर्डर भेज दिया गया है और शाम तक पहुँच जाएगा। धन्यवाद - ABCBNK "

// varied is text as it is sent, n bytes of it: no two sentences alike, so that no branch is learned by heart.
func varied(n int, words []string) string {
	r := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(words[r.IntN(len(words))])
		b.WriteString([]string{" ", " ", " ", " ", " ", ", ", ". ", " - "}[r.IntN(8)])
		if r.IntN(12) == 0 {
			fmt.Fprintf(&b, "Rs %d,%03d ", r.IntN(90)+1, r.IntN(1000))
		}
	}
	return b.String()[:n]
}

// mixed is n bytes of the adversaries' pieces in random order.
func mixed(n int, inputs map[string]string) string {
	r := rand.New(rand.NewPCG(3, 4))
	names := slices.Sorted(maps.Keys(inputs))
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(inputs[names[r.IntN(len(names))]])
	}
	return b.String()[:n]
}

func repeat(text string, bytes int) string { return strings.Repeat(text, bytes/len(text)+1)[:bytes] }

// perByte measures the nanoseconds of a byte, the best of some rounds so that a neighbour's load does not count.
func perByte(s *content.Scanner, text string, rounds int) float64 {
	dst := make([]content.Finding, 0, len(text))
	best := cpuTime(1<<62 - 1)
	for range rounds {
		start := cpuNow()
		for range 2 {
			dst = s.Append(dst[:0], text)
		}
		best = min(best, cpuNow()-start)
	}
	return float64(best) / 2 / float64(len(text))
}

// BenchmarkScan is the time for a byte of texts as they are sent.
func BenchmarkScan(b *testing.B) {
	for name, text := range map[string]string{"clean160": clean[:160], "clean480": repeat(clean, 480), "hits160": hits(160), "hits480": hits(480),
		"hindi": repeat(cleanHindi, 480)} {
		b.Run(name, func(b *testing.B) {
			var s content.Scanner
			dst := make([]content.Finding, 0, 64)
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				dst = s.Append(dst[:0], text)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(text)), "ns/byte")
		})
	}
}

func hits(n int) string {
	return repeat("Dear Ram, 482913 is your OTP. PAN ABCPE1234F, card 4111 1111 1111 1111, write to care@abc.in or call 9876543210. ", n)
}

// BenchmarkRatioC1 compares the scanner with ten regexps and their checksums on the same texts, turn by turn in one run
// (goal: 150 times faster, 3 ns a byte, no allocation).
func BenchmarkRatioC1(b *testing.B) {
	for _, size := range []int{160, 480} {
		for name, text := range map[string]string{"clean": repeat(clean, size), "hits": hits(size)} {
			b.Run(fmt.Sprintf("%s%d", name, size), func(b *testing.B) {
				var s content.Scanner
				dst := make([]content.Finding, 0, 64)
				var scan, regexps cpuTime
				rounds := 0
				for b.Loop() {
					start := cpuNow()
					for range 1000 {
						dst = s.Append(dst[:0], text)
					}
					middle := cpuNow()
					for range 10 {
						tenRegexps(text)
					}
					scan, regexps, rounds = scan+middle-start, regexps+cpuNow()-middle, rounds+1
				}
				one := float64(scan) / float64(rounds) / 1000
				b.ReportMetric(one, "ns/text")
				b.ReportMetric(one/float64(size), "ns/byte")
				b.ReportMetric(float64(regexps)/float64(rounds)/10/one, "x-regexps")
				b.ReportMetric(150, "x-goal")
			})
		}
	}
}

// BenchmarkAdversary reports how many times its clean-text time the scanner takes on the worst input (goal: 3).
func BenchmarkAdversary(b *testing.B) {
	groups := []struct {
		name   string
		clean  []string
		inputs map[string]string
	}{{"ascii", cleanWords, adversaries}, {"scripts", strings.Fields(cleanHindi), scripts}}
	for _, g := range groups {
		b.Run(g.name, func(b *testing.B) {
			var s content.Scanner
			worst, which := 0.0, ""
			for b.Loop() {
				worst = 0
				base := perByte(&s, varied(20000, g.clean), 60)
				texts := map[string]string{"mixed": mixed(20000, g.inputs)}
				for name, text := range g.inputs {
					texts[name] = repeat(text, 20000)
				}
				for name, text := range texts {
					ratio := perByte(&s, text, 60) / base
					if testing.Verbose() {
						b.Logf("%-16s %.2f", name, ratio)
					}
					if ratio > worst {
						worst, which = ratio, name
					}
				}
			}
			b.ReportMetric(worst, "x-clean")
			b.Logf("worst: %s, %.2f times its clean text", which, worst)
		})
	}
}

// TestNoAllocation holds the promise on texts with and without findings.
func TestNoAllocation(t *testing.T) {
	var s content.Scanner
	dst := make([]content.Finding, 0, 512)
	for _, text := range []string{clean, hits(480), repeat(cleanHindi, 480), repeat(scripts["hindi words"], 480)} {
		s.Append(dst, text)
		if n := testing.AllocsPerRun(100, func() { s.Append(dst[:0], text, "1701158019811140068", "1107160000000000011") }); n != 0 {
			t.Errorf("%v allocations on %q", n, text[:20])
		}
	}
}
