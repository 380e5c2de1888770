package template

import (
	"bytes"
	_ "embed" // the portals' profiles
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed profiles.yaml
var embedded []byte

var profiles = func() []*Profile {
	list, err := ParseProfiles(embedded)
	if err != nil {
		panic(err) // the file is part of the program, and a test reads it
	}
	return list
}()

// Profile is how one DLT portal writes variables, and what it lets them hold.
type Profile struct {
	name      string
	beside    bool // the type stands beside the text
	spellings []spelling
	limits    [len(kindNames)]limits
}

// spelling is one way to write a variable.
type spelling struct {
	text string
	kind Kind
}

// limits are what a variable may hold, for the gate and for the advice.
type limits struct{ strict, lenient slot }

// slot bounds a variable: 1..max UTF-16 units of a class of characters.
type slot struct {
	max   int
	takes class
}

// Name is the name of the portal, or default.
func (p *Profile) Name() string { return p.name }

// Beside tells whether the portal keeps {#var#} in the text and the type in a field of its own.
func (p *Profile) Beside() bool { return p.beside }

// Default is the profile that reads what any portal writes between {# and #}.
func Default() *Profile { return profiles[0] }

// Profiles are the profiles of all portals that are known, the default first.
func Profiles() []*Profile { return slices.Clone(profiles) }

// ProfileNamed is the profile of a portal: default, airtel, bsnl, vi, jio, tata, smartping, plain; nil for any other name.
func ProfileNamed(name string) *Profile {
	for _, p := range profiles {
		if p.name == name {
			return p
		}
	}
	return nil
}

// slotYAML is a slot in the file.
type slotYAML struct {
	Max   int
	Takes string
}

type profilesYAML struct {
	Tags     map[string]slotYAML
	Profiles []struct {
		Name      string
		Beside    bool
		Spellings map[string]string
		Lenient   map[string]slotYAML
	}
}

// ParseProfiles reads profiles as YAML in the form of profiles.yaml. It fails on unknown fields, kinds and characters, on
// limits outside 1..MaxUnits, and on a profile without a name or spellings.
func ParseProfiles(raw []byte) ([]*Profile, error) {
	var y profilesYAML
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	if err := d.Decode(&y); err != nil {
		return nil, fmt.Errorf("profiles: %w", err)
	}
	var base Profile
	if err := base.limit(y.Tags, true); err != nil {
		return nil, fmt.Errorf("profiles: tags: %w", err)
	}
	var list []*Profile
	for _, f := range y.Profiles {
		p := base
		p.name, p.beside = f.Name, f.Beside
		if f.Name == "" || len(f.Spellings) == 0 {
			return nil, fmt.Errorf("profiles: profile %q needs a name and spellings", f.Name)
		}
		if err := p.limit(f.Lenient, false); err != nil {
			return nil, fmt.Errorf("profiles: %s: %w", p.name, err)
		}
		if err := p.spell(f.Spellings); err != nil {
			return nil, fmt.Errorf("profiles: %s: %w", p.name, err)
		}
		list = append(list, &p)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("profiles: there is none")
	}
	return list, nil
}

// limit reads the slots of kinds; strict ones bound advice as well until that is told otherwise.
func (p *Profile) limit(slots map[string]slotYAML, strict bool) error {
	for word, y := range slots {
		kind, err := parseKind(word)
		if err != nil {
			return err
		}
		takes, err := parseClass(y.Takes)
		if err != nil {
			return fmt.Errorf("%s: %w", word, err)
		}
		if y.Max < 1 || y.Max > MaxUnits {
			return fmt.Errorf("%s: max %d is not 1 to %d", word, y.Max, MaxUnits)
		}
		p.limits[kind].lenient = slot{y.Max, takes}
		if strict {
			p.limits[kind].strict = slot{y.Max, takes}
		}
	}
	for kind := Untyped; int(kind) < len(p.limits); kind++ {
		if p.limits[kind].strict.max == 0 {
			return fmt.Errorf("%s has no limit", kind)
		}
	}
	return nil
}

// spell reads the spellings, the longest first.
func (p *Profile) spell(spellings map[string]string) error {
	p.spellings = nil
	for text, word := range spellings {
		kind, err := parseKind(word)
		if err != nil {
			return err
		}
		if len(text) < 3 || text[0] != '{' && text[0] != '#' {
			return fmt.Errorf("spelling %q does not begin with { or #, or is too short to be told from text", text)
		}
		p.spellings = append(p.spellings, spelling{text, kind})
	}
	slices.SortFunc(p.spellings, func(a, b spelling) int {
		if d := len(b.text) - len(a.text); d != 0 {
			return d
		}
		return strings.Compare(a.text, b.text)
	})
	return nil
}

// at finds the variable that begins s.
func (p *Profile) at(s string) (spelling, bool) {
	if s[0] != '{' && s[0] != '#' {
		return spelling{}, false
	}
	for _, v := range p.spellings {
		if strings.HasPrefix(s, v.text) {
			return v, true
		}
	}
	return spelling{}, false
}

// word finds the kind of a tag beside the text, with or without the signs around it.
func (p *Profile) word(tag string) (Kind, error) {
	tag = strings.Trim(tag, "{#}")
	if tag == "number" {
		return Numeric, nil
	}
	return parseKind(tag)
}
