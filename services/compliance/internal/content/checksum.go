package content

// Verhoeff's scheme: the product of the permuted digits in the dihedral group of order ten is the identity (J. Verhoeff,
// Error Detecting Decimal Codes, 1969). The group is associative, so blocks of four digits are multiplied by themselves.
var (
	dihedral    [10][16]uint8 // product of two elements; rows of 16, so that an index needs no check
	permuted    [8][10]uint8  // a digit at position i from the right, i modulo 8
	luhnDoubled = [10]uint8{0, 2, 4, 6, 8, 1, 3, 5, 7, 9}
)

func init() {
	for a := range uint8(10) {
		for b := range uint8(10) {
			dihedral[a][b] = product(a, b)
		}
	}
	turn := [10]uint8{1, 5, 7, 6, 2, 8, 3, 0, 9, 4}
	for d := range uint8(10) {
		permuted[0][d] = d
	}
	for i := 1; i < 8; i++ {
		for d := range 10 {
			permuted[i][d] = turn[permuted[i-1][d]]
		}
	}
}

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
	start     int
	verhoeff  [2]uint8 // their product at an even and at an odd block from the right
	luhn      uint8    // their sum, every second doubled
	lead      uint16   // their value
	backwards uint16   // their value read from the right
}

// digits4 reads the block at start.
func digits4(text []byte, start int) block {
	a, b, c, d := text[start]&15, text[start+1]&15, text[start+2]&15, text[start+3]&15
	return block{
		start: start,
		verhoeff: [2]uint8{
			dihedral[dihedral[permuted[0][d]][permuted[1][c]]][dihedral[permuted[2][b]][permuted[3][a]]],
			dihedral[dihedral[permuted[4][d]][permuted[5][c]]][dihedral[permuted[6][b]][permuted[7][a]]],
		},
		luhn:      luhnDoubled[a] + b + luhnDoubled[c] + d,
		lead:      uint16(a)*1000 + uint16(b)*100 + uint16(c)*10 + uint16(d),
		backwards: uint16(d)*1000 + uint16(c)*100 + uint16(b)*10 + uint16(a),
	}
}

// isAadhaar tells whether three blocks form an Aadhaar: not led by 0 or 1, no palindrome, Verhoeff (UIDAI).
func isAadhaar(b []block) bool {
	palindrome := b[0].lead == b[2].backwards && b[1].lead == b[1].backwards
	return b[0].lead >= 2000 && !palindrome && dihedral[dihedral[b[2].verhoeff[0]][b[1].verhoeff[1]]][b[0].verhoeff[0]] == 0
}

// isVID tells whether four blocks form a virtual id of an Aadhaar.
func isVID(b []block) bool {
	low := dihedral[b[3].verhoeff[0]][b[2].verhoeff[1]]
	high := dihedral[b[1].verhoeff[0]][b[0].verhoeff[1]]
	palindrome := b[0].lead == b[3].backwards && b[1].lead == b[2].backwards
	return b[0].lead >= 2000 && !palindrome && dihedral[low][high] == 0
}

// isCard4 tells whether four blocks form a card.
func isCard4(b []block) bool {
	return known.issuers[b[0].lead]&(1<<(16-12)) != 0 && (int(b[0].luhn)+int(b[1].luhn)+int(b[2].luhn)+int(b[3].luhn))%10 == 0
}

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
