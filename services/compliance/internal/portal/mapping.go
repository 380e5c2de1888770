package portal

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
)

//go:embed portals/*.yaml
var files embed.FS

// Generic is the mapping whose names any file may use.
const Generic = "generic"

// Mapping is how one portal writes its exports.
type Mapping struct {
	Portal string `yaml:"portal"`
	// Profile is the syntax of the bodies (template.ProfileNamed); empty: what any portal writes.
	Profile string  `yaml:"profile"`
	Title   string  `yaml:"title"`
	Sheets  []Sheet `yaml:"sheets"`
	// Operators are columns with the status at one operator; Values the words of a field. Both of the generic mapping
	// hold for all.
	Operators map[string][]string          `yaml:"operators"`
	Values    map[string]map[string]string `yaml:"values"`
}

// Sheet is one export of a portal: of one kind of object.
type Sheet struct {
	Kind     registry.Kind       `yaml:"kind"`
	Required []string            `yaml:"required"`
	Columns  map[string][]string `yaml:"columns"` // field: names the column may have
	Without  []string            `yaml:"without"` // names of columns that show that it is another sheet
}

// mappings are all portals, the generic one last.
var mappings = func() []Mapping {
	all, err := load()
	if err != nil {
		panic(err) // embedded: a test loads them
	}
	return all
}()

func load() ([]Mapping, error) {
	names, err := fs.Glob(files, "portals/*.yaml")
	if err != nil {
		return nil, err
	}
	all := make([]Mapping, len(names))
	for i, name := range names {
		raw, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		decoder := yaml.NewDecoder(bytes.NewReader(raw))
		decoder.KnownFields(true)
		if err := decoder.Decode(&all[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	slices.SortStableFunc(all, func(a, b Mapping) int { return rank(a) - rank(b) })
	return all, nil
}

func rank(m Mapping) int {
	if m.Portal == Generic {
		return 1
	}
	return 0
}

// Portals are the names of all portals.
func Portals() []string {
	names := make([]string, len(mappings))
	for i, m := range mappings {
		names[i] = m.Portal
	}
	return names
}

// canonical is a name without case, spaces and punctuation.
func canonical(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, name)
}

// layout is where a file's columns are.
type layout struct {
	portal  string
	profile string
	kind    registry.Kind
	names   []string       // of the columns, as the file writes them
	fields  map[string]int // field or operator: column
}

// operatorPrefix marks a field that is an operator's status.
const operatorPrefix = "operator "

// recognise finds the sheet that fits a header row best: all its required columns are there, none that shows another
// sheet, and the most of the others; of equals the first. named restricts it to one portal.
func recognise(header []string, named string) (layout, bool) {
	columns := make(map[string]int, len(header))
	for i, name := range header {
		if c := canonical(name); c != "" {
			if _, there := columns[c]; !there {
				columns[c] = i
			}
		}
	}
	var best layout
	for _, m := range mappings {
		if named != "" && m.Portal != named {
			continue
		}
		for i := range m.Sheets {
			if l, ok := m.Sheets[i].fit(columns); ok && len(l.fields) > len(best.fields) {
				l.portal, l.profile = m.Portal, m.Profile
				best = l
			}
		}
	}
	if best.fields == nil {
		return best, false
	}
	best.names = header
	for operator, names := range mappings[len(mappings)-1].Operators {
		if at, ok := find(columns, names); ok {
			best.fields[operatorPrefix+operator] = at
		}
	}
	return best, true
}

func (s *Sheet) fit(columns map[string]int) (layout, bool) {
	l := layout{kind: s.Kind, fields: map[string]int{}}
	if _, other := find(columns, s.Without); other {
		return l, false
	}
	for field, names := range s.Columns {
		if at, ok := find(columns, names); ok {
			l.fields[field] = at
		}
	}
	for _, field := range s.Required {
		if _, ok := l.fields[field]; !ok {
			return l, false
		}
	}
	return l, true
}

func find(columns map[string]int, names []string) (int, bool) {
	for _, name := range names {
		if at, ok := columns[canonical(name)]; ok {
			return at, true
		}
	}
	return 0, false
}

// words are the values of the generic mapping by field, with canonical keys.
var words = func() map[string]map[string]string {
	all := map[string]map[string]string{}
	for field, values := range mappings[len(mappings)-1].Values {
		all[field] = map[string]string{}
		for word, value := range values {
			all[field][canonical(word)] = value
		}
	}
	return all
}()
