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

// IST is Indian Standard Time: one zone, no summer time, no dependence on tzdata.
var IST = time.FixedZone("IST", 5*60*60+30*60)

// Strictness says what becomes of a message that breaks a rule.
type Strictness uint8

// The strictnesses.
const (
	Ignore Strictness = iota
	Warn
	Enforce
)

// Pack is a set of rules that is in force from a date on. Law changes by adding one.
type Pack struct {
	Version         string // for example 2025-05-06
	Draft           bool   // never in force by itself, for simulations
	EffectiveFrom   time.Time
	Jurisdiction    string
	Regulation      string
	Source          string        // address of the regulation
	Window          Window        // when promotional messages may go
	ClockGuard      time.Duration // by so much the window is smaller while the clock is in doubt
	ScrubRetry      time.Duration // how long a message waits while preference or consent cannot be asked for
	AlphaPromo      bool          // promotional templates may use headers of letters, where the route has confirmed it
	SixOnly         bool          // headers of letters have exactly six
	CategoryDigit   Strictness    // a promotional header's first digit is the template's category of goods
	OneHeader       bool          // a template is linked to one header
	RefuseUntyped   bool          // templates with {#var#} are refused
	OptOut          Strictness    // a promotional template has an element to opt out by
	Chain           bool          // the chain from entity to telemarketer is checked
	RetireExplicit  bool          // templates of service explicit count as promotional
	ConsentRequired bool          // promotion needs consent, whatever the registered preference
	Transaction     Transaction
}

// Transaction are the rules of transactional messages.
type Transaction struct {
	MaxAge  time.Duration // how long after the transaction began the message may go
	Old     Strictness    // when it is older
	Missing Strictness    // when its time is not said
	Consent bool          // explicit consent is needed
}

// effective is the category a template counts as.
func (p *Pack) effective(c Category) Category {
	if c == ServiceExplicit && p.RetireExplicit {
		return Promotional
	}
	return c
}

// Effective is the category a template counts as under the pack: service explicit is promotional since 6 May 2025.
func (p *Pack) Effective(c Category) Category { return p.effective(c) }

// Window is a daily span [Open, Close) in IST, as times since midnight.
type Window struct{ Open, Close time.Duration }

const day = 24 * time.Hour

// Next is the first moment at or after t inside the window.
func (w Window) Next(t time.Time) time.Time {
	const toIST = 5*60*60 + 30*60
	seconds := (t.Unix() + toIST) % 86400
	if seconds < 0 {
		seconds += 86400
	}
	switch since := time.Duration(seconds)*time.Second + time.Duration(t.Nanosecond()); {
	case since < w.Open:
		return t.Add(w.Open - since)
	case since < w.Close:
		return t
	default:
		return t.Add(day + w.Open - since)
	}
}

// Packs are all packs, the latest first. At least one of them is no draft.
type Packs []*Pack

// At is the pack in force at t, never a draft; before the first of all, that one.
func (p Packs) At(t time.Time) *Pack {
	var first *Pack
	for _, pack := range p {
		if pack.Draft {
			continue
		}
		if first = pack; !t.Before(pack.EffectiveFrom) {
			break
		}
	}
	return first
}

// Version is the pack of this version, drafts among them: for replays and simulations. nil when there is none.
func (p Packs) Version(version string) *Pack {
	i := slices.IndexFunc(p, func(pack *Pack) bool { return pack.Version == version })
	if i < 0 {
		return nil
	}
	return p[i]
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
// required one, on two of one version, and when none but drafts is there.
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
	if !slices.ContainsFunc(packs, func(p *Pack) bool { return !p.Draft }) {
		return nil, errors.New("no rule packs but drafts")
	}
	slices.SortFunc(packs, func(a, b *Pack) int {
		return cmp.Or(b.EffectiveFrom.Compare(a.EffectiveFrom), cmp.Compare(a.Version, b.Version))
	})
	for i, pack := range packs {
		if packs.Version(pack.Version) != packs[i] {
			return nil, fmt.Errorf("rule pack %s is there twice", pack.Version)
		}
	}
	return packs, nil
}

