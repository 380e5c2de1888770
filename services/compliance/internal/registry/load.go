package registry

// Load reads a little of every cache line of the header that a decision reads; nil has none. What it answers means nothing:
// it is to be kept, so that the loads are done. Loads of many objects in a row overlap, those of one decision after another
// do not.
func (h *Header) Load() int {
	if h == nil {
		return 0
	}
	return int(h.Kind) + len(h.Entity) + h.From.Nanosecond()
}

// LoadFar is Load for what the header points to.
func (h *Header) LoadFar() int {
	if h == nil {
		return 0
	}
	return int(h.Last())
}

// Load is as a header's.
func (t *Template) Load() int {
	if t == nil {
		return 0
	}
	return len(t.Entity) + int(t.link) + t.From.Nanosecond() + t.Goods + int(t.OptOut)
}

// LoadFar is as a header's; not for the text, which Parsed has loaded.
func (t *Template) LoadFar() int {
	if t == nil {
		return 0
	}
	return int(t.Last()) + len(t.Parsed.Body())
}
