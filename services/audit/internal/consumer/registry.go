package consumer

import (
	"fmt"
	"strings"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/audit/internal/ledger"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Events that say who caused them.
var (
	registryChanged    = string((&compliancev1.RegistryChanged{}).ProtoReflect().Descriptor().FullName())
	contentChanged     = string((&compliancev1.ContentPolicyChanged{}).ProtoReflect().Descriptor().FullName())
	preferencesChanged = string((&compliancev1.PreferenceRegisterChanged{}).ProtoReflect().Descriptor().FullName())
	stopsChanged       = string((&compliancev1.SendingStopsChanged{}).ProtoReflect().Descriptor().FullName())
	wishesRecorded     = string((&compliancev1.WishesRecorded{}).ProtoReflect().Descriptor().FullName())
	complaintsMade     = string((&compliancev1.ComplaintsRecorded{}).ProtoReflect().Descriptor().FullName())
)

// author is who made a change, on what, and how it stood before and after.
type author struct {
	actor, resource string
	fields          []ledger.Field // sorted by name
}

// authorOf reads the author of events that have one; of others it is empty.
func authorOf(event string, payload []byte) (a author, err error) {
	switch event {
	case registryChanged:
		var p compliancev1.RegistryChangeParcel
		if err := proto.Unmarshal(payload, &p); err != nil {
			return a, errs.E(errs.Invalid, "PARCEL_MALFORMED", "the bytes are no change of a registry", err)
		}
		return authorOfRegistry(&p), nil
	case contentChanged:
		var p compliancev1.ContentPolicyParcel
		if err := proto.Unmarshal(payload, &p); err != nil {
			return a, errs.E(errs.Invalid, "PARCEL_MALFORMED", "the bytes are no content policy", err)
		}
		a = author{actor: p.GetActor(), resource: "content-policy"}
		a.add(ledger.FieldAfter, p.GetRules())
	case preferencesChanged:
		var p compliancev1.PreferenceRunParcel
		if err := proto.Unmarshal(payload, &p); err != nil {
			return a, errs.E(errs.Invalid, "PARCEL_MALFORMED", "the bytes are no scrub run", err)
		}
		return authorOfRun(&p)
	case wishesRecorded:
		var p compliancev1.WishParcel
		if err := proto.Unmarshal(payload, &p); err != nil {
			return a, errs.E(errs.Invalid, "PARCEL_MALFORMED", "the bytes are no wishes of recipients", err)
		}
		return authorOfWishes(&p), nil
	case complaintsMade:
		var p compliancev1.ComplaintParcel
		if err := proto.Unmarshal(payload, &p); err != nil {
			return a, errs.E(errs.Invalid, "PARCEL_MALFORMED", "the bytes are no complaints", err)
		}
		return authorOfComplaints(&p), nil
	case stopsChanged:
		var p compliancev1.SendingStopParcel
		if err := proto.Unmarshal(payload, &p); err != nil {
			return a, errs.E(errs.Invalid, "PARCEL_MALFORMED", "the bytes are no kill switch", err)
		}
		a = author{actor: p.GetActor(), resource: strings.TrimSuffix("stops/"+p.GetScope()+"/"+p.GetObjectId(), "/")}
		state := "resumed"
		if p.GetStopped() {
			state = "stopped"
		}
		a.add(ledger.FieldAfter, state+": "+p.GetReason())
	}
	return a, nil
}

// authorOfRegistry: one object is named as the resource; several are the registry, told one a line.
func authorOfRegistry(p *compliancev1.RegistryChangeParcel) author {
	a := author{actor: p.GetActor()}
	var before, after []string
	for _, c := range p.GetChanges() {
		if c.GetBefore() != "" {
			before = append(before, c.GetBefore())
		}
		after = append(after, c.GetAfter())
	}
	switch changes := p.GetChanges(); {
	case len(changes) > 0 && (len(changes) == 1 || strings.HasPrefix(changes[0].GetObject(), "registry-imports/")):
		a.resource = changes[0].GetObject()
	case a.actor != "":
		a.resource = "registry"
	}
	if p.GetReason() != "" {
		after = append(after, p.GetAction()+": "+p.GetReason())
	}
	a.add(ledger.FieldAfter, strings.Join(after, "\n"))
	a.add(ledger.FieldBefore, strings.Join(before, "\n"))
	return a
}

// authorOfRun: who imported a scrub run, or changes to it.
func authorOfRun(p *compliancev1.PreferenceRunParcel) (a author, err error) {
	id, err := uuid.FromBytes(p.GetRunId())
	if err != nil {
		return a, errs.E(errs.Invalid, "PARCEL_MALFORMED", "a scrub run has no id", err)
	}
	a = author{actor: p.GetActor(), resource: "preference-runs/" + id.String()}
	a.add(ledger.FieldAfter, fmt.Sprintf("%s %s: %d numbers, %d suppressed, %d changes", p.GetProvider(), p.GetReference(), p.GetNumbers(), p.GetSuppressed(), p.GetChanges()))
	return a, nil
}

func (a *author) add(name, value string) {
	if value != "" {
		a.fields = append(a.fields, ledger.Field{Name: name, Value: []byte(value)})
	}
}
