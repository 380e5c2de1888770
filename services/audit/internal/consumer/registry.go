package consumer

import (
	"strings"

	"google.golang.org/protobuf/proto"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/audit/internal/ledger"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Events that say who caused them.
var (
	registryChanged = string((&compliancev1.RegistryChanged{}).ProtoReflect().Descriptor().FullName())
	stopsChanged    = string((&compliancev1.SendingStopsChanged{}).ProtoReflect().Descriptor().FullName())
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

func (a *author) add(name, value string) {
	if value != "" {
		a.fields = append(a.fields, ledger.Field{Name: name, Value: []byte(value)})
	}
}
