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

// look finds what up to lookAhead messages name, and has it loaded into the caches: first what was found, then what that
// points to.
func (d *decider) look(messages []Message) {
	looked := d.looked[:len(messages)]
	for i := range looked {
		looked[i].template = d.snapshot.Template(messages[i].TemplateID)
	}
	for i := range looked {
		looked[i].header = d.snapshot.Header(messages[i].Header)
	}
	for i := range looked {
		if i > 0 && messages[i].EntityID == messages[i-1].EntityID {
			looked[i].entity = looked[i-1].entity
		} else {
			looked[i].entity = d.snapshot.Entity(messages[i].EntityID)
		}
	}
	touched := 0
	for i := range looked {
		touched += looked[i].header.Load() + looked[i].template.Load()
	}
	for i := range looked {
		touched += looked[i].header.LoadFar() + looked[i].template.LoadFar()
	}
	for i := range looked {
		if t := looked[i].template; t != nil {
			touched += t.Parsed.Load()
		}
	}
	d.touched = touched // kept, so that the loads are
}
