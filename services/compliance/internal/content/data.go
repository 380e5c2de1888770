package content

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

//go:embed data.yaml
var dataFile []byte

// meaning is what a word says about what stands near it.
type meaning uint32

// The meanings. Those up to numbers decide what a number is; only one of them holds for a word.
const (
	aboutAadhaar meaning = 1 << iota
	aboutVID
	aboutCard
	aboutAccount
	aboutReference
	aboutPAN
	aboutPassport
	aboutVoter
	aboutOTP
	aboutCVV
	aboutPIN
	aboutPassword
	filler
	ending
	field
	modifier // makes the next word, "code" or "PIN", one of the secrets
	handle   // of UPI addresses
)

const (
	numbers = aboutAadhaar | aboutVID | aboutCard | aboutAccount | aboutReference
	context = numbers | aboutPAN | aboutPassport | aboutVoter
	secrets = aboutOTP | aboutCVV | aboutPIN | aboutPassword
)

// extra tells words of one meaning apart.
type extra uint8

const (
	always     extra = 1 << iota // a PIN of six digits that is none of a post office
	codeOnly                     // "code": an OTP behind a verification word, nothing of its own
	beforeCode                   // a modifier of "code"
	beforePIN                    // a modifier of "PIN"
)

// word is an entry of the table.
type word struct {
	text    string
	key     uint64 // its first eight bytes
	meaning meaning
	extra   extra
}

// tableBits makes the index 4 KiB: it stays in the first cache, and nine of ten foreign words miss at the first slot.
const tableBits = 11

// knowledge is data.yaml in the form the scanner reads it.
type knowledge struct {
	index   [1 << tableBits]uint16 // open addressing; one more than the place in list, 0 for free
	list    []word
	issuers [10000]uint16 // four first digits to a mask of lengths, bit 0 for 12
	states  [100]bool
}

var known = mustLoad(dataFile)

type dataShape struct {
	Words        map[string][]string
	Verification []string
	Secret       []string
	Filler       []string
	Fields       []string
	Endings      []string
	Handles      []string
	Cards        []struct {
		Name, From, To string
		Lengths        []int
	}
	States []int
}

func mustLoad(raw []byte) *knowledge {
	k, err := load(raw)
	if err != nil {
		panic(fmt.Sprintf("content: data.yaml: %v", err)) // embedded: a test would have failed
	}
	return k
}

func load(raw []byte) (*knowledge, error) {
	var d dataShape
	if err := yaml.Unmarshal(raw, &d); err != nil {
		return nil, err
	}
	k := &knowledge{}
	if err := k.words(&d); err != nil {
		return nil, err
	}
	for s := 1; s <= 38; s++ {
		k.states[s] = true
	}
	for _, s := range d.States {
		k.states[s] = true
	}
	for _, c := range d.Cards {
		if err := k.issuer(c.From, c.To, c.Lengths); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
	}
	return k, nil
}

var groups = map[string]struct {
	meaning meaning
	extra   extra
}{
	"aadhaar": {aboutAadhaar, 0}, "vid": {aboutVID, 0}, "pan": {aboutPAN, 0}, "card": {aboutCard, 0}, "account": {aboutAccount, 0},
	"reference": {aboutReference, 0}, "passport": {aboutPassport, 0}, "voter": {aboutVoter, 0}, "otp": {aboutOTP, 0},
	"cvv": {aboutCVV, 0}, "pin": {aboutPIN, 0}, "mpin": {aboutPIN, always}, "password": {aboutPassword, 0}, "code": {aboutOTP, codeOnly},
}

func (k *knowledge) words(d *dataShape) error {
	for name, list := range d.Words {
		g, ok := groups[name]
		if !ok {
			return fmt.Errorf("no group %q", name)
		}
		k.add(list, g.meaning, g.extra)
	}
	k.add(d.Verification, modifier, beforeCode)
	k.add(d.Secret, modifier, beforePIN)
	k.add(d.Filler, filler, 0)
	k.add(d.Fields, field, 0)
	k.add(d.Endings, ending, 0)
	k.add(d.Handles, handle, 0)
	return nil
}

func (k *knowledge) add(list []string, m meaning, e extra) {
	for _, text := range list {
		padded := append([]byte(text), make([]byte, pad)...)
		w := k.find(padded, 0, len(text))
		if w == nil {
			at := slot(padded, 0, len(text))
			for k.index[at] != 0 {
				at = (at + 1) % (1 << tableBits)
			}
			k.list = append(k.list, word{text: text, key: first8(padded, 0, len(text))})
			k.index[at] = uint16(len(k.list))
			w = &k.list[len(k.list)-1]
		}
		w.meaning, w.extra = w.meaning|m, w.extra|e
	}
}

// issuer marks the lengths for every four first digits of a range.
func (k *knowledge) issuer(from, to string, lengths []int) error {
	lo, err := strconv.Atoi(from + strings.Repeat("0", 4-len(from)))
	if err != nil {
		return err
	}
	hi, err := strconv.Atoi(to + strings.Repeat("9", 4-len(to)))
	if err != nil {
		return err
	}
	for ; lo <= hi; lo++ {
		for _, n := range lengths {
			k.issuers[lo] |= 1 << (n - 12)
		}
	}
	return nil
}

// find looks up the word text[start:end]; text has pad bytes behind its end.
func (k *knowledge) find(text []byte, start, end int) *word {
	return k.at(slot(text, start, end), text, start, end)
}

// at is find for a word whose slot is known.
func (k *knowledge) at(at uint64, text []byte, start, end int) *word {
	key := first8(text, start, end)
	for ; ; at = (at + 1) % (1 << tableBits) {
		i := k.index[at]
		if i == 0 {
			return nil
		}
		w := &k.list[i-1]
		if w.key != key || len(w.text) != end-start {
			continue
		}
		if end-start <= 8 && text[start] < utf8.RuneSelf || same(w.text, text[start:end]) {
			return w
		}
	}
}

// pad is how many zero bytes follow a text, so that a word is read eight bytes at a time.
const pad = 8

// slot is where the search for a word begins.
func slot(text []byte, start, end int) uint64 {
	return (first8(text, start, end) + uint64(end-start)) * 0xd6e8feb86659fd93 >> (64 - tableBits)
}

// first8 is the first eight bytes of a word, its ASCII letters in lower case.
func first8(text []byte, start, end int) uint64 {
	return (load8(text, start) | 0x2020202020202020) << (8 * (8 - min(uint64(end-start), 8)) & 63)
}

func load8(b []byte, i int) uint64 { return binary.LittleEndian.Uint64(b[i:]) }

// same compares a table word with a word of the text, ASCII letters without case.
func same(want string, got []byte) bool {
	if len(want) != len(got) {
		return false
	}
	for i := range got {
		c := got[i]
		if c-'A' < 26 {
			c |= 0x20
		}
		if c != want[i] {
			return false
		}
	}
	return true
}
