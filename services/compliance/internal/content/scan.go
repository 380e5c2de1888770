package content

// How far a word speaks, in bytes of folded text. The bounds keep the work for a byte bounded as well.
const (
	before     = 32 // from a context word to the number behind it
	after      = 24 // from a number to the context word behind it
	afterRef   = 16 // from a number to a word that makes it a reference
	addressMax = 64 // a side of an '@', and a password
	together   = 64 // from an account to its IFSC
	fillers    = 4  // words between a phrase and its value
	longest    = 24 // a word that is looked up
)

// Scanner is the scratch memory of one goroutine. The zero value is ready.
type Scanner struct {
	text    []byte  // folded, with pad zero bytes behind
	n       int     // bytes without the padding
	origin  []place // of each byte of text, unless that is plain ASCII
	dst     []Finding
	own     int // where this text's findings begin in dst
	ids     []string
	context numbersNear
	chain   chain
	phrase  phrase
	link    link
}

// numbersNear is the last word of each sort that tells what a number is; positions are 1 past its end, 0 for none.
type numbersNear struct {
	last          meaning // of the numbers
	lastEnd       int
	pan, passport int
	voter         int
	ifsc, account int // ends; account's finding may become certain
}

// link is where an address or link may have begun.
type link struct {
	local      int  // begin of what may be the local part of an address
	inside     bool // in the path or query of a link
	ending     int  // end of a word behind a dot that ends a domain, 0 for none
	field      int  // end of a query field's name, 0 for none
	afterPoint int  // begin of a word behind a dot
	valueEnd   int  // end of the last field's value
	taken      int  // end of the last password or address: what it holds is nothing else
}

// Append adds the findings of text to dst, in order of their end, and answers it. ids are DLT ids that may stand in the
// text, such as the message's own entity and template; they are no findings. Text is UTF-8; bytes that are not are
// separators. Nothing is allocated once the scratch memory has grown to the longest text.
func (s *Scanner) Append(dst []Finding, text string, ids ...string) []Finding {
	s.dst, s.own, s.ids = dst, len(dst), append(s.ids[:0], ids...)
	s.context, s.link = numbersNear{}, link{}
	s.chain.reset()
	s.phrase = phrase{}
	ascii := s.fold(text)
	s.run()
	s.chain.flush(s)
	s.unfold(ascii)
	dst, s.dst = s.dst, nil
	return dst
}

// run is one loop, and long for it: calls for what most bytes are would double the time of all.
func (s *Scanner) run() {
	text := s.text
	for i := 0; i < s.n; {
		c := class[text[i]]
		switch {
		case c&wordByte != 0:
			start, all := i, c
			for i++; i < len(text); i++ {
				c = class[text[i]]
				if c&wordByte == 0 {
					break
				}
				all |= c
			}
			switch {
			case all != letter && all != digit, s.phrase.wanted != 0 && (all != letter || s.phrase.wanted == Password):
				i = s.word(start, i, all)
			case all == letter:
				if at := slot(text, start, i); known.index[at] != 0 || s.chain.singles != 0 || !s.plain(start, i) {
					s.letters(start, i, at)
				}
			case i == start+1:
				s.one(start)
			default:
				s.digits(start, i)
				s.phrase.digits(start, i)
			}
		case c&high != 0:
			start := i
			for i++; i < len(text) && class[text[i]]&high != 0; i++ {
			}
			s.link.local = i
			s.letters(start, i, slot(text, start, i))
		case text[i] == ' ':
			s.link.inside = false
			i++
			s.link.local = i
		case c&(breaks|active) == 0:
			i++
			if c&local == 0 {
				s.link.local = i
			}
		default:
			i = s.separator(i, c)
		}
	}
}

// plain takes the words that most words are: without meaning.
func (s *Scanner) plain(start, end int) bool {
	s.link.afterPoint = 0
	s.phrase.unknown()
	return end != start+1 || !s.isAC(start)
}

// word takes a run of letters, digits and underscores and answers where to go on.
func (s *Scanner) word(start, end int, all uint8) int {
	taken := false
	if wanted := s.phrase.wanted; wanted != 0 {
		var next int
		if next, taken = s.value(start, end, all); taken && wanted == Password {
			return next
		}
	}
	if all == digit {
		if end == start+1 {
			s.one(start)
			return end
		}
		s.digits(start, end)
		if s.phrase.digits(start, end); taken {
			s.phrase.codeEnd = 0 // it has its phrase
		}
		return end
	}
	s.letters(start, end, slot(s.text, start, end))
	if all == letter|digit {
		s.shape(start, end)
	}
	return end
}

