package api

import (
	"context"
	"fmt"
	"unicode/utf8"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Match implements TemplateService.
func (s *TemplateServer) Match(ctx context.Context, req *compliancev1.MatchRequest) (*compliancev1.MatchResponse, error) {
	a, err := s.asked(ctx)
	if err != nil {
		return nil, err
	}
	t, err := a.subject(req.GetTemplateId(), req.GetTemplate(), req.GetEntityId())
	if err != nil {
		return nil, err
	}
	resp := &compliancev1.MatchResponse{}
	if t.registered != nil {
		resp.Status = t.registered.Current(a.now).String()
	}
	text, wrong, err := textOf(t.Template, req)
	if err != nil {
		return nil, err
	}
	if wrong != nil {
		resp.Mismatches = []*compliancev1.TemplateMismatch{encodeMismatch(*wrong)}
		return resp, nil
	}
	resp.Text, resp.Normalised = template.Normalise(text)
	var m template.Matcher
	resp.Mismatches = compare(&m, t, resp.GetText())
	if resp.Matched = len(resp.GetMismatches()) == 0; resp.GetMatched() {
		resp.Values = valuesOf(t.Template, resp.GetText(), m.Spans())
	}
	return resp, nil
}

// textOf is the text of a request, or what its values make of the template; wrong says why they make nothing.
func textOf(t *template.Template, req *compliancev1.MatchRequest) (text string, wrong *template.Finding, err error) {
	switch {
	case req.GetText() != "" && len(req.GetValues()) > 0:
		return "", nil, invalid("values", "give either text or values")
	case req.GetText() != "":
		return req.GetText(), nil, checkText("text", req.GetText())
	case len(req.GetValues()) > maxValues:
		return "", nil, invalid("values", fmt.Sprintf("a template has at most %d variables", maxValues))
	}
	var values []template.Value
	for i, v := range req.GetValues() {
		if err := checkText(fmt.Sprintf("values[%d].value", i), v.GetValue()); err != nil {
			return "", nil, err
		}
		values = append(values, template.Value{Name: v.GetName(), Text: v.GetValue()})
	}
	text, found, ok := t.Render(values)
	if !ok {
		return "", &found, nil
	}
	return text, nil, nil
}

// compare tells everything a message with this text would be refused for, as to its text. After a match the matcher has
// the places of the values.
func compare(m *template.Matcher, t subject, text string) (all []*compliancev1.TemplateMismatch) {
	for _, f := range m.Match(t.Template, text, t.rules) {
		all = append(all, encodeMismatch(f))
	}
	if _, listed := t.Unlisted(t.rules.Whitelist); !listed {
		all = append(all, &compliancev1.TemplateMismatch{Code: template.CTANotWhitelisted,
			Detail: "The template's own text has a link, number or address that its entity has not whitelisted. Whitelist it at the DLT portal and register it here."})
	}
	return all
}

func encodeMismatch(f template.Finding) *compliancev1.TemplateMismatch {
	out := &compliancev1.TemplateMismatch{Code: f.Code, Detail: f.Detail(), Position: int32(f.Position), Expected: f.Expected, Found: f.Found,
		Fix: string(f.Fix), Variable: int32(f.Variable), Length: int32(f.Length), MaxLength: int32(f.Max), LenientPass: f.Lenient}
	if f.Fix != "" {
		out.Remedy = f.Fix.Remedy()
	}
	return out
}

// valuesOf gives the values back to whoever sent the text.
func valuesOf(t *template.Template, text string, spans []template.Span) (all []*compliancev1.MatchedValue) {
	names := t.Names()
	for i, v := range t.Variables() {
		start := 1 + utf8.RuneCountInString(text[:spans[i].Start])
		value := text[spans[i].Start:spans[i].End]
		all = append(all, &compliancev1.MatchedValue{Name: names[i], Type: v.Tag, Value: value, Start: int32(start),
			End: int32(start + utf8.RuneCountInString(value))})
	}
	return all
}

// Find implements TemplateService.
func (s *TemplateServer) Find(ctx context.Context, req *compliancev1.FindRequest) (*compliancev1.FindResponse, error) {
	a, err := s.asked(ctx)
	if err != nil {
		return nil, err
	}
	limit := int(req.GetLimit())
	switch {
	case req.GetText() == "":
		return nil, invalid("text", "the text is missing")
	case limit < 0 || limit > maxFound:
		return nil, invalid("limit", fmt.Sprintf("at most %d templates are answered", maxFound))
	case limit == 0:
		limit = defaultFound
	}
	if err := checkText("text", req.GetText()); err != nil {
		return nil, err
	}
	in, err := a.among(req)
	if err != nil {
		return nil, err
	}
	text, _ := template.Normalise(req.GetText())
	var m template.Matcher
	found := a.Find(&m, text, in, limit)
	resp := &compliancev1.FindResponse{Incomplete: found.TooComplex}
	for _, t := range found.Of {
		resp.Templates = append(resp.Templates, a.encodeFound(t))
	}
	if len(found.Of) > 0 {
		resp.Mismatches, err = a.differences(&m, found.Of[0], text)
		return resp, err
	}
	near, tooComplex := a.Nearest(&m, text, in)
	if near == nil && (found.TooComplex || tooComplex) {
		return nil, errs.E(errs.Exhausted, "TEMPLATE_SEARCH_TOO_COMPLEX", "The search took too much work and found nothing; name the header or the entity.", nil)
	}
	resp.Incomplete = resp.GetIncomplete() || tooComplex
	if near != nil {
		resp.Nearest = a.encodeFound(near)
		resp.Mismatches, err = a.differences(&m, near, text)
	}
	return resp, err
}

// among reads where to look; what is named must be registered.
func (a *asked) among(req *compliancev1.FindRequest) (registry.Among, error) {
	in := registry.Among{Entity: req.GetEntityId(), Header: req.GetHeader(), Now: a.now}
	if in.Entity != "" && a.Entity(in.Entity) == nil {
		return in, notFound(registry.Entities)
	}
	if in.Header != "" && a.Header(in.Header) == nil {
		return in, notFound(registry.Headers)
	}
	return in, nil
}

func (a *asked) differences(m *template.Matcher, t *registry.Template, text string) ([]*compliancev1.TemplateMismatch, error) {
	s, err := a.subject(t.ID, nil, "")
	if err != nil {
		return nil, err
	}
	return compare(m, s, text), nil
}

func (a *asked) encodeFound(t *registry.Template) *compliancev1.FoundTemplate {
	return &compliancev1.FoundTemplate{TemplateId: t.ID, EntityId: t.Entity, Headers: t.Headers, Category: typev1.Category(t.Category),
		Status: t.Current(a.now).String(), FixedBytes: int32(t.Parsed.FixedBytes())}
}
