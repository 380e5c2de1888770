package screening

import "github.com/onlinesms/onlinesms/services/compliance/internal/registry"

// lookAhead is how many messages are looked up before the first of them is decided. Of a large registry next to nothing is
// in the processor's caches; loads of different messages that follow one another do not wait for each other, those of one
// message do.
const lookAhead = 64

// registered is what the registry has of what a message names; nil for what it does not have.
type registered struct {
	entity   *registry.Entity
	header   *registry.Header
	template *registry.Template
}

// cacheLine is the size of what memory loads at once, in octets.
const cacheLine = 64

// look finds what up to lookAhead messages name, and has their templates loaded into the caches.
func (d *decider) look(messages []Message) {
	for i := range messages {
		d.looked[i].template = d.snapshot.Template(messages[i].TemplateID)
	}
	for i := range messages {
		d.looked[i].header = d.snapshot.Header(messages[i].Header)
	}
	touched := 0
	for i := range messages {
		m, r := &messages[i], &d.looked[i]
		if i > 0 && m.EntityID == messages[i-1].EntityID {
			r.entity = d.looked[i-1].entity
		} else {
			r.entity = d.snapshot.Entity(m.EntityID)
		}
		if r.header != nil {
			touched += int(r.header.Last())
		}
		if t := r.template; t != nil && t.Parsed.HasUntyped() {
			touched++
		}
	}
	for i := range messages {
		if t := d.looked[i].template; t != nil {
			if t.Linked(messages[i].Header) {
				touched += int(t.Last())
			}
			body := t.Parsed.Body()
			for at := 0; at < len(body); at += cacheLine {
				touched += int(body[at])
			}
		}
	}
	d.touched = touched // kept, so that the loads are
}
