package api

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Objects answers what is registered for a tenant.
type Objects interface {
	// Object answers one object; errs.NotFound when it is not there.
	Object(ctx context.Context, tenant uuid.UUID, key registry.Key) (registry.Object, error)
	// Objects answers a page in the order of ids.
	Objects(ctx context.Context, tenant uuid.UUID, q registry.Query) ([]registry.Object, error)
	// Revisions answers the bodies a template has had, the newest first.
	Revisions(ctx context.Context, tenant uuid.UUID, template string) ([]registry.Revision, error)
}

// Changer changes a tenant's registry.
type Changer interface {
	// Change gives plan the objects of keys and writes what it answers, with the event that announces it, in one transaction.
	Change(ctx context.Context, tenant uuid.UUID, author registry.Author, keys []registry.Key,
		plan registry.Planned) (version int64, err error)
	// Export answers the whole registry of one version.
	Export(ctx context.Context, tenant uuid.UUID) (registry.Rows, error)
}

// RegistryStore is what a RegistryServer works on.
type RegistryStore interface {
	Objects
	Changer
	Stops
	Imports
}

// RegistryServer is RegistryService.
type RegistryServer struct {
	compliancev1.UnimplementedRegistryServiceServer

	store    RegistryStore
	registry Registry
	wake     func() // an import waits
}

// NewRegistryServer makes it; wake is called when an import is there to be worked through, and must not block.
func NewRegistryServer(store RegistryStore, r Registry, wake func()) *RegistryServer {
	return &RegistryServer{store: store, registry: r, wake: wake}
}

// keyOf reads kind and id of a path.
func keyOf(kind, id string) (registry.Key, error) {
	k := registry.Key{Kind: registry.Kind(kind), ID: id}
	if k.Kind.Rank() < 0 {
		return k, invalid("kind", "the kinds are entities, telemarketers, headers, templates and ctas")
	}
	if id == "" || len(id) > 64 {
		return k, invalid("object_id", "an id has 1 to 64 characters")
	}
	return k, nil
}

// CreateObject implements RegistryService.
func (s *RegistryServer) CreateObject(ctx context.Context, req *compliancev1.CreateObjectRequest) (*compliancev1.CreateObjectResponse, error) {
	p, err := writer(ctx)
	if err != nil {
		return nil, err
	}
	o, err := decodeOwn(req.GetKind(), req.GetObject())
	if err != nil {
		return nil, err
	}
	author := registry.Author{Actor: p.Actor, Action: "registry.create"}
	owner := ""
	_, err = s.store.Change(ctx, p.TenantID, author, registry.References(&o), func(known registry.View) ([]registry.Change, error) {
		if e := known(registry.Key{Kind: registry.Entities, ID: o.Entity}); e != nil {
			owner = e.Name
		}
		if before := known(o.Key()); before != nil {
			return nil, taken(before, &o)
		}
		return planned(known, o)
	})
	if err != nil {
		return nil, err
	}
	created, err := s.store.Object(ctx, p.TenantID, o.Key())
	if err != nil {
		return nil, err
	}
	resp := &compliancev1.CreateObjectResponse{Object: EncodeObject(&created)}
	for _, w := range registry.Warn(&created) {
		resp.Warnings = append(resp.Warnings, &compliancev1.RegistryWarning{Reason: w.Reason, Detail: w.Detail})
	}
	resp.Warnings = append(resp.Warnings, s.lint(p.TenantID, &created, owner)...)
	return resp, nil
}

// lint tells what a portal would say to a template that is registered here now.
func (s *RegistryServer) lint(tenant uuid.UUID, o *registry.Object, owner string) (all []*compliancev1.RegistryWarning) {
	var whitelist *template.Whitelist
	if e := s.registry.Snapshot(tenant).Entity(o.Entity); e != nil {
		whitelist = listOf(e.Whitelist)
	}
	for _, l := range registry.Lint(o, owner, whitelist) {
		all = append(all, &compliancev1.RegistryWarning{Reason: l.Code, Detail: l.Sentence + " " + l.Remedy, Severity: string(l.Severity)})
	}
	return all
}

