package policy

import (
	"bytes"
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
)

//go:embed packs/*.yaml
var packFiles embed.FS

// IST is Indian Standard Time: one zone, no summer time, no dependence on tzdata (DLT rules 1.5).
var IST = time.FixedZone("IST", 5*60*60+30*60)

// Pack is a set of rules that is in force from a date on. Law changes by adding one.
type Pack struct {
	Version       string // for example 2025-05-06
	EffectiveFrom time.Time
	Regulation    string
	Source        string // address of the regulation
	Window        Window // when promotional messages may go
	AlphaPromo    bool   // promotional templates may use headers of letters
	SixOnly       bool   // headers of letters have exactly six
	CategoryDigit bool   // a promotional header's first digit must be the template's category of goods
	RefuseUntyped bool   // templates with {#var#} are refused
}

// Window is a daily span [Open, Close) in IST, as times since midnight.
type Window struct{ Open, Close time.Duration }

// Next is the first moment at or after t inside the window.
func (w Window) Next(t time.Time) time.Time {
	ist := t.In(IST)
	midnight := time.Date(ist.Year(), ist.Month(), ist.Day(), 0, 0, 0, 0, IST)
	switch since := ist.Sub(midnight); {
	case since < w.Open:
		return midnight.Add(w.Open)
	case since < w.Close:
		return t
	default:
		return midnight.AddDate(0, 0, 1).Add(w.Open)
	}
}

// Packs are all packs, the latest first.
type Packs []*Pack

// At is the pack in force at t; before the first of all, that one.
func (p Packs) At(t time.Time) *Pack {
	for _, pack := range p {
		if !t.Before(pack.EffectiveFrom) {
			return pack
		}
	}
	return p[len(p)-1]
}

// Builtin reads the packs that come with the service.
func Builtin() (Packs, error) {
	sub, err := fs.Sub(packFiles, "packs")
	if err != nil {
		return nil, err
	}
	return LoadPacks(sub)
}

// LoadPacks reads every .yaml file of a directory as a pack. It fails on unknown fields, on a pack that misses a
// required one, and when there is none.
func LoadPacks(dir fs.FS) (Packs, error) {
	files, err := fs.Glob(dir, "*.yaml")
	if err != nil {
		return nil, err
	}
	var packs Packs
	for _, name := range files {
		pack, err := loadPack(dir, name)
		if err != nil {
			return nil, fmt.Errorf("rule pack %s: %w", name, err)
		}
		packs = append(packs, pack)
	}
	if len(packs) == 0 {
		return nil, errors.New("no rule packs")
	}
	slices.SortFunc(packs, func(a, b *Pack) int {
		return cmp.Or(b.EffectiveFrom.Compare(a.EffectiveFrom), cmp.Compare(a.Version, b.Version))
	})
	return packs, nil
}

// packFile is a pack as it stands in its file.
type packFile struct {
	Version           string
	EffectiveFrom     time.Time `yaml:"effective_from"`
	Regulation        string
	Source            string
	PromotionalWindow struct{ Open, Close string } `yaml:"promotional_window"`
	Header            struct {
		AlphaPromo    bool   `yaml:"alpha_promo"`
		SixOnly       bool   `yaml:"six_only"`
		CategoryDigit string `yaml:"category_digit"` // enforce or ignore
	}
	UntypedVariables string `yaml:"untyped_variables"` // allow or refuse
}

func loadPack(dir fs.FS, name string) (*Pack, error) {
	raw, err := fs.ReadFile(dir, name)
	if err != nil {
		return nil, err
	}
	var file packFile
	decoder := yaml.NewDecoder(bytes.NewReader(raw))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		return nil, err
	}
	return file.pack()
}

func (f *packFile) pack() (*Pack, error) {
	p := &Pack{Version: f.Version, EffectiveFrom: f.EffectiveFrom, Regulation: f.Regulation, Source: f.Source,
		AlphaPromo: f.Header.AlphaPromo, SixOnly: f.Header.SixOnly}
	var digit, untyped, open, closing error
	p.CategoryDigit, digit = choice("category_digit", f.Header.CategoryDigit, "enforce", "ignore")
	p.RefuseUntyped, untyped = choice("untyped_variables", f.UntypedVariables, "refuse", "allow")
	p.Window.Open, open = clock(f.PromotionalWindow.Open)
	p.Window.Close, closing = clock(f.PromotionalWindow.Close)
	if err := errors.Join(digit, untyped, open, closing); err != nil {
		return nil, err
	}
	if p.Version == "" || p.EffectiveFrom.IsZero() || p.Regulation == "" || p.Source == "" || p.Window.Open >= p.Window.Close {
		return nil, errors.New("version, effective_from, regulation, source and a window that opens before it closes are required")
	}
	return p, nil
}

func choice(field, value, yes, no string) (bool, error) {
	if value != yes && value != no {
		return false, fmt.Errorf("%s is %q, neither %s nor %s", field, value, yes, no)
	}
	return value == yes, nil
}

// clock reads a time of day such as 10:00.
func clock(s string) (time.Duration, error) {
	t, err := time.Parse("15:04", s)
	if err != nil {
		return 0, err
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, nil
}
