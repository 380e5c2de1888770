package content

// at judges an '@': an e-mail address when a domain with a dot follows, a UPI address when a handle does. It answers where
// to go on.
func (s *Scanner) at(i int) int {
	start := max(s.link.local, i-addressMax)
	for start < i && class[s.text[start]]&(letter|digit) == 0 {
		start++
	}
	s.link.local = i + 1
	end, dot := s.domain(i + 1)
	switch {
	case start == i || end == i+1:
		return i + 1
	case dot > 0 && s.isTop(dot+1, end):
		s.add(Email, true, start, end)
	case dot == 0 && i-start >= 2 && s.isHandle(i+1, end):
		w := known.find(s.text, i+1, end)
		s.add(VPA, w != nil && w.meaning&handle != 0, start, end)
	default:
		return i + 1
	}
	s.link.local, s.link.taken = end, end
	return end
}

// isAddress tells whether anything stands on both sides of the '@' at i; no domain or handle has less than three bytes.
func (s *Scanner) isAddress(i int) bool {
	return s.link.local < i && class[s.text[i+1]]&(letter|digit) != 0 && isDomain(s.text[i+2]) && isDomain(s.text[i+3])
}

func isDomain(c byte) bool { return class[c]&(letter|digit) != 0 || c == '.' || c == '-' }

// domain runs over letters, digits, dots and hyphens. It answers the end and the last dot, 0 for none.
func (s *Scanner) domain(start int) (end, dot int) {
	end = start
	for end < s.n && end-start < addressMax && isDomain(s.text[end]) {
		end++
	}
	for end > start && (s.text[end-1] == '.' || s.text[end-1] == '-') {
		end--
	}
	for i := end - 1; i > start; i-- {
		if s.text[i] == '.' {
			return end, i
		}
	}
	return end, 0
}

// isTop tells whether the last label of a domain can be a top-level domain.
func (s *Scanner) isTop(start, end int) bool {
	for i := start; i < end; i++ {
		if class[s.text[i]] != letter {
			return false
		}
	}
	return end-start >= 2
}

// isHandle tells whether what follows '@' can be the handle of a payment application.
func (s *Scanner) isHandle(start, end int) bool {
	if end-start < 3 || class[s.text[start]] != letter || class[s.text[end]]&under != 0 {
		return false
	}
	for i := start; i < end; i++ {
		if s.text[i] == '-' {
			return false
		}
	}
	return true
}

// fieldValue judges what follows "mobile=" in a link. Its bytes are read once more by run.
func (s *Scanner) fieldValue(start int) {
	end, limit := start, min(s.n, start+addressMax)
	for end < limit && class[s.text[end]]&closes == 0 {
		end++
	}
	s.link.valueEnd = end
	if end > start {
		s.add(URLData, true, start, end)
	}
}
