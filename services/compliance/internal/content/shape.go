package content

// shape judges a word of letters and digits by its length and by which of the two stands where.
func (s *Scanner) shape(start, end int) {
	b := s.text[start:end]
	switch len(b) {
	case 8:
		if within(s.context.passport, start) && passport(b) {
			s.add(Passport, true, start, end)
		}
	case 10:
		switch {
		case form(b, "aaaaa9999a") && holder(b[3]) && string(b[5:9]) != "0000":
			s.add(PAN, within(s.context.pan, start), start, end)
		case form(b, "aaa9999999") && luhn(b[3:]) && s.near(start) != aboutReference:
			s.add(VoterID, within(s.context.voter, start), start, end)
		}
	case 11:
		if form(b[:4], "aaaa") && b[4] == '0' {
			s.branch(start, end)
		}
	case 15:
		if gstin(b) {
			s.add(GSTIN, true, start, end)
		}
	}
}

// branch notes an IFSC; it makes an account before it certain.
func (s *Scanner) branch(start, end int) {
	s.context.ifsc = end
	if s.context.account != 0 && start-s.context.account <= together {
		for i := len(s.dst) - 1; i >= s.own && s.dst[i].End >= s.context.account; i-- {
			if s.dst[i].Kind == Account && s.dst[i].End == s.context.account {
				s.dst[i].Certain = true
			}
		}
	}
	s.add(IFSC, true, start, end)
}

// form compares b with a form of letters (a) and digits (9).
func form(b []byte, form string) bool {
	for i := range b {
		want := letter
		if form[i] == '9' {
			want = digit
		}
		if class[b[i]] != want {
			return false
		}
	}
	return true
}

// holder tells the types of holder a PAN names in its fourth letter (Income-tax Department): person, company, Hindu
// undivided family, association, trust, body of individuals, local authority, juridical person, government, firm, and
// K for the older Krish trusts.
func holder(c byte) bool {
	switch c &^ 0x20 {
	case 'A', 'B', 'C', 'F', 'G', 'H', 'J', 'K', 'L', 'P', 'T':
		return true
	}
	return false
}

// passport is the form of Indian passports: Q, X and Z do not lead, neither number begins nor ends with 0.
func passport(b []byte) bool {
	lead := b[0] &^ 0x20
	return form(b, "a9999999") && lead != 'Q' && lead != 'X' && lead != 'Z' && b[1] != '0' && b[7] != '0'
}

// gstin is state, PAN, number of the registration, Z, check character (GST rule 10).
func gstin(b []byte) bool {
	if !form(b[:12], "99aaaaa9999a") || b[12] == '0' || b[13]|0x20 != 'z' || class[b[12]]&(letter|digit) == 0 || class[b[14]]&(letter|digit) == 0 {
		return false
	}
	return known.states[int(b[0]&15)*10+int(b[1]&15)] && holder(b[5]) && mod36(b)
}
