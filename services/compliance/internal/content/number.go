package content

import "bytes"

// chain is the digit runs that stand together, joined by a single blank or hyphen: 2341 2341 2346.
type chain struct {
	end      int // of the last run, -1 for none
	start    int // of the last run
	length   int // of the last run
	before   int // length of the run before it, 0 for none
	earlier  int // length of the run before that
	previous int // start of the run before
	first    int // start of the run before that
	fours    int // runs of four in a row
	blocks   [4]block
	singles  int // runs of one digit in a row
	single   [20]byte
	singleAt int // start of the first of them
}

func (c *chain) reset() { c.end, c.fours, c.singles, c.length, c.before = -1, 0, 0, 0, 0 }

// join takes a run and tells what stood before it.
func (c *chain) join(s *Scanner, start, end int) {
	joined := c.end >= 0 && start == c.end+1 && (s.text[c.end] == ' ' || s.text[c.end] == '-')
	if !joined {
		c.flush(s)
		c.reset()
	}
	c.first, c.earlier = c.previous, c.before
	c.previous, c.before = c.start, c.length
	c.start, c.end, c.length = start, end, end-start
}

// digits takes a run of digits that is a word of its own.
func (s *Scanner) digits(start, end int) {
	c := &s.chain
	c.join(s, start, end)
	n := end - start
	if n != 4 {
		c.fours = 0
	}
	if n != 1 {
		c.flush(s)
	}
	switch {
	case n == 1:
		c.one(s.text[start], start)
	case n == 4:
		c.four(s, start)
	case n >= 9 && n <= 19:
		s.number(start, end, s.text[start:end])
	}
	switch {
	case n == 5 && c.before == 5:
		s.mobile(c.previous, end, c.earlier == 2 && c.first+3 == c.previous, c.first)
	case n == 5 && c.before == 6 && c.earlier == 4:
		s.amex(c.first, end)
	}
}

// four takes a run of four: the last three may be an Aadhaar, the last four a card or a virtual id.
func (c *chain) four(s *Scanner, start int) {
	c.blocks[0], c.blocks[1], c.blocks[2] = c.blocks[1], c.blocks[2], c.blocks[3]
	c.blocks[3] = digits4(s.text, start)
	c.fours++
	if c.fours >= 4 {
		s.sixteen(c.blocks[:], start+4)
	}
	if c.fours >= 3 {
		s.twelve(c.blocks[1:], start+4)
	}
}

// one takes a run of a single digit.
func (c *chain) one(d byte, start int) {
	if c.singles == 0 {
		c.singleAt = start
	}
	if c.singles < len(c.single) {
		c.single[c.singles] = d
	}
	c.singles++
}

// flush judges digits that were spelled out one by one, at the end of their row.
func (c *chain) flush(s *Scanner) {
	n := c.singles
	c.singles = 0
	if n < 10 || n >= len(c.single) {
		return
	}
	s.number(c.singleAt, c.singleAt+2*n-1, c.single[:n])
}

// number judges 9-19 digits that stand without a gap, or spelled out.
func (s *Scanner) number(start, end int, digits []byte) {
	n := len(digits)
	near := s.near(start)
	if n == 19 && s.isOurs(digits) {
		return
	}
	if near == aboutAccount && n >= 9 && n <= 18 && !tollFree(digits) {
		s.accountNumber(start, end)
		return
	}
	switch n {
	case 10, 11:
		if n == 10 || digits[0] == '0' {
			s.mobileRun(start, end, digits[n-10:])
		}
	case 12:
		if digits[0] == '9' && digits[1] == '1' && digits[2] >= '6' && near != aboutAadhaar {
			s.phone(start, end)
			return
		}
		b := [3]block{digits4(digits, 0), digits4(digits, 4), digits4(digits, 8)}
		b[0].start = start
		s.twelve(b[:], end)
	case 16:
		b := [4]block{digits4(digits, 0), digits4(digits, 4), digits4(digits, 8), digits4(digits, 12)}
		b[0].start = start
		s.sixteen(b[:], end)
	default:
		if isCard(digits) {
			s.add(Card, near != aboutReference, start, end)
		}
	}
}

// twelve judges three blocks of four.
func (s *Scanner) twelve(b []block, end int) {
	near := s.near(b[0].start)
	if near != aboutReference && isAadhaar(b) {
		s.add(Aadhaar, near == aboutAadhaar, b[0].start, end)
	}
}

// sixteen judges four blocks of four.
func (s *Scanner) sixteen(b []block, end int) {
	near := s.near(b[0].start)
	switch {
	case isCard4(b):
		s.add(Card, near != aboutReference, b[0].start, end)
	case near != aboutReference && isVID(b):
		s.add(VID, near == aboutVID || near == aboutAadhaar, b[0].start, end)
	}
}

// amex judges 4-6-5 digits, as American Express prints them.
func (s *Scanner) amex(start, end int) {
	var digits [15]byte
	copy(digits[:4], s.text[start:])
	copy(digits[4:10], s.text[start+5:])
	copy(digits[10:], s.text[start+12:end])
	if isCard(digits[:]) {
		s.add(Card, s.near(start) != aboutReference, start, end)
	}
}

// accountNumber notes a bank account; an IFSC near it makes it certain.
func (s *Scanner) accountNumber(start, end int) {
	s.context.account = end
	s.add(Account, s.context.ifsc != 0 && start-s.context.ifsc <= together, start, end)
}

// mobileRun judges ten digits; "91" before them is theirs.
func (s *Scanner) mobileRun(start, end int, digits []byte) {
	if digits[0] < '6' {
		return
	}
	if s.chain.before == 2 && s.chain.length == 10 && s.chain.previous+3 == start {
		s.ninetyOne(s.chain.previous, start, end)
		return
	}
	s.phone(start, end)
}

// mobile judges 5-5 digits.
func (s *Scanner) mobile(start, end int, two bool, first int) {
	if s.text[start] < '6' {
		return
	}
	if two {
		s.ninetyOne(first, start, end)
		return
	}
	s.phone(start, end)
}

func (s *Scanner) ninetyOne(prefix, start, end int) {
	if s.text[prefix] == '9' && s.text[prefix+1] == '1' {
		start = prefix
	}
	s.phone(start, end)
}

func (s *Scanner) phone(start, end int) {
	if s.near(start) != aboutReference {
		s.add(Phone, false, start, end)
	}
}

// isOurs tells whether digits are one of the DLT ids the caller named.
func (s *Scanner) isOurs(digits []byte) bool {
	for _, id := range s.ids {
		if len(id) == len(digits) && bytes.Equal(digits, []byte(id)) {
			return true
		}
	}
	return false
}

// tollFree tells numbers of the 1800 and 1860 series, which stand beside accounts in many texts.
func tollFree(d []byte) bool {
	return (len(d) == 10 || len(d) == 11) && d[0] == '1' && d[1] == '8' && (d[2] == '0' || d[2] == '6') && d[3] == '0'
}
