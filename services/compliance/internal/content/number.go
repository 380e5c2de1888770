package content

import "bytes"

// chain is the digit runs that stand together, joined by a single blank or hyphen: 2341 2341 2346.
type chain struct {
	end      int // of the last run, -2 for none
	fours    int // runs of four in a row
	blocks   [4]block
	singles  int // runs of one digit in a row
	single   [20]byte
	singleAt int // start of the first of them
}

func (c *chain) reset() { c.end, c.fours, c.singles = -2, 0, 0 }

// joins tells whether a run that begins at start stands beside the last one.
func (s *Scanner) joins(start int) bool {
	return start == s.chain.end+1 && isJoint(s.text[start-1])
}

func isJoint(c byte) bool { return c == ' ' || c == '-' }

// runBefore answers where a run of n digits begins that stands beside the one at start, -1 for none.
func (s *Scanner) runBefore(start, n int) int {
	from := start - 1 - n
	if from < s.link.taken || !isJoint(s.text[start-1]) || from > 0 && class[s.text[from-1]]&wordByte != 0 {
		return -1
	}
	for _, c := range s.text[from : start-1] {
		if class[c] != digit {
			return -1
		}
	}
	return from
}

// digits takes a run of two digits or more that is a word of its own.
func (s *Scanner) digits(start, end int) {
	if s.chain.singles != 0 {
		s.chain.flush(s)
	}
	n := end - start
	switch {
	case n == 4:
		s.four(start)
		return
	case n == 5:
		s.five(start, end)
	case n >= 9 && n <= 19:
		s.number(start, end, s.text[start:end])
	}
	s.chain.end, s.chain.fours = end, 0
}

// five takes a run of five, the last of a mobile number (5-5) or of a card of American Express (4-6-5).
func (s *Scanner) five(start, end int) {
	if first := s.runBefore(start, 5); first >= 0 {
		s.mobile(first, end, s.text[first])
		return
	}
	if second := s.runBefore(start, 6); second >= 0 {
		if first := s.runBefore(second, 4); first >= 0 {
			s.amex(first, end)
		}
	}
}

// four takes a run of four: the last three may be an Aadhaar, the last four a card or a virtual id.
func (s *Scanner) four(start int) {
	c := &s.chain
	if !s.joins(start) {
		c.fours = 0
	}
	last := &c.blocks[c.fours&3]
	last.read(s.text, start)
	c.fours++
	c.end = start + 4
	if c.fours < 3 {
		return
	}
	second, third := &c.blocks[(c.fours-3)&3], &c.blocks[(c.fours-2)&3]
	if first := &c.blocks[c.fours&3]; c.fours >= 4 && (luhn4(first, second, third, last) || verhoeff4(first, second, third, last)) {
		s.sixteen(first, second, third, last, start+4)
	}
	if verhoeff3(second, third, last) {
		s.twelve(second, third, last, start+4)
	}
}

// one takes a run of a single digit.
func (s *Scanner) one(start int) {
	c := &s.chain
	if c.singles == 0 || !s.joins(start) {
		if c.singles != 0 {
			c.flush(s)
		}
		c.singleAt, c.fours, s.phrase.codeEnd = start, 0, 0
	}
	if c.singles < len(c.single) {
		c.single[c.singles] = s.text[start]
	}
	c.singles++
	c.end = start + 1
}

// flush judges digits that were spelled out one by one, at the end of their row and before anything behind it is.
func (c *chain) flush(s *Scanner) {
	n := c.singles
	if n == 0 {
		return
	}
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
			s.mobile(start, end, digits[n-10])
		}
	case 12:
		if digits[0] == '9' && digits[1] == '1' && digits[2] >= '6' && near != aboutAadhaar {
			s.phone(start, end)
			return
		}
		b := &s.chain.blocks // free: a run of another length ended the row of fours
		for i := range 3 {
			b[i].read(digits, 4*i)
		}
		b[0].start = start
		if verhoeff3(&b[0], &b[1], &b[2]) {
			s.twelve(&b[0], &b[1], &b[2], end)
		}
	case 16:
		b := &s.chain.blocks
		for i := range b {
			b[i].read(digits, 4*i)
		}
		b[0].start = start
		s.sixteen(&b[0], &b[1], &b[2], &b[3], end)
	default:
		if isCard(digits) {
			s.add(Card, near == aboutCard || near != aboutReference && n < 19, start, end) // DLT ids have 19 digits too
		}
	}
}

// twelve judges three blocks that pass Verhoeff: an Aadhaar is not led by 0 or 1 and is no palindrome (UIDAI).
func (s *Scanner) twelve(a, b, c *block, end int) {
	if a.lead < 2000 || mirrored(a, c, b, b) {
		return
	}
	if near := s.near(a.start); near != aboutReference {
		s.add(Aadhaar, near == aboutAadhaar, a.start, end)
	}
}

// sixteen judges four blocks that pass Luhn or Verhoeff. A virtual id has the form of an Aadhaar.
func (s *Scanner) sixteen(a, b, c, d *block, end int) {
	switch {
	case known.issuers[a.lead]&(1<<(16-12)) != 0 && luhn4(a, b, c, d):
		s.add(Card, s.near(a.start) != aboutReference, a.start, end)
	case a.lead >= 2000 && verhoeff4(a, b, c, d) && !mirrored(a, d, b, c):
		if near := s.near(a.start); near != aboutReference {
			s.add(VID, near == aboutVID || near == aboutAadhaar, a.start, end)
		}
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

// mobile judges ten digits by their first; "91" before them is theirs.
func (s *Scanner) mobile(start, end int, first byte) {
	if first < '6' {
		return
	}
	if country := s.runBefore(start, 2); country >= 0 && s.text[country] == '9' && s.text[country+1] == '1' {
		start = country
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