// letters looks a word up, from its slot on, and takes note of what it says.
func (s *Scanner) letters(start, end int, at uint64) {
	if s.chain.singles != 0 {
		s.chain.flush(s)
	}
	if end-start > longest {
		s.phrase.wanted = 0
		return
	}
	w := known.at(at, s.text, start, end)
	if w == nil {
		s.link.afterPoint = 0
		s.phrase.unknown()
		if end-start == 1 && !s.link.inside && s.isAC(start) {
			s.note(aboutAccount, start, end)
		}
		return
	}
	if s.link.inside { // there words are names of fields, and speak of nothing else
		s.link.field = 0
		if w.meaning&field != 0 {
			s.link.field = end
		}
		s.phrase.unknown()
		return
	}
	if w.meaning&ending != 0 && s.link.afterPoint == start && start > 0 {
		s.link.ending = end
	}
	s.link.afterPoint = 0
	if w.meaning&context != 0 {
		s.note(w.meaning&context, start, end)
	}
	s.phrase.word(s, w, start)
}

// isAC tells whether the letter at i is the c of "a/c".
func (s *Scanner) isAC(i int) bool {
	return s.text[i]|0x20 == 'c' && i >= 2 && s.text[i-1] == '/' && s.text[i-2]|0x20 == 'a' &&
		(i == 2 || class[s.text[i-3]]&wordByte == 0)
}

// note keeps a context word, and lets it speak of the number before it.
func (s *Scanner) note(m meaning, start, end int) {
	if m&numbers != 0 {
		s.context.last, s.context.lastEnd = m&numbers, end
	}
	switch m {
	case aboutPAN:
		s.context.pan = end
	case aboutPassport:
		s.context.passport = end
	case aboutVoter:
		s.context.voter = end
	}
	if len(s.dst) > s.own {
		s.hindsight(m, start)
	}
}

// hindsight lets a context word confirm the last finding, or make it a reference.
func (s *Scanner) hindsight(m meaning, start int) {
	f := &s.dst[len(s.dst)-1]
	gap := start - f.End
	switch {
	case m == aboutReference && gap <= afterRef && !f.Certain && (f.Kind == Aadhaar || f.Kind == VID || f.Kind == Phone):
		s.dst = s.dst[:len(s.dst)-1]
	case gap > after:
	case m == aboutAadhaar && (f.Kind == Aadhaar || f.Kind == VID), m == aboutVID && f.Kind == VID,
		m == aboutPAN && f.Kind == PAN, m == aboutVoter && f.Kind == VoterID:
		f.Certain = true
	}
}

// near tells which word about numbers speaks of one that starts here; 0 for none.
func (s *Scanner) near(start int) meaning {
	if s.context.last != 0 && start-s.context.lastEnd <= before {
		return s.context.last
	}
	return 0
}

func within(end, start int) bool { return end != 0 && start-end <= before }

// add appends a finding. Of two that overlap the longer one stays, of equal ones the first.
func (s *Scanner) add(k Kind, certain bool, start, end int) {
	for len(s.dst) > s.own {
		last := &s.dst[len(s.dst)-1]
		if last.End <= start {
			break
		}
		if end-start <= last.End-last.Start {
			return
		}
		s.dst = s.dst[:len(s.dst)-1]
	}
	if s.link.inside && k != IFSC {
		certain = certain || k == Email
		k = URLData
	}
	s.dst = append(s.dst, Finding{})
	f := &s.dst[len(s.dst)-1] // filled in place, as in block.read
	f.Kind, f.Certain, f.Start, f.End = k, certain, start, end
}

// separator takes a byte that ends a phrase or speaks of an address or a link, and answers where to go on.
func (s *Scanner) separator(i int, c uint8) int {
	if s.chain.singles != 0 {
		s.chain.flush(s)
	}
	if c&breaks != 0 {
		if s.phrase.wanted == Password && isSign(s.text[i]) && class[s.text[i-1]]&(wordByte|high) == 0 {
			if next, ok := s.passwordValue(i); ok {
				return next
			}
		}
		s.phrase.stop()
	}
	if c&local == 0 {
		if s.text[i] == '@' && s.isAddress(i) {
			return s.at(i)
		}
		s.link.local = i + 1
	} else if s.text[i] == '.' {
		s.link.afterPoint = i + 1
	}
	if c&active != 0 {
		return s.linkMark(i)
	}
	return i + 1
}

// linkMark takes a byte that begins, ends or structures a link.
func (s *Scanner) linkMark(i int) int {
	switch s.text[i] {
	case '\n', '\t', '\r':
		s.link.inside = false
	case ':':
		if s.text[i+1] == '/' && s.text[i+2] == '/' {
			s.link.inside = true
			return i + 3
		}
	case '/', '?':
		if s.link.ending == i && i > 0 {
			s.link.inside = true
		}
	case '=':
		if s.link.inside && s.link.field == i && i >= s.link.valueEnd && i > 0 {
			s.fieldValue(i + 1)
		}
	}
	return i + 1
}
