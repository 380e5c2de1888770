package api

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// Limits of a request.
const (
	maxFound     = 20
	defaultFound = 5
	maxBrands    = 20
	maxValues    = template.MaxElements
)

// TemplateServer is TemplateService. It answers from memory and keeps nothing.
type TemplateServer struct {
	compliancev1.UnimplementedTemplateServiceServer

	registry Registry
	now      func() time.Time
}

// NewTemplateServer makes it.
func NewTemplateServer(r Registry, now func() time.Time) *TemplateServer {
	return &TemplateServer{registry: r, now: now}
}

// asked is a call: who asks, and what is registered for him.
type asked struct {
	principal.Principal
	*registry.Snapshot
	now time.Time
}

func (s *TemplateServer) asked(ctx context.Context) (a asked, err error) {
	if a.Principal, err = caller(ctx, scopeRegistryRead); err != nil {
		return a, err
	}
	if err := s.registry.Ready(); err != nil {
		return a, errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "The registry is being loaded; try again.", err)
	}
	a.Snapshot, a.now = s.registry.Snapshot(a.TenantID), s.now()
	return a, nil
}

// subject is the template a call is about: a registered one or a body.
type subject struct {
	*template.Template
	registered *registry.Template // nil for a body
	rules      template.Rules
}

// subject reads which template a call is about: exactly one of id and body.
func (a *asked) subject(id string, body *compliancev1.TemplateBody, entity string) (s subject, err error) {
	switch {
	case (id == "") == (body == nil):
		return s, invalid("template_id", "give either template_id or template")
	case id == "":
		if s.Template, err = parseBody(body); err != nil {
			return s, err
		}
		s.rules.Whitelist, err = a.whitelist(entity)
		return s, err
	case entity != "":
		return s, invalid("entity_id", "a registered template has its entity; leave it out")
	}
	if s.registered = a.Template(id); s.registered == nil {
		return s, notFound(registry.Templates)
	}
	s.Template = s.registered.Parsed
	if a.Env == principal.Test {
		s.rules.UntypedMax = s.registered.UntypedMax
	}
	s.rules.Whitelist, err = a.whitelist(s.registered.Entity)
	return s, err
}

// notFound is the error for what is not registered; what was asked for is not repeated, it may be anything.
func notFound(kind registry.Kind) error {
	return errs.E(errs.NotFound, "OBJECT_NOT_FOUND", "Nothing is registered among the "+string(kind)+" with this id.", nil)
}

// whitelist holds an entity's calls to action; nil, which has none, without an entity.
func (a *asked) whitelist(entity string) (*template.Whitelist, error) {
	if entity == "" {
		return nil, nil
	}
	e := a.Entity(entity)
	if e == nil {
		return nil, notFound(registry.Entities)
	}
	return e.Whitelist, nil
}

// parseBody reads a body as its portal writes it.
func parseBody(in *compliancev1.TemplateBody) (*template.Template, error) {
	profile := template.ProfileNamed(cmp.Or(in.GetPortal(), template.Default().Name()))
	if profile == nil {
		return nil, invalid("template.portal", "the portals are "+strings.Join(registry.Portals(), ", "))
	}
	if len(in.GetVariables()) > template.MaxElements {
		return nil, invalid("template.variables", fmt.Sprintf("a template has at most %d variables", template.MaxElements))
	}
	var beside []template.Variable
	for _, v := range in.GetVariables() {
		beside = append(beside, template.Variable{Name: v.GetName(), Tag: v.GetType(), Max: int(v.GetMaxLength())})
	}
	t, err := profile.Parse(in.GetBody(), beside)
	if err != nil {
		return nil, invalid("template.body", err.Error())
	}
	return t, nil
}

// Validate implements TemplateService.
func (s *TemplateServer) Validate(ctx context.Context, req *compliancev1.ValidateRequest) (*compliancev1.ValidateResponse, error) {
	a, err := s.asked(ctx)
	if err != nil {
		return nil, err
	}
	if req.GetTemplate() == nil {
		return nil, invalid("template", "the body is missing")
	}
	t, err := a.subject("", req.GetTemplate(), req.GetEntityId())
	if err != nil {
		return nil, err
	}
	resp := &compliancev1.ValidateResponse{Body: t.Body(), FixedBytes: int32(t.FixedBytes()), Untyped: t.HasUntyped(), OptOut: t.HasOptOut()}
	names := t.Names()
	for i, v := range t.Variables() {
		resp.Variables = append(resp.Variables, &compliancev1.TemplateVariable{Name: names[i], Type: v.Tag, MaxLength: int32(v.Max)})
	}
	for _, c := range t.Calls(t.rules.Whitelist) {
		resp.Ctas = append(resp.Ctas, &compliancev1.TemplateCta{Value: c.Value, Whitelisted: c.Listed})
	}
	r := template.Registration{}
	if req.GetEntityId() != "" {
		r.Whitelist = listOf(t.rules.Whitelist)
	}
	resp.Findings = encodeLint(t.Lint(r))
	return resp, nil
}

// listOf is an entity's whitelist: an empty one where it has none, so that what is not on it is told.
func listOf(w *template.Whitelist) *template.Whitelist {
	if w == nil {
		return &template.Whitelist{}
	}
	return w
}

func encodeLint(found []template.Lint) (all []*compliancev1.TemplateFinding) {
	for _, l := range found {
		all = append(all, &compliancev1.TemplateFinding{Code: l.Code, Severity: string(l.Severity), Variable: int32(l.Variable), Detail: l.Sentence, Remedy: l.Remedy})
	}
	return all
}

// Lint implements TemplateService.
func (s *TemplateServer) Lint(ctx context.Context, req *compliancev1.LintRequest) (*compliancev1.LintResponse, error) {
	a, err := s.asked(ctx)
	if err != nil {
		return nil, err
	}
	if len(req.GetBrands()) > maxBrands {
		return nil, invalid("brands", fmt.Sprintf("at most %d are allowed", maxBrands))
	}
	t, err := a.subject(req.GetTemplateId(), req.GetTemplate(), req.GetEntityId())
	if err != nil {
		return nil, err
	}
	r := template.Registration{Brands: req.GetBrands()}
	switch {
	case t.registered != nil:
		if req.GetCategory() != typev1.Category_CATEGORY_UNSPECIFIED {
			return nil, invalid("category", "a registered template has its category; leave it out")
		}
		r.Category, r.Whitelist = t.registered.Category.String(), listOf(t.rules.Whitelist)
		if len(r.Brands) == 0 {
			r.Brands = t.registered.Headers
		}
	default:
		r.Category = policy.Category(req.GetCategory()).String()
		if req.GetEntityId() != "" {
			r.Whitelist = listOf(t.rules.Whitelist)
		}
	}
	if len(r.Brands) == 0 {
		r.Brands = nil
	}
	return &compliancev1.LintResponse{Findings: encodeLint(t.Lint(r))}, nil
}

// checkText bounds a text before it is looked at.
func checkText(field, text string) error {
	if len(text) > template.MaxBytes || !utf8.ValidString(text) {
		return invalid(field, fmt.Sprintf("a text is UTF-8 of at most %d UTF-16 units", template.MaxUnits))
	}
	return nil
}