// taken is the error for an id that is registered: with another text of a template it has its own reason.
func taken(before, o *registry.Object) error {
	if _, _, problems := registry.Plan(func(k registry.Key) *registry.Object {
		if k == o.Key() {
			return before
		}
		return &registry.Object{}
	}, []registry.Object{*o}); len(problems) > 0 {
		if err := registry.Refusal(problems, []registry.Object{*o}); errs.KindOf(err) == errs.Exists {
			return err
		}
	}
	return errs.E(errs.Exists, "OBJECT_EXISTS", o.Key().String()+" is registered already; update it.", nil)
}

// planned is the change to one object, or why it cannot be.
func planned(known registry.View, o registry.Object) ([]registry.Change, error) {
	changes, _, problems := registry.Plan(known, []registry.Object{o})
	return changes, registry.Refusal(problems, []registry.Object{o})
}

// GetObject implements RegistryService.
func (s *RegistryServer) GetObject(ctx context.Context, req *compliancev1.GetObjectRequest) (*compliancev1.GetObjectResponse, error) {
	p, err := caller(ctx, scopeRegistryRead)
	if err != nil {
		return nil, err
	}
	key, err := keyOf(req.GetKind(), req.GetObjectId())
	if err != nil {
		return nil, err
	}
	o, err := s.store.Object(ctx, p.TenantID, key)
	if err != nil {
		return nil, err
	}
	resp := &compliancev1.GetObjectResponse{Object: EncodeObject(&o)}
	if key.Kind != registry.Templates {
		return resp, nil
	}
	revisions, err := s.store.Revisions(ctx, p.TenantID, key.ID)
	for i, r := range revisions {
		out := &compliancev1.TemplateRevision{Revision: int32(r.Number), Body: r.Body, ValidFromTime: timestamp(r.From)}
		if i > 0 {
			out.ValidUntilTime = timestamp(revisions[i-1].From)
		}
		resp.Revisions = append(resp.Revisions, out)
	}
	return resp, err
}

// UpdateObject implements RegistryService.
func (s *RegistryServer) UpdateObject(ctx context.Context, req *compliancev1.UpdateObjectRequest) (*compliancev1.UpdateObjectResponse, error) {
	key, err := keyOf(req.GetKind(), req.GetObjectId())
	if err != nil {
		return nil, err
	}
	o, err := decodeOwn(req.GetKind(), req.GetObject())
	if err != nil {
		return nil, err
	}
	if key.Kind == registry.CTAs && o.ID != key.ID {
		return nil, invalid("object", "entity, type and value of a call to action do not change; register another")
	}
	if given := req.GetObject().GetObjectId(); given != "" && given != key.ID {
		return nil, invalid("object.object_id", "it is not the id of the path")
	}
	o.ID = key.ID
	updated, err := s.update(ctx, key, registry.Author{Action: "registry.update"}, registry.References(&o), func(known registry.View, before registry.Object) ([]registry.Change, error) {
		if o.Version != 0 && o.Version != before.Version {
			return nil, errs.E(errs.Exists, "VERSION_CONFLICT", "The object was changed meanwhile; read it again.", nil)
		}
		if req.GetObject().GetStatus() == "" { // nothing suspended comes back by being renamed
			o.Status = before.Status
		}
		if len(req.GetObject().GetOperatorStatus()) == 0 {
			o.Operators = before.Operators
		}
		return planned(known, o)
	})
	if err != nil {
		return nil, err
	}
	return &compliancev1.UpdateObjectResponse{Object: updated}, nil
}

// update changes one registered object and answers it as it is then.
func (s *RegistryServer) update(ctx context.Context, key registry.Key, author registry.Author, keys []registry.Key,
	change func(known registry.View, before registry.Object) ([]registry.Change, error)) (*compliancev1.RegistryObject, error) {
	p, err := writer(ctx)
	if err != nil {
		return nil, err
	}
	author.Actor = p.Actor
	_, err = s.store.Change(ctx, p.TenantID, author, keys, func(known registry.View) ([]registry.Change, error) {
		before := known(key)
		if before == nil {
			return nil, errs.E(errs.NotFound, "OBJECT_NOT_FOUND", "Nothing is registered as "+key.String()+".", nil)
		}
		return change(known, *before)
	})
	if err != nil {
		return nil, err
	}
	o, err := s.store.Object(ctx, p.TenantID, key)
	return EncodeObject(&o), err
}

