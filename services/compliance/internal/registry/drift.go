package registry

import "slices"

// Difference is how an export of a portal and the registry disagree on an object.
type Difference struct {
	Key
	At     int // index among the exported objects; -1 for what the export lacks
	Reason string
	Detail string
}

// Compare tells how what a portal has exported of one kind differs from what is registered here (the daily
// reconciliation that header and template registrars ask for). exported come as they would be registered. blacklisted
// are those that the portal has blacklisted and we have not: nothing may go out with them until it is settled, so they
// are to be blacklisted here at once.
func Compare(known map[Key]*Object, kind Kind, exported []Object) (differences []Difference, blacklisted []Object) {
	there := make(map[Key]bool, len(exported))
	for i := range exported {
		e := &exported[i]
		there[e.Key()] = true
		before := known[e.Key()]
		if before == nil {
			differences = append(differences, Difference{e.Key(), i, "NOT_IN_REGISTRY", "the portal has it, the registry has not; import it"})
			continue
		}
		if e.Status == "blacklisted" && before.Status != "blacklisted" {
			paused := *before
			paused.Status = e.Status
			blacklisted = append(blacklisted, paused)
		}
		for _, d := range differ(before, e) {
			d.Key, d.At = e.Key(), i
			differences = append(differences, d)
		}
	}
	var lacking []Difference
	for k, o := range known {
		if k.Kind == kind && !there[k] && o.Status == "active" {
			lacking = append(lacking, Difference{k, -1, "NOT_IN_EXPORT", "it is active here and the portal's export lacks it"})
		}
	}
	slices.SortFunc(lacking, func(a, b Difference) int { return compareKeys(a.Key, b.Key) })
	return append(differences, lacking...), blacklisted
}

// differ names what of one object differs.
func differ(before, e *Object) (all []Difference) {
	note := func(differs bool, reason, detail string) {
		if differs {
			all = append(all, Difference{Reason: reason, Detail: detail})
		}
	}
	note(before.Status != e.Status, "STATUS_DIFFERS", "it is "+before.Status+" here and "+e.Status+" at the portal")
	note(!sameBody(before.Body, e.Body), "BODY_DIFFERS", "the texts differ; operators match the portal's")
	note(before.Category != e.Category, "CATEGORY_DIFFERS", "it is "+before.Category+" here and "+e.Category+" at the portal")
	note(before.Entity != e.Entity, "OWNER_DIFFERS", "it belongs to another entity here")
	if len(all) == 0 {
		note(!Same(before, e), "DETAILS_DIFFER", "headers, validity or other details differ")
	}
	return all
}
