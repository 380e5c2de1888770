package content

// phrase follows "OTP is 482913", "password: …", "CVV नंबर 123": what is wanted, and what has been seen since. It also
// keeps the last code of 4-8 digits for "482913 is your OTP".
type phrase struct {
	wanted    Kind // OTP, CVV, PIN or Password; 0 (Aadhaar) for none
	sure      bool // a PIN that is none of a post office
	seen      int  // fillers since
	modifier  extra
	codeStart int
	codeEnd   int // 0 for none
}

// stop ends the phrase at a mark that parts sentences or clauses.
func (p *phrase) stop() { p.wanted, p.modifier, p.codeEnd = 0, 0, 0 }

// unknown takes a word without meaning: it ends what a phrase waited for.
func (p *phrase) unknown() {
	p.wanted, p.modifier = 0, 0
}

// word takes a word of the table.
func (p *phrase) word(s *Scanner, w *word, start int) {
	behind := p.modifier
	p.modifier = 0
	switch {
	case w.meaning&secrets != 0:
		p.secret(s, w, behind, start)
	case w.meaning&filler != 0:
		if p.seen++; p.seen > fillers {
			p.wanted = 0
		}
	default:
		p.wanted = 0
	}
	if w.meaning&modifier != 0 {
		p.modifier = w.extra
	}
}

// secret begins a phrase, and takes an OTP that stood before it.
func (p *phrase) secret(s *Scanner, w *word, behind extra, start int) {
	p.wanted, p.seen = 0, 0
	switch w.meaning & secrets {
	case aboutOTP:
		if w.extra&codeOnly != 0 && behind&beforeCode == 0 {
			return
		}
		p.wanted = OTP
		if p.codeEnd != 0 && start-p.codeEnd <= after {
			s.add(OTP, true, p.codeStart, p.codeEnd)
			p.codeEnd, p.wanted = 0, 0
		}
	case aboutCVV:
		p.wanted = CVV
	case aboutPIN:
		p.wanted, p.sure = PIN, w.extra&always != 0 || behind&beforePIN != 0
	case aboutPassword:
		p.wanted = Password
	}
}

// digits keeps a code that may be an OTP.
func (p *phrase) digits(start, end int) {
	p.codeEnd = 0
	if n := end - start; n >= 4 && n <= 8 {
		p.codeStart, p.codeEnd = start, end
	}
}

// value judges the word behind a phrase, which ends with it. taken says that the word was the value; a password goes on
// to next.
func (s *Scanner) value(start, end int, all uint8) (next int, taken bool) {
	if known.find(s.text, start, end) != nil {
		return end, false // a filler, or a phrase of its own
	}
	p, n := &s.phrase, end-start
	wanted := p.wanted
	p.wanted = 0
	switch {
	case wanted == Password:
		return s.passwordValue(start)
	case all != digit:
		return end, false
	case wanted == OTP && n >= 4 && n <= 8, wanted == CVV && (n == 3 || n == 4):
		s.add(wanted, true, start, end)
	case wanted == PIN && (n == 4 || n == 6):
		s.add(PIN, n == 4 || p.sure, start, end)
	default:
		return end, false
	}
	return end, true
}

// passwordValue takes everything to the next blank as a password, if that has a digit or a sign and is no link.
func (s *Scanner) passwordValue(start int) (next int, taken bool) {
	end, strong := start, false
	for ; end < s.n && end-start < addressMax && s.text[end] > ' '; end++ {
		c := s.text[end]
		if c == ':' && s.text[end+1] == '/' {
			return start, false
		}
		strong = strong || class[c]&digit != 0 || isSign(c)
	}
	for end > start && isClosing(s.text[end-1]) {
		end--
	}
	if !strong || end-start < 4 {
		return start, false
	}
	s.add(Password, true, start, end)
	s.phrase.stop()
	s.link.local, s.link.taken = end, end
	return end, true
}

func isSign(c byte) bool {
	switch c {
	case '@', '#', '$', '%', '^', '&', '*', '+', '=', '_':
		return true
	}
	return false
}

func isClosing(c byte) bool {
	switch c {
	case '.', ',', ';', '!', '?', ')', '"', '\'', '>', ']':
		return true
	}
	return false
}