// UpdateObjectStatus implements RegistryService.
func (s *RegistryServer) UpdateObjectStatus(ctx context.Context, req *compliancev1.UpdateObjectStatusRequest) (*compliancev1.UpdateObjectStatusResponse, error) {
	o, err := s.setStatus(ctx, req.GetKind(), req.GetObjectId(), req.GetOperator(), req.GetStatus(),
		registry.Author{Action: "registry.status", Reason: req.GetReason()})
	if err != nil {
		return nil, err
	}
	return &compliancev1.UpdateObjectStatusResponse{Object: o}, nil
}

// DeactivateObject implements RegistryService.
func (s *RegistryServer) DeactivateObject(ctx context.Context, req *compliancev1.DeactivateObjectRequest) (*compliancev1.DeactivateObjectResponse, error) {
	o, err := s.setStatus(ctx, req.GetKind(), req.GetObjectId(), "", "inactive", registry.Author{Action: "registry.deactivate", Reason: req.GetReason()})
	if err != nil {
		return nil, err
	}
	return &compliancev1.DeactivateObjectResponse{Object: o}, nil
}

func (s *RegistryServer) setStatus(ctx context.Context, kind, id, operator, status string, author registry.Author) (*compliancev1.RegistryObject, error) {
	key, err := keyOf(kind, id)
	if err != nil {
		return nil, err
	}
	if _, err := policy.ParseStatus(status); err != nil || status == "" {
		return nil, invalid("status", "the statuses are active, inactive, suspended_validity, suspended_usage, suspended_customer, suspended_verified and blacklisted")
	}
	if wrong := registry.CheckReason(author.Reason); wrong != nil {
		return nil, violated(wrong...)
	}
	if operator != "" && !registry.IsOperator(operator) {
		return nil, invalid("operator", "the operators are "+strings.Join(registry.Operators(), ", "))
	}
	return s.update(ctx, key, author, []registry.Key{key}, func(_ registry.View, before registry.Object) ([]registry.Change, error) {
		after := before.WithStatus(operator, status)
		if registry.Same(&before, &after) {
			return nil, nil
		}
		return []registry.Change{{Before: &before, After: after}}, nil // whatever else is wrong with it: it must be possible to stop it
	})
}

// Pages.
const (
	defaultPage = 50
	maxPage     = 500
)

func pageSize(asked int32) (int, error) {
	switch {
	case asked < 0 || asked > maxPage:
		return 0, invalid("page_size", fmt.Sprintf("a page has 1 to %d entries", maxPage))
	case asked == 0:
		return defaultPage, nil
	}
	return int(asked), nil
}

// ListObjects implements RegistryService. A page's token is the id of its last object.
func (s *RegistryServer) ListObjects(ctx context.Context, req *compliancev1.ListObjectsRequest) (*compliancev1.ListObjectsResponse, error) {
	p, err := caller(ctx, scopeRegistryRead)
	if err != nil {
		return nil, err
	}
	if registry.Kind(req.GetKind()).Rank() < 0 {
		return nil, invalid("kind", "the kinds are entities, telemarketers, headers, templates and ctas")
	}
	limit, err := pageSize(req.GetPageSize())
	if err != nil {
		return nil, err
	}
	if operator := req.GetOperator(); operator != "" && req.GetStatus() == "" {
		return nil, invalid("operator", "an operator goes with a status")
	}
	found, err := s.store.Objects(ctx, p.TenantID, registry.Query{Kind: registry.Kind(req.GetKind()), After: req.GetPageToken(), Entity: req.GetEntityId(),
		Status: req.GetStatus(), Operator: strings.ToUpper(req.GetOperator()), Limit: limit + 1})
	if err != nil {
		return nil, err
	}
	resp := &compliancev1.ListObjectsResponse{}
	if len(found) > limit {
		found = found[:limit]
		resp.NextPageToken = found[limit-1].ID
	}
	for i := range found {
		resp.Objects = append(resp.Objects, EncodeObject(&found[i]))
	}
	return resp, nil
}

// ExportRegistry implements RegistryService.
func (s *RegistryServer) ExportRegistry(_ *compliancev1.ExportRegistryRequest, stream compliancev1.RegistryService_ExportRegistryServer) error {
	p, err := caller(stream.Context(), scopeRegistryRead)
	if err != nil {
		return err
	}
	rows, err := s.store.Export(stream.Context(), p.TenantID)
	if err != nil {
		return err
	}
	for i := range rows.Objects {
		if err := stream.Send(&compliancev1.ExportRegistryResponse{Object: EncodeObject(&rows.Objects[i])}); err != nil {
			return err
		}
	}
	return nil
}
