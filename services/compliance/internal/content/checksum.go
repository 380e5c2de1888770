package content

// Verhoeff's scheme: the product of the permuted digits in the dihedral group of order ten is the identity (J. Verhoeff,
// Error Detecting Decimal Codes, 1969). The group is associative, so blocks of four digits are multiplied by themselves.
var (
	dihedral = func() (t [10][10]uint8) {
		for a := range uint8(10) {
			for b := range uint8(10) {
				t[a][b] = product(a, b)
			}
		}
		return t
	}()
	// permuted is a digit at position i from the right, i modulo 8.
	permuted = func() (t [8][10]uint8) {
		turn := [10]uint8{1, 5, 7, 6, 2, 8, 3, 0, 9, 4}
		for d := range uint8(10) {
			t[0][d] = d
		}
		for i := 1; i < 8; i++ {
			for d := range 10 {
				t[i][d] = turn[t[i-1][d]]
			}
		}
		return t
	}()
	luhnDoubled = [10]uint8{0, 2, 4, 6, 8, 1, 3, 5, 7, 9}
)

// product multiplies in the dihedral group: 0-4 are rotations, 5-9 reflections.
func product(a, b uint8) uint8 {
	switch {
	case a < 5 && b < 5:
		return (a + b) % 5
	case a < 5:
		return 5 + (a+b)%5
	case b < 5:
		return 5 + (a-b+5)%5
	default:
		return (a - b + 5) % 5
	}
}

// block is what four digits contribute to the check digits, whatever stands around them.
type block struct {
	start int
	even  uint8  // their product at an even block from the right
	odd   uint8  // the same at an odd one
	luhn  uint8  // their sum, every second doubled
	lead  uint16 // their value
}

// pair is what two digits contribute at each of the four places a pair can have from the right, and to Luhn's sum.
type pair struct {
	verhoeff [4]uint8
	luhn     uint8
}

var pairs = func() (t [100]pair) {
	for n := range t {
		tens, ones := n/10, n%10
		for i := range 4 {
			t[n].verhoeff[i] = product(permuted[2*i][ones], permuted[2*i+1][tens])
		}
		t[n].luhn = luhnDoubled[tens] + uint8(ones)
	}
	return t
}()

// read takes the block at start. It is filled in place: a copy would wait for the narrow writes it is made of.
func (b *block) read(text []byte, start int) {
	d := text[start : start+4]
	high, low := (d[0]&15)*10+d[1]&15, (d[2]&15)*10+d[3]&15
	h, l := &pairs[high], &pairs[low]
	b.start, b.lead, b.luhn = start, uint16(high)*100+uint16(low), h.luhn+l.luhn
	b.even, b.odd = dihedral[l.verhoeff[0]][h.verhoeff[1]], dihedral[l.verhoeff[2]][h.verhoeff[3]]
}

// verhoeff3 verifies three blocks, verhoeff4 four. They are small enough to stand where they are used.
func verhoeff3(a, b, c *block) bool { return dihedral[dihedral[c.even][b.odd]][a.even] == 0 }

func verhoeff4(a, b, c, d *block) bool {
	return dihedral[dihedral[d.even][c.odd]][dihedral[b.even][a.odd]] == 0
}

// mirrored tells whether a read backwards is z, and b read backwards y.
func mirrored(a, z, b, y *block) bool {
	return a.lead == backwards(z.lead) && b.lead == backwards(y.lead)
}

func backwards(n uint16) uint16 { return n%10*1000 + n/10%10*100 + n/100%10*10 + n/1000 }

// luhn4 verifies four blocks.
func luhn4(a, b, c, d *block) bool { return (a.luhn+b.luhn+c.luhn+d.luhn)%10 == 0 }

// isCard tells whether digits, 13-19 of them, form a card.
func isCard(digits []byte) bool {
	if len(digits) < 13 || len(digits) > 19 {
		return false
	}
	lead := int(digits[0]&15)*1000 + int(digits[1]&15)*100 + int(digits[2]&15)*10 + int(digits[3]&15)
	return known.issuers[lead]&(1<<(len(digits)-12)) != 0 && luhn(digits)
}

// luhn verifies the last digit (ISO/IEC 7812-1 annex B).
func luhn(digits []byte) bool {
	sum := 0
	for i := len(digits) - 1; i > 0; i -= 2 {
		sum += int(digits[i]&15) + int(luhnDoubled[digits[i-1]&15])
	}
	if len(digits)%2 == 1 {
		sum += int(digits[0] & 15)
	}
	return sum%10 == 0
}

// mod36 verifies the check character of a GSTIN: weights 1 and 2 in turn from the left, quotient and remainder summed.
func mod36(b []byte) bool {
	sum := 0
	for i := range 14 {
		v := value36(b[i]) << (i & 1)
		sum += v/36 + v%36
	}
	return (36-sum%36)%36 == value36(b[14])
}

func value36(c byte) int {
	if c <= '9' {
		return int(c - '0')
	}
	return int(c|0x20-'a') + 10
}
