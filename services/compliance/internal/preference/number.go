package preference

// Number is an Indian mobile number: its national number less 6,000,000,000, so 0 to 3,999,999,999. Mobile numbers have
// ten digits and begin with 6-9 (National Numbering Plan).
type Number uint32

const (
	firstNational = 6_000_000_000
	// Numbers is how many there are.
	Numbers = 4_000_000_000
)

// ParseNumber reads a number in E.164: +91 and ten digits of which the first is 6-9. It does not normalise.
func ParseNumber(e164 string) (Number, bool) {
	if len(e164) != 13 || e164[:3] != "+91" {
		return 0, false
	}
	return national(e164[3:])
}

func national[T string | []byte](digits T) (Number, bool) {
	if len(digits) != 10 || digits[0] < '6' {
		return 0, false
	}
	var n uint64
	for i := range len(digits) {
		d := digits[i] - '0'
		if d > 9 {
			return 0, false
		}
		n = n*10 + uint64(d)
	}
	return Number(n - firstNational), true
}

// E164 writes the number out. It is personal data: never log it.
func (n Number) E164() string {
	digits := [13]byte{'+', '9', '1'}
	for i, v := 12, uint64(n)+firstNational; i > 2; i, v = i-1, v/10 {
		digits[i] = byte('0' + v%10)
	}
	return string(digits[:])
}