// packFile is a pack as it stands in its file. Every field must be there but draft: a rule that is left out by mistake must
// not be one that is not in force.
type packFile struct {
	Version           string
	Draft             bool
	EffectiveFrom     time.Time `yaml:"effective_from"`
	Jurisdiction      string
	Regulation        string
	Source            string
	PromotionalWindow struct{ Open, Close string } `yaml:"promotional_window"`
	ClockGuard        time.Duration                `yaml:"clock_guard"`
	ScrubRetry        time.Duration                `yaml:"scrub_retry"`
	Promotional       struct {
		Basis  string // preference_or_consent or consent_required
		OptOut string `yaml:"opt_out"` // enforce, warn or ignore
	}
	Transactional struct {
		MaxAge  time.Duration `yaml:"max_age"`
		Old     string        // enforce, warn or ignore
		Missing string        // enforce, warn or ignore
		Consent string        // none or explicit
	}
	ServiceExplicit string `yaml:"service_explicit"` // keep or promotional
	Header          struct {
		AlphaPromo    *bool  `yaml:"alpha_promo"`
		SixOnly       *bool  `yaml:"six_only"`
		CategoryDigit string `yaml:"category_digit"` // enforce, warn or ignore
		PerTemplate   string `yaml:"per_template"`   // one or several
	}
	UntypedVariables string `yaml:"untyped_variables"` // allow or refuse
	Chain            string // enforce or ignore
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
	var wrong []error
	choice := func(field, value, yes, no string) bool {
		if value != yes && value != no {
			wrong = append(wrong, fmt.Errorf("%s is %q, neither %s nor %s", field, value, yes, no))
		}
		return value == yes
	}
	strictness := func(field, value string) Strictness {
		i := slices.Index([]string{"ignore", "warn", "enforce"}, value)
		if i < 0 {
			wrong = append(wrong, fmt.Errorf("%s is %q, none of enforce, warn and ignore", field, value))
		}
		return Strictness(max(i, 0))
	}
	flag := func(field string, value *bool) bool {
		if value == nil {
			wrong = append(wrong, fmt.Errorf("%s is missing", field))
			return false
		}
		return *value
	}
	p := &Pack{Version: f.Version, Draft: f.Draft, EffectiveFrom: f.EffectiveFrom, Jurisdiction: f.Jurisdiction,
		Regulation: f.Regulation, Source: f.Source, ClockGuard: f.ClockGuard, ScrubRetry: f.ScrubRetry,
		AlphaPromo:      flag("alpha_promo", f.Header.AlphaPromo),
		SixOnly:         flag("six_only", f.Header.SixOnly),
		CategoryDigit:   strictness("category_digit", f.Header.CategoryDigit),
		OneHeader:       choice("per_template", f.Header.PerTemplate, "one", "several"),
		RefuseUntyped:   choice("untyped_variables", f.UntypedVariables, "refuse", "allow"),
		OptOut:          strictness("promotional.opt_out", f.Promotional.OptOut),
		Chain:           choice("chain", f.Chain, "enforce", "ignore"),
		RetireExplicit:  choice("service_explicit", f.ServiceExplicit, "promotional", "keep"),
		ConsentRequired: choice("promotional.basis", f.Promotional.Basis, "consent_required", "preference_or_consent"),
		Transaction: Transaction{MaxAge: f.Transactional.MaxAge,
			Old:     strictness("transactional.old", f.Transactional.Old),
			Missing: strictness("transactional.missing", f.Transactional.Missing),
			Consent: choice("transactional.consent", f.Transactional.Consent, "explicit", "none")}}
	var open, closing error
	p.Window.Open, open = clock(f.PromotionalWindow.Open)
	p.Window.Close, closing = clock(f.PromotionalWindow.Close)
	return p, errors.Join(append(wrong, open, closing, p.complete())...)
}

// complete tells whether what every pack must say is there.
func (p *Pack) complete() error {
	switch {
	case p.Version == "" || p.EffectiveFrom.IsZero() || p.Jurisdiction == "" || p.Regulation == "" || p.Source == "":
		return errors.New("version, effective_from, jurisdiction, regulation and source are required")
	case p.ClockGuard <= 0 || p.ScrubRetry <= 0 || p.Transaction.MaxAge <= 0:
		return errors.New("clock_guard, scrub_retry and transactional.max_age are required, above zero")
	case p.Window.Open+2*p.ClockGuard >= p.Window.Close:
		return errors.New("the promotional window must open before it closes, with room for clock_guard on both sides")
	}
	return nil
}

// clock reads a time of day such as 10:00.
func clock(s string) (time.Duration, error) {
	t, err := time.Parse("15:04", s)
	if err != nil {
		return 0, err
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, nil
}
