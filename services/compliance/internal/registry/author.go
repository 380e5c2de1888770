package registry

// Author is who makes a change, what it is and why; the audit log keeps it.
type Author struct {
	Actor  string // key/<kid>, user/<id>, operator/<command> or service/<name>
	Action string // for example registry.update
	Reason string // in the actor's words
}
