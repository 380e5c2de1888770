package portal

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

const entity = "1701158019811140068"

func quiet(int, int) {}

// Requirement 10: portals' files in UTF-8 are read, others refused; cases are data.
func TestRequirement10Files(t *testing.T) {
	raw, err := os.ReadFile("testdata/cases/files.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name, File, Base64, Named, Portal, Kind, Refused, Body string
		Objects, Problems                                      []string
	}
	if err := yaml.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			content := []byte(c.File)
			if c.Base64 != "" {
				content, _ = base64.StdEncoding.DecodeString(c.Base64)
			}
			f, err := Read(content, c.Named, entity, quiet)
			if c.Refused != "" {
				if e, ok := errors.AsType[*errs.Error](err); !ok || e.Reason != c.Refused || e.Kind != errs.Invalid {
					t.Fatalf("%v, want %s", err, c.Refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var objects, problems []string
			for _, l := range f.Lines {
				objects = append(objects, describe(l.Object))
			}
			for _, p := range f.Problems {
				problems = append(problems, fmt.Sprintf("%d %s %s", p.Line, p.Column, p.Reason))
			}
			if c.Body != "" && f.Lines[0].Object.Body != c.Body {
				t.Errorf("body %q", f.Lines[0].Object.Body)
			}
			if c.Kind != "ctas" {
				if diff := cmp.Diff(c.Objects, objects); diff != "" {
					t.Error(diff)
				}
			}
			if diff := cmp.Diff(c.Problems, problems); diff != "" || f.Portal != c.Portal || string(f.Kind) != c.Kind {
				t.Errorf("%s %s %s", f.Portal, f.Kind, diff)
			}
		})
	}
}

func describe(o *registry.Object) string {
	words := append([]string{o.Key().String(), o.Status, o.Category, o.Role}, append(o.Headers, o.Chain...)...)
	for operator, status := range o.Operators {
		words = append(words, operator+"="+status)
	}
	if !o.ValidUntil.IsZero() {
		words = append(words, "until "+o.ValidUntil.Format(time.RFC3339))
	}
	return strings.Join(slices.DeleteFunc(words, func(s string) bool { return s == "" }), " ")
}

// TestMappings: every portal's fields are fields that are read, every word is one the registry knows.
func TestMappings(t *testing.T) {
	all, err := load()
	if err != nil || len(all) < 7 {
		t.Fatal(len(all), err)
	}
	if all[len(all)-1].Portal != Generic {
		t.Error("the generic names do not come last")
	}
	fields := strings.Fields("id header name entity status role type category chain chain_status portal_hash value headers variables " +
		"valid_from valid_until certified body tags revision goods")
	for _, m := range all {
		for _, s := range m.Sheets {
			if s.Kind.Rank() < 0 || len(s.Required) == 0 {
				t.Errorf("%s: a sheet of kind %q", m.Portal, s.Kind)
			}
			for field, names := range s.Columns {
				if !slices.Contains(fields, field) || len(names) == 0 {
					t.Errorf("%s %s: nobody reads %s", m.Portal, s.Kind, field)
				}
			}
		}
		for operator := range m.Operators {
			if !registry.IsOperator(operator) {
				t.Errorf("%s: %s is no operator", m.Portal, operator)
			}
		}
	}
}

// FuzzRead: no file makes it panic, and what is read from a file of ours can be told from what is wrong.
func FuzzRead(f *testing.F) {
	f.Add([]byte("template_id,category,body\n1107160000000000011,service,\"a\nb\"\n"), "")
	f.Add([]byte("\xef\xbb\xbfheader,header_type,VI Status\nABCBNK,Others,Inactive\n"), "generic")
	f.Add([]byte("Template ID,SMS Type,Template Text,Variable Tag\n1,SI,{#var#}{#var#},numeric;url\n"), "smartping")
	f.Add([]byte{0xff, 0xfe, 't', 0}, "")
	f.Fuzz(func(t *testing.T, raw []byte, named string) {
		file, err := Read(raw, named, entity, quiet)
		if err != nil {
			if errs.KindOf(err) != errs.Invalid {
				t.Errorf("kind of %v", err)
			}
			return
		}
		if file.Count < len(file.Problems) || file.Kind.Rank() < 0 {
			t.Errorf("%+v", file)
		}
		last := 0
		for _, l := range file.Lines {
			if l.Number <= last || l.Object.Kind != file.Kind {
				t.Errorf("line %d after %d", l.Number, last)
			}
			last = l.Number
			registry.Check(l.Object)
		}
	})
}

// BenchmarkRead reads a file of 1,000 templates.
func BenchmarkRead(b *testing.B) {
	var file strings.Builder
	file.WriteString("template_id,category,headers,body,status\n")
	for i := range 1000 {
		fmt.Fprintf(&file, "11071600000%08d,service,ABCBNK,\"Dear {#alphanumeric#}, order %d shipped - ABCBNK\",active\n", i, i)
	}
	raw := []byte(file.String())
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if f, err := Read(raw, "", entity, quiet); err != nil || len(f.Lines) != 1000 {
			b.Fatal(err)
		}
	}
}

// TestPortalsSyntaxIsNoted: a template is read as its portal writes it; types from a column of their own come into the text,
// as any portal writes them.
func TestPortalsSyntaxIsNoted(t *testing.T) {
	for name, c := range map[string]struct{ file, portal, body string }{
		"vilpower": {"Template Id,Template Type,Template Content\n1107160000000000011,Service Implicit,Hi {#alphanumeric#} there\n", "vi", "Hi {#alphanumeric#} there"},
		"copied":   {"Template Id,Template Type,Template Content\n1107160000000000011,Service Implicit,Hi {#number#} there\n", "", "Hi {#number#} there"},
		"generic":  {"template_id,category,body\n1107160000000000011,service,Hi {#var#} there\n", "", "Hi {#var#} there"},
		"tags":     {"template_id,category,body,tags\n1107160000000000011,service,Hi {#var#} there,numeric\n", "", "Hi {#numeric#} there"},
	} {
		f, err := Read([]byte(c.file), "", "1701158019811140068", func(int, int) {})
		if err != nil || len(f.Lines) != 1 {
			t.Errorf("%s: %+v, %v", name, f, err)
			continue
		}
		o := f.Lines[0].Object
		if o.Portal != c.portal || o.Body != c.body {
			t.Errorf("%s: portal %q, body %q", name, o.Portal, o.Body)
		}
		known := *o
		known.Portal = "jio"
		if got := f.Lines[0].over(&known); got.Portal != "jio" {
			t.Errorf("%s: a registered body is read otherwise: %q", name, got.Portal)
		}
		known.Body = "another"
		if got := f.Lines[0].over(&known); got.Portal != c.portal {
			t.Errorf("%s: a new body is read as %q", name, got.Portal)
		}
	}
}
