package content

// The classes of bytes.
const (
	letter   uint8 = 1 << iota // ASCII
	digit                      // ASCII
	under                      // '_', a part of words as in RE2's \w
	high                       // a byte of another script
	local                      // may stand in the local part of an address, beside letters and digits
	breaks                     // ends a phrase: what follows is no longer its value
	active                     // begins, ends or structures a link
	closes                     // ends the value of a query's field
	wordByte = letter | digit | under
)

var class = func() (t [256]uint8) {
	for c := range 256 {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
			t[c] = letter
		case c >= '0' && c <= '9':
			t[c] = digit
		case c == '_':
			t[c] = under
		case c >= 0x80:
			t[c] = high
		}
	}
	for _, c := range []byte(".%+-") {
		t[c] |= local
	}
	// Between a phrase and its value stand blanks, quotes, brackets, ':', '=' and '-' only.
	for _, c := range []byte("\n\r.,;!?/\\|<>[]{}&*%+#$^~`@") {
		t[c] |= breaks
	}
	for _, c := range []byte(":/?=\n\r\t") {
		t[c] |= active
	}
	for c := range 0x21 {
		t[c] |= closes
	}
	t['&'] |= closes
	t['#'] |= closes
	return t
}()
