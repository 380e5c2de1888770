package registry

import (
	"math/bits"
	"math/rand/v2"
)

// word is a name of an object in one machine word: an id of 19 digits, or a text of up to seven octets, as headers are.
// Different names have different words; 0 is the word of what is neither. Words are compared at once and lie where they are
// looked for, while a string lies somewhere else.
type word uint64

const (
	idDigits  = 19
	textBytes = 7
	textWord  = 0xf0 // and the length, in the highest octet: above all ids, which end at 10^19
)

func wordOf(name string) word {
	switch n := len(name); {
	case n == idDigits:
		return idWord(name)
	case n == 0 || n > textBytes:
		return 0
	}
	w := word(textWord | len(name))
	for i := range len(name) {
		w = w<<8 | word(name[i])
	}
	return w << (8 * (textBytes - len(name)))
}

// idWord is the number an id writes, and one.
func idWord(id string) word {
	high, ok := eightDigits(id)
	middle, also := eightDigits(id[8:])
	low := uint64(0)
	for i := 16; i < idDigits; i++ {
		digit := uint64(id[i] - '0')
		low, also = low*10+digit, also && digit <= 9
	}
	if !ok || !also {
		return 0
	}
	return word(high*1e11 + middle*1e3 + low + 1)
}

// eightDigits reads eight decimal digits at once: neighbours make pairs, pairs make fours, fours make eight.
func eightDigits(s string) (n uint64, ok bool) {
	const zeros, nines, highs = 0x3030303030303030, 0x7676767676767676, 0x8080808080808080
	_ = s[7]
	v := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
	v ^= zeros
	ok = (v|(v+nines))&highs == 0
	v = (v*10 + v>>8) & 0x00ff00ff00ff00ff
	v = (v*100 + v>>16) & 0x0000ffff0000ffff
	return (v*10000 + v>>32) & 0xffffffff, ok
}

// secrets make places in tables that nobody can foresee: ids are chosen by who registers.
var secrets = [2]uint64{rand.Uint64(), rand.Uint64() | 1}

// hash spreads words over all 64 bits.
func (w word) hash() uint64 {
	high, low := bits.Mul64(uint64(w)^secrets[0], secrets[1])
	return high ^ low
}
