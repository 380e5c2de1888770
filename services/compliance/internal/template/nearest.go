package template

// Nearest is the template that a text of none was probably meant for.
type Nearest struct {
	Hit
	Same       int  // bytes of the template's fixed text that the text has, in order
	TooComplex bool // the budget was used up before all templates were looked at; the best until then is answered
}

// Nearest finds, for a normalised text that is of no template, the one whose fixed text it shares most of, at least half
// of it; among equals the one with the lowest id. Match then tells what differs. ok is false when there is none. It looks at
// every template that Search.Accept allows, so it is for those of a header or an entity; Search.Most does not count.
func (m *Matcher) Nearest(x *Index, text string, s Search) (best Nearest, ok bool) {
	m.steps = 0
	if _, long := tooLarge(text); long || x.Len() == 0 {
		return Nearest{}, false
	}
	budget := s.Budget
	if budget <= 0 {
		budget = Budget
	}
	pieces := piecesOf(text)
	for i := range x.Len() {
		e := x.entry(uint32(i))
		if s.Accept != nil && !s.Accept(e) {
			continue
		}
		if m.steps > budget {
			best.TooComplex = true
			break
		}
		if same, all := m.inCommon(e.Template, &pieces); same > 0 && same*2 >= all && best.beatenBy(same, e.ID) {
			best, ok = Nearest{Hit: Hit{*e, e.Template.FixedBytes()}, Same: same}, true
		}
	}
	return best, ok
}

func (n *Nearest) beatenBy(same int, id string) bool {
	return same > n.Same || same == n.Same && id < n.Entry.ID
}

// pieceSet holds pieces of four bytes by a hash; a collision makes a template look a little nearer than it is.
type pieceSet [1 << 8]uint64

func (p *pieceSet) bit(gram uint64) (word, bit uint64) {
	h := gram * spread >> 50
	return h >> 6, h & 63
}

func piecesOf(text string) (p pieceSet) {
	pieces(text, shortGram, func(gram uint64) bool {
		word, bit := p.bit(gram)
		p[word] |= 1 << bit
		return true
	})
	return p
}

// inCommon counts the pieces of the fixed text that are in the set, and all.
func (m *Matcher) inCommon(t *Template, set *pieceSet) (same, all int) {
	for gram := range t.grams(shortGram) {
		word, bit := set.bit(gram)
		same += int(set[word] >> bit & 1)
		all++
	}
	m.steps += 1 + all
	return same, all
}
