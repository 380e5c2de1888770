package api_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/api"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

const (
	otp     = "1107160000000000011"
	shipped = "1107160000000000022"
	untyped = "1107160000000000055"
)

// demo is a registry with the demo tenant's objects, as make up imports them.
type demo struct{ snapshot *registry.Snapshot }

func (d demo) Snapshot(t uuid.UUID) *registry.Snapshot {
	if t == tenant {
		return d.snapshot
	}
	s, _ := registry.NewSnapshot(registry.Rows{})
	return s
}

func (demo) Ready() error { return nil }

// newTemplates is TemplateService over the demo registry, some objects changed.
func newTemplates(t *testing.T, changed ...registry.Object) *api.TemplateServer {
	t.Helper()
	raw, err := os.ReadFile("../../../../deploy/local/demo.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file, err := registry.ParseFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	file.Rows.Objects = append(file.Rows.Objects, changed...)
	s, err := registry.NewSnapshot(file.Rows)
	if err != nil {
		t.Fatal(err)
	}
	return api.NewTemplateServer(demo{s}, func() time.Time { return at })
}

func reader(env string) context.Context {
	return as(principal.Principal{TenantID: tenant, Env: env, Scopes: []string{"registry:read"}})
}

// TestMatchGivesTheValuesBack: of a text by its places, of values by position or name, both alike.
func TestMatchGivesTheValuesBack(t *testing.T) {
	s := newTemplates(t)
	text := "Dear Asha, order 2345 shipped. Track: https://abc.in/t?o=2345 - ABCBNK"
	want := []*compliancev1.MatchedValue{
		{Name: "var1", Type: "alphanumeric", Value: "Asha", Start: 6, End: 10},
		{Name: "var2", Type: "alphanumeric", Value: "2345", Start: 18, End: 22},
		{Name: "var3", Type: "url", Value: "https://abc.in/t?o=2345", Start: 39, End: 62},
	}
	value := func(name, text string) *compliancev1.TemplateValue {
		return &compliancev1.TemplateValue{Name: name, Value: text}
	}
	for name, req := range map[string]*compliancev1.MatchRequest{
		"text":     {TemplateId: shipped, Text: text},
		"position": {TemplateId: shipped, Values: []*compliancev1.TemplateValue{value("", "Asha"), value("", "2345"), value("", "https://abc.in/t?o=2345")}},
		"name":     {TemplateId: shipped, Values: []*compliancev1.TemplateValue{value("var3", "https://abc.in/t?o=2345"), value("var1", "Asha"), value("var2", "2345")}},
		"body": {Template: &compliancev1.TemplateBody{Body: "Dear {#alphanumeric#}, order {#alphanumeric#} shipped. Track: {#url#} - ABCBNK"},
			EntityId: pe, Text: text},
	} {
		got, err := s.Match(reader("live"), req)
		if err != nil || !got.GetMatched() || got.GetText() != text || len(got.GetValues()) != len(want) {
			t.Errorf("%s: %v, %v", name, got, err)
			continue
		}
		for i, v := range got.GetValues() {
			if v.String() != want[i].String() {
				t.Errorf("%s: %v, want %v", name, v, want[i])
			}
		}
	}
}

// TestMatchExplains: what differs, where, what mends it, and whether an operator would pass it.
func TestMatchExplains(t *testing.T) {
	s := newTemplates(t)
	for _, c := range []struct {
		name, template, text, code, fix string
		position                        int32
		lenient                         bool
	}{
		{"case", otp, "482913 is your otp for ABC login. Do not share it. - ABCBNK", "TEMPLATE_NOT_MATCHED", "case", 16, false},
		{"double space", otp, "482913 is  your OTP for ABC login. Do not share it. - ABCBNK", "TEMPLATE_NOT_MATCHED", "double_space", 11, true},
		{"full stop", otp, "482913 is your OTP for ABC login. Do not share it - ABCBNK", "TEMPLATE_NOT_MATCHED", "full_stop_missing", 50, true},
		{"too long", otp, strings.Repeat("1", 31) + " is your OTP for ABC login. Do not share it. - ABCBNK", "TEMPLATE_VARIABLE_TOO_LONG", "variable_too_long", 1, false},
		{"not whitelisted", shipped, "Dear Asha, order 1 shipped. Track: https://evil.in/t - ABCBNK", "CTA_NOT_WHITELISTED", "", 36, false},
		{"link in an untyped one", untyped, "Go to evil.in/x - ABCBNK", "CTA_IN_UNTYPED_VAR", "", 7, false},
		{"invisible", otp, "482913 is your\u200b OTP for ABC login. Do not share it. - ABCBNK", "INVISIBLE_CHAR", "", 15, false},
	} {
		got, err := s.Match(reader("live"), &compliancev1.MatchRequest{TemplateId: c.template, Text: c.text})
		if err != nil || got.GetMatched() || len(got.GetMismatches()) == 0 || len(got.GetValues()) != 0 {
			t.Errorf("%s: %v, %v", c.name, got, err)
			continue
		}
		m := got.GetMismatches()[0]
		if m.GetCode() != c.code || m.GetFix() != c.fix || m.GetPosition() != c.position || m.GetLenientPass() != c.lenient || m.GetDetail() == "" ||
			(m.GetRemedy() == "") != (c.fix == "") {
			t.Errorf("%s: %v", c.name, m)
		}
	}
	got, err := s.Match(reader("live"), &compliancev1.MatchRequest{TemplateId: otp, Values: []*compliancev1.TemplateValue{{Value: "1"}, {Value: "2"}}})
	if err != nil || got.GetMatched() || got.GetMismatches()[0].GetCode() != "TEMPLATE_VARIABLE_COUNT" || got.GetMismatches()[0].GetMaxLength() != 1 {
		t.Errorf("two values for one variable: %v, %v", got, err)
	}
}

// TestMatchKnowsTheEnvironment: an override counts in test only, as in a decision.
func TestMatchKnowsTheEnvironment(t *testing.T) {
	s := newTemplates(t)
	req := &compliancev1.MatchRequest{TemplateId: untyped, Text: strings.Repeat("long ", 20) + "- ABCBNK"}
	for env, want := range map[string]bool{"live": false, "test": true} {
		if got, err := s.Match(reader(env), req); err != nil || got.GetMatched() != want {
			t.Errorf("%s: %v, %v", env, got, err)
		}
	}
}

// TestMatchTellsWhatIsNotWhitelistedAnyMore: the template's own text counts too.
func TestMatchTellsWhatIsNotWhitelistedAnyMore(t *testing.T) {
	s := newTemplates(t, registry.Object{Kind: registry.Templates, ID: "1107160000000000066", Entity: pe, Status: "suspended_usage",
		Detail: registry.Detail{Category: "service", Body: "Call 18001234567 now, {#alphanumeric#}", Headers: []string{"ABCBNK"}}})
	got, err := s.Match(reader("live"), &compliancev1.MatchRequest{TemplateId: "1107160000000000066", Text: "Call 18001234567 now, Asha"})
	if err != nil || got.GetMatched() || got.GetMismatches()[0].GetCode() != "CTA_NOT_WHITELISTED" || got.GetStatus() != "suspended_usage" {
		t.Errorf("%v, %v", got, err)
	}
}

// TestFind: the template of a text, over all or under a header; without one the nearest with its differences.
func TestFind(t *testing.T) {
	s := newTemplates(t)
	text := "482913 is your OTP for ABC login. Do not share it. - ABCBNK"
	for name, req := range map[string]*compliancev1.FindRequest{"all": {Text: text}, "entity": {Text: text, EntityId: pe}, "header": {Text: text, Header: "ABCBNK", Limit: 1}} {
		got, err := s.Find(reader("test"), req)
		if err != nil || len(got.GetTemplates()) == 0 || got.GetTemplates()[0].GetTemplateId() != otp || got.GetTemplates()[0].GetStatus() != "active" ||
			got.GetTemplates()[0].GetCategory() != typev1.Category_TRANSACTIONAL || len(got.GetMismatches()) != 0 || got.GetIncomplete() {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	got, err := s.Find(reader("live"), &compliancev1.FindRequest{Text: "482913 is your otp for ABC login. Do not share it. - ABCBNK"})
	if err != nil || len(got.GetTemplates()) != 0 || got.GetNearest().GetTemplateId() != otp || got.GetMismatches()[0].GetFix() != "case" {
		t.Errorf("nearest: %v, %v", got, err)
	}
	if got, err = s.Find(reader("live"), &compliancev1.FindRequest{Text: text, Header: "512345"}); err != nil || len(got.GetTemplates()) != 0 {
		t.Errorf("under another header: %v, %v", got, err)
	}
	got, err = s.Find(reader("live"), &compliancev1.FindRequest{Text: "Dear Asha, order 1 shipped. Track: https://evil.in/t - ABCBNK"})
	if err != nil || got.GetTemplates()[0].GetTemplateId() != shipped || got.GetMismatches()[0].GetCode() != "CTA_NOT_WHITELISTED" {
		t.Errorf("a link that is not whitelisted: %v, %v", got, err)
	}
	foreign := as(principal.Principal{TenantID: uuid.New(), Env: "live", Scopes: []string{"registry:read"}})
	if got, err := s.Find(foreign, &compliancev1.FindRequest{Text: text}); err != nil || len(got.GetTemplates()) != 0 || got.GetNearest() != nil {
		t.Errorf("another tenant finds %v, %v", got, err)
	}
}

// TestFindGivesUp: where nothing is found within the work that is allowed, that is said; under a header it is found that
// there is nothing.
func TestFindGivesUp(t *testing.T) {
	many := make([]registry.Object, 11_000)
	for i := range many {
		many[i] = registry.Object{Kind: registry.Templates, ID: fmt.Sprintf("11071600002%08d", i), Entity: pe,
			Detail: registry.Detail{Category: "service", Body: strings.Repeat("lorem ipsum ", 165) + strconv.Itoa(i)}}
	}
	s := newTemplates(t, many...)
	_, err := s.Find(reader("live"), &compliancev1.FindRequest{Text: "quite another thing"})
	if e, ok := errors.AsType[*errs.Error](err); !ok || e.Reason != "TEMPLATE_SEARCH_TOO_COMPLEX" || e.Kind != errs.Exhausted {
		t.Errorf("%v", err)
	}
	got, err := s.Find(reader("live"), &compliancev1.FindRequest{Text: "quite another thing", Header: "ABCBNK"})
	if err != nil || len(got.GetTemplates()) != 0 || got.GetIncomplete() {
		t.Errorf("%v, %v", got, err)
	}
}

// TestValidate: a body as its portal writes it.
func TestValidate(t *testing.T) {
	s := newTemplates(t)
	got, err := s.Validate(reader("live"), &compliancev1.ValidateRequest{EntityId: pe, Template: &compliancev1.TemplateBody{Portal: "smartping",
		Body: "Dear {#var#},\r\nsee https://abc.in/t?x and call 18001234567. Opt out: {#var#} - ABC", Variables: []*compliancev1.TemplateVariable{
			{Name: "who", Type: "alphanumeric", MaxLength: 20}, {Name: "link", Type: "url"}}}})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(got.GetBody(), "\r") || got.GetUntyped() || !got.GetOptOut() || got.GetFixedBytes() == 0 {
		t.Errorf("%v", got)
	}
	if v := got.GetVariables(); len(v) != 2 || v[0].GetName() != "who" || v[0].GetType() != "alphanumeric" || v[0].GetMaxLength() != 20 || v[1].GetType() != "url" {
		t.Errorf("variables: %v", v)
	}
	listed := map[string]bool{}
	for _, c := range got.GetCtas() {
		listed[c.GetValue()] = c.GetWhitelisted()
	}
	if want := map[string]bool{"https://abc.in/t?x": true, "18001234567": false}; len(listed) != 2 || listed["https://abc.in/t?x"] != true || listed["18001234567"] {
		t.Errorf("calls to action: %v, want %v", listed, want)
	}
	if f := got.GetFindings(); len(f) == 0 || f[0].GetCode() != "CTA_NOT_WHITELISTED" || f[0].GetSeverity() != "error" || f[0].GetRemedy() == "" {
		t.Errorf("findings: %v", f)
	}
}

// TestLint: a body as what it is to be registered as, and a registered template.
func TestLint(t *testing.T) {
	s := newTemplates(t)
	codes := func(req *compliancev1.LintRequest) (all []string) {
		t.Helper()
		got, err := s.Lint(reader("live"), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range got.GetFindings() {
			all = append(all, f.GetCode())
		}
		return all
	}
	body := &compliancev1.TemplateBody{Body: "Big sale today only at our stores, come all of you"}
	if got := strings.Join(codes(&compliancev1.LintRequest{Template: body, Category: typev1.Category_PROMOTIONAL, Brands: []string{"ABC"}}), " "); got != "BRAND_MISSING OPT_OUT_MISSING" {
		t.Errorf("promotional: %s", got)
	}
	if got := strings.Join(codes(&compliancev1.LintRequest{Template: body, Category: typev1.Category_SERVICE}), " "); !strings.Contains(got, "CATEGORY_HINT") || strings.Contains(got, "BRAND") {
		t.Errorf("service: %s", got)
	}
	if got := strings.Join(codes(&compliancev1.LintRequest{TemplateId: untyped}), " "); !strings.Contains(got, "UNTYPED_VARIABLE") {
		t.Errorf("registered: %s", got)
	}
	if got := codes(&compliancev1.LintRequest{TemplateId: otp}); len(got) != 0 {
		t.Errorf("nothing is wrong with the OTP template: %s", got)
	}
}

// TestTemplateRequestsThatCannotBe: each with its reason and, where a field is wrong, that field.
func TestTemplateRequestsThatCannotBe(t *testing.T) {
	s := newTemplates(t)
	ctx := reader("live")
	match := func(req *compliancev1.MatchRequest) error { _, err := s.Match(ctx, req); return err }
	validate := func(req *compliancev1.ValidateRequest) error { _, err := s.Validate(ctx, req); return err }
	find := func(req *compliancev1.FindRequest) error { _, err := s.Find(ctx, req); return err }
	lint := func(req *compliancev1.LintRequest) error { _, err := s.Lint(ctx, req); return err }
	_, noKey := s.Lint(t.Context(), &compliancev1.LintRequest{TemplateId: otp})
	_, noScope := s.Find(as(principal.Principal{TenantID: tenant, Env: "live"}), &compliancev1.FindRequest{Text: "x"})
	body := &compliancev1.TemplateBody{Body: "x {#var#}"}
	_, foreign := s.Match(as(principal.Principal{TenantID: uuid.New(), Env: "live", Scopes: []string{"registry:read"}}), &compliancev1.MatchRequest{TemplateId: otp, Text: "x"})
	for name, c := range map[string]struct {
		err           error
		reason, field string
	}{
		"no key":           {noKey, "KEY_MISSING", ""},
		"another tenant":   {foreign, "OBJECT_NOT_FOUND", ""},
		"no scope":         {noScope, "SCOPE_MISSING", ""},
		"neither":          {match(&compliancev1.MatchRequest{Text: "x"}), "REQUEST_INVALID", "template_id"},
		"both":             {match(&compliancev1.MatchRequest{TemplateId: otp, Template: body}), "REQUEST_INVALID", "template_id"},
		"text and values":  {match(&compliancev1.MatchRequest{TemplateId: otp, Text: "x", Values: []*compliancev1.TemplateValue{{}}}), "REQUEST_INVALID", "values"},
		"unknown":          {match(&compliancev1.MatchRequest{TemplateId: "1107160000000000099", Text: "x"}), "OBJECT_NOT_FOUND", ""},
		"no id":            {match(&compliancev1.MatchRequest{TemplateId: "secret", Text: "x"}), "OBJECT_NOT_FOUND", ""},
		"long text":        {match(&compliancev1.MatchRequest{TemplateId: otp, Text: strings.Repeat("x", 7000)}), "REQUEST_INVALID", "text"},
		"long value":       {match(&compliancev1.MatchRequest{TemplateId: otp, Values: []*compliancev1.TemplateValue{{Value: strings.Repeat("x", 7000)}}}), "REQUEST_INVALID", "values[0].value"},
		"entity with id":   {match(&compliancev1.MatchRequest{TemplateId: otp, EntityId: pe}), "REQUEST_INVALID", "entity_id"},
		"no body":          {validate(&compliancev1.ValidateRequest{}), "REQUEST_INVALID", "template"},
		"empty body":       {validate(&compliancev1.ValidateRequest{Template: &compliancev1.TemplateBody{}}), "REQUEST_INVALID", "template.body"},
		"portal":           {validate(&compliancev1.ValidateRequest{Template: &compliancev1.TemplateBody{Body: "x", Portal: "nokia"}}), "REQUEST_INVALID", "template.portal"},
		"type":             {validate(&compliancev1.ValidateRequest{Template: &compliancev1.TemplateBody{Body: "{#var#}", Variables: []*compliancev1.TemplateVariable{{Type: "date"}}}}), "REQUEST_INVALID", "template.body"},
		"foreign entity":   {validate(&compliancev1.ValidateRequest{Template: body, EntityId: "1701158019811140099"}), "OBJECT_NOT_FOUND", ""},
		"no text":          {find(&compliancev1.FindRequest{}), "REQUEST_INVALID", "text"},
		"limit":            {find(&compliancev1.FindRequest{Text: "x", Limit: 21}), "REQUEST_INVALID", "limit"},
		"unknown header":   {find(&compliancev1.FindRequest{Text: "x", Header: "NOBODY"}), "OBJECT_NOT_FOUND", ""},
		"category with id": {lint(&compliancev1.LintRequest{TemplateId: otp, Category: typev1.Category_SERVICE}), "REQUEST_INVALID", "category"},
		"brands":           {lint(&compliancev1.LintRequest{TemplateId: otp, Brands: make([]string, 21)}), "REQUEST_INVALID", "brands"},
	} {
		e, ok := errors.AsType[*errs.Error](c.err)
		if !ok || e.Reason != c.reason || c.field != "" && (len(e.Violations) != 1 || e.Violations[0].Field != c.field) || strings.Contains(e.Message, "secret") {
			t.Errorf("%s: %v", name, c.err)
		}
	}
}
