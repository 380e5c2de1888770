package registry

import (
	"bytes"
	_ "embed"
	"fmt"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
)

//go:embed rules.yaml
var rulesFile []byte

// dates are the rules of registration that come into force on a date (IST).
type dates struct {
	oneHeader time.Time            // from then on a template has one header
	typed     map[string]time.Time // by operator: untyped variables are refused from then on
}

// inForce are the rules as shipped.
var inForce, operators = func() (dates, []string) {
	d, operators, err := parseRules(rulesFile)
	if err != nil {
		panic(err) // embedded: a test parses it
	}
	return d, operators
}()

// Operators are the access providers whose DLT platforms keep statuses of their own, sorted: registrations replicate
// between them, activations do not.
func Operators() []string { return slices.Clone(operators) }

// IsOperator tells whether name is one of Operators.
func IsOperator(name string) bool { return slices.Contains(operators, name) }

// parseRules reads rules.yaml; the operators are those whose DLT platforms keep statuses of their own, sorted.
func parseRules(raw []byte) (d dates, operators []string, err error) {
	var y struct {
		OneHeader struct {
			From string `yaml:"effective_from"`
		} `yaml:"one_header_per_template"`
		Operators []struct {
			Name  string `yaml:"name"`
			Typed string `yaml:"typed_variables_from"`
		} `yaml:"operators"`
	}
	decoder := yaml.NewDecoder(bytes.NewReader(raw))
	decoder.KnownFields(true)
	if err := decoder.Decode(&y); err != nil {
		return d, nil, fmt.Errorf("rules.yaml: %w", err)
	}
	if d.oneHeader, err = time.ParseInLocation(time.DateOnly, y.OneHeader.From, policy.IST); err != nil {
		return d, nil, fmt.Errorf("rules.yaml: one_header_per_template: %w", err)
	}
	d.typed = make(map[string]time.Time, len(y.Operators))
	for _, o := range y.Operators {
		if d.typed[o.Name], err = time.ParseInLocation(time.DateOnly, o.Typed, policy.IST); err != nil {
			return d, nil, fmt.Errorf("rules.yaml: %s: %w", o.Name, err)
		}
		operators = append(operators, o.Name)
	}
	slices.Sort(operators)
	return d, operators, nil
}

// At is the status at a time on a route of an operator (empty: on any). A template with an untyped variable is inactive
// with an operator from the day on which he refuses such templates; portal-wide that is a rule pack's matter.
func (t *Template) At(now time.Time, operator string) policy.Status {
	return t.at(&inForce, now, operator)
}

func (t *Template) at(d *dates, now time.Time, operator string) policy.Status {
	status := t.Standing.At(now, operator)
	if operator == "" || status != policy.Active || !t.Parsed.HasUntyped() {
		return status
	}
	if from, ok := d.typed[operator]; ok && !now.Before(from) {
		return policy.Inactive
	}
	return status
}

// LinkedAt tells whether the template may go out under header at a time.
func (t *Template) LinkedAt(header string, now time.Time) bool {
	return t.linked(&inForce, header, now)
}

func (t *Template) linked(d *dates, header string, now time.Time) bool {
	return t.Linked(header) && (len(t.Headers) == 1 || now.Before(d.oneHeader))
}
