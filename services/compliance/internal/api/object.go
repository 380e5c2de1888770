package api

import (
	"encoding/hex"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
)

// EncodeObject is an object as the API writes it.
func EncodeObject(o *registry.Object) *compliancev1.RegistryObject {
	out := &compliancev1.RegistryObject{Kind: string(o.Kind), ObjectId: o.ID, EntityId: o.Entity, Name: o.Name, Status: o.Status,
		OperatorStatus: maps.Clone(o.Operators), ValidFromTime: timestamp(o.ValidFrom), ValidUntilTime: timestamp(o.ValidUntil),
		CertifyTime: timestamp(o.Certified), Version: o.Version, CreateTime: timestamp(o.Created), UpdateTime: timestamp(o.Updated)}
	if !o.Used.IsZero() {
		out.LastUseDate = o.Used.Format(time.DateOnly)
	}
	switch o.Kind {
	case registry.Entities:
		e := &compliancev1.EntityDetail{Chain: o.Chain, ChainStatus: o.ChainStatus, PortalChainHash: o.PortalHash}
		if hash, err := registry.ChainHash(o.ID, o.Chain); err == nil {
			e.ChainHash = hex.EncodeToString(hash[:])
		}
		out.Detail = &compliancev1.RegistryObject_Entity{Entity: e}
	case registry.Telemarketers:
		out.Detail = &compliancev1.RegistryObject_Telemarketer{Telemarketer: &compliancev1.TelemarketerDetail{Role: o.Role}}
	case registry.Headers:
		out.Detail = &compliancev1.RegistryObject_Header{Header: &compliancev1.HeaderDetail{Type: o.Type}}
	case registry.CTAs:
		out.Detail = &compliancev1.RegistryObject_Cta{Cta: &compliancev1.CtaDetail{Type: o.Type, Value: o.Value}}
	case registry.Templates:
		out.Detail = &compliancev1.RegistryObject_Template{Template: encodeTemplate(o)}
	}
	return out
}

func encodeTemplate(o *registry.Object) *compliancev1.TemplateDetail {
	category, _ := policy.ParseCategory(o.Category)
	t := &compliancev1.TemplateDetail{Body: o.Body, Revision: int32(o.Revision), Category: typev1.Category(category), Headers: o.Headers,
		Variables: o.Variables, Overrides: o.Overrides, MaxLength: int32(o.MaxLength), Portal: o.Portal}
	if o.Goods != nil {
		t.Goods = new(int32(*o.Goods))
	}
	return t
}

func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func timeOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

// DecodeObject reads an object as the API writes it; what the registry fills in itself is left out. It fails when the
// detail is not of the kind, or a time is none.
func DecodeObject(kind string, in *compliancev1.RegistryObject) (registry.Object, error) {
	o := registry.Object{Kind: registry.Kind(kind), ID: in.GetObjectId(), Entity: in.GetEntityId(), Status: in.GetStatus(),
		Operators: maps.Clone(in.GetOperatorStatus()), ValidFrom: timeOf(in.GetValidFromTime()), ValidUntil: timeOf(in.GetValidUntilTime()),
		Certified: timeOf(in.GetCertifyTime()), Version: in.GetVersion(), Detail: registry.Detail{Name: in.GetName()}}
	if o.Kind.Rank() < 0 {
		return o, invalid("kind", "the kinds are entities, telemarketers, headers, templates and ctas")
	}
	if k := in.GetKind(); k != "" && k != kind {
		return o, invalid("object.kind", "it is not the kind of the path")
	}
	for field, t := range map[string]*timestamppb.Timestamp{"valid_from_time": in.GetValidFromTime(),
		"valid_until_time": in.GetValidUntilTime(), "certify_time": in.GetCertifyTime()} {
		if t != nil && t.CheckValid() != nil {
			return o, invalid("object."+field, "not a time")
		}
	}
	if !decodeDetail(&o, in) {
		return o, invalid("object", "the detail is missing, or of another kind: a template has template, a header header, and so on")
	}
	if o.Kind != registry.Headers && o.Kind != registry.CTAs && o.Kind != registry.Templates && o.Entity != "" {
		return o, invalid("object.entity_id", "an object of this kind belongs to no entity")
	}
	o.Settle()
	return o, nil
}

// decodeOwn is DecodeObject for what a key may register: not the override that takes a registry file, which keys cannot load.
func decodeOwn(kind string, in *compliancev1.RegistryObject) (registry.Object, error) {
	o, err := DecodeObject(kind, in)
	if err == nil && slices.Contains(o.Overrides, registry.PreferenceUncheckedAllowed) {
		return o, invalid("object.template.overrides", registry.PreferenceUncheckedAllowed+" is for demonstrations and cannot be set here")
	}
	return o, err
}

// decodeDetail answers whether the detail is that of the kind. An entity may go without.
func decodeDetail(o *registry.Object, in *compliancev1.RegistryObject) bool {
	switch d := in.GetDetail().(type) {
	case nil:
		return o.Kind == registry.Entities
	case *compliancev1.RegistryObject_Entity:
		o.Chain, o.ChainStatus, o.PortalHash = slices.Clone(d.Entity.GetChain()), d.Entity.GetChainStatus(), d.Entity.GetPortalChainHash()
		return o.Kind == registry.Entities
	case *compliancev1.RegistryObject_Telemarketer:
		o.Role = d.Telemarketer.GetRole()
		return o.Kind == registry.Telemarketers
	case *compliancev1.RegistryObject_Header:
		o.Type = d.Header.GetType()
		return o.Kind == registry.Headers
	case *compliancev1.RegistryObject_Cta:
		o.Type, o.Value = d.Cta.GetType(), d.Cta.GetValue()
		return o.Kind == registry.CTAs
	case *compliancev1.RegistryObject_Template:
		decodeTemplate(o, d.Template)
		return o.Kind == registry.Templates
	}
	return false
}

func decodeTemplate(o *registry.Object, t *compliancev1.TemplateDetail) {
	o.Body, o.Revision, o.Category = t.GetBody(), int(t.GetRevision()), policy.Category(t.GetCategory()).String()
	o.Headers, o.Variables, o.Overrides = slices.Clone(t.GetHeaders()), slices.Clone(t.GetVariables()), slices.Clone(t.GetOverrides())
	o.MaxLength, o.Portal = int(t.GetMaxLength()), t.GetPortal()
	if t.Goods != nil {
		o.Goods = new(int(t.GetGoods()))
	}
}
