package gsm

// Alphabet is how a text is encoded.
type Alphabet byte

// The two alphabets Indian operators take.
const (
	GSM7 Alphabet = iota // default alphabet and extension table; units are septets
	UCS2                 // UTF-16, big endian; units are 16-bit code units
)

// Capacity of a short message in units (3GPP TS 23.040 §9.2.3.24.1): 140 octets
// of user data, less six of header when there are several segments.
const (
	singleGSM7, partGSM7 = 160, 153
	singleUCS2, partUCS2 = 70, 67
)

// String returns the alphabet's usual name.
func (a Alphabet) String() string {
	if a == UCS2 {
		return "UCS2"
	}
	return "GSM7"
}

// DataCoding returns SMPP data_coding (SMPP 3.4 §5.2.19).
func (a Alphabet) DataCoding() byte {
	if a == UCS2 {
		return 0x08
	}
	return 0x00
}

// Limits returns the units one segment holds, alone and among several.
func (a Alphabet) Limits() (single, part int) {
	if a == UCS2 {
		return singleUCS2, partUCS2
	}
	return singleGSM7, partGSM7
}

// Codes of the default alphabet that stand for no character, and the mark of those of the extension table.
const (
	Escape  = 0x1B // announces a character of the extension table
	NoCode  = 0xFF // the character is in neither table
	Shifted = 0x80 // flag: the code is in the extension table
)

// basic is the default alphabet, 3GPP TS 23.038 §6.2.1, by code. Code 0x1B is
// the escape itself.
var basic = [128]rune{
	'@', '£', '$', '¥', 'è', 'é', 'ù', 'ì', 'ò', 'Ç', '\n', 'Ø', 'ø', '\r', 'Å', 'å',
	'Δ', '_', 'Φ', 'Γ', 'Λ', 'Ω', 'Π', 'Ψ', 'Σ', 'Θ', 'Ξ', Escape, 'Æ', 'æ', 'ß', 'É',
	' ', '!', '"', '#', '¤', '%', '&', '\'', '(', ')', '*', '+', ',', '-', '.', '/',
	'0', '1', '2', '3', '4', '5', '6', '7', '8', '9', ':', ';', '<', '=', '>', '?',
	'¡', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O',
	'P', 'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', 'Ä', 'Ö', 'Ñ', 'Ü', '§',
	'¿', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o',
	'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 'ä', 'ö', 'ñ', 'ü', 'à',
}

// extension is the extension table of §6.2.1.1: the code after the escape.
var extension = map[rune]byte{
	'\f': 0x0A, '^': 0x14, '{': 0x28, '}': 0x29, '\\': 0x2F,
	'[': 0x3C, '~': 0x3D, ']': 0x3E, '|': 0x40, '€': 0x65,
}

// euro is the only character of either table beyond lastDense.
const (
	euro      = '€'
	lastDense = 'Ω'
)

// codes maps characters up to lastDense to their code, with Shifted set for the
// extension table, or to NoCode.
var codes = func() (t [lastDense + 1]byte) {
	for i := range t {
		t[i] = NoCode
	}
	for code, r := range basic {
		if r != Escape {
			t[r] = byte(code)
		}
	}
	for r, code := range extension {
		if r <= lastDense {
			t[r] = Shifted | code
		}
	}
	return t
}()

// Code returns the character's code, with Shifted set for the extension table,
// or NoCode.
func Code(r rune) byte {
	if uint32(r) <= lastDense {
		return codes[r]
	}
	if r == euro {
		return Shifted | 0x65
	}
	return NoCode
}

// unshift is the extension table by code; 0 where it is empty.
var unshift = func() (t [128]rune) {
	for r, code := range extension {
		t[code] = r
	}
	return t
}()

// Basic returns the character of a code below 128 in the default alphabet.
func Basic(code byte) rune { return basic[code] }

// Extended returns the character of a code below 128 in the extension table; ok is false where it is empty.
func Extended(code byte) (r rune, ok bool) { return unshift[code], unshift[code] != 0 }
