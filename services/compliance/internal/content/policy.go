package content

import (
	"strconv"
	"strings"
	"time"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
)

// The canonical reasons. Each of them blocks, or stands as a finding beside a decision.
const (
	ReasonSensitive  = policy.ContentSensitive
	ReasonCredential = policy.ContentCredential
	ReasonLink       = policy.ContentLinkPersonal
)

// Action is what a policy does with a kind.
type Action uint8

// The actions, from mild to strict.
const (
	Allow Action = iota
	Warn
	Block
)

// String is the action's name.
func (a Action) String() string { return [...]string{"allow", "warn", "block"}[a] }

// Rule is one line of a tenant's policy.
type Rule struct {
	Kind       Kind
	Categories []policy.Category // of the template; empty for all
	Action     Action
	Until      time.Time // the rule ends then; zero for never
}

// Policy is what a tenant does with each kind; the last rule that fits decides, the house's default without one.
type Policy []Rule

// Verdict is what is to happen with a text, and why.
type Verdict struct {
	Action  Action
	Reasons []policy.Reason // one for each code that is not allowed; blocking ones first
}

// defaultAction is the house's policy. Credentials, and identity numbers that are certain, do not belong in an SMS; a code
// does in the message made for it, and so do a shop's UPI address, number and e-mail.
func defaultAction(k Kind) Action {
	switch k {
	case Aadhaar, VID, PAN, Card, Passport, VoterID, CVV, PIN, Password, URLData:
		return Block
	case Account:
		return Warn
	default:
		return Allow
	}
}

// Judge answers what a tenant's policy does with findings in a message of a category at an instant. A block of a finding
// that is not certain is a warning. It is pure; without findings nothing is allocated.
func Judge(p Policy, category policy.Category, findings []Finding, now time.Time) Verdict {
	var v Verdict
	var noted [kinds]Action
	for _, f := range findings {
		action := p.action(f.Kind, category, now)
		if action == Block && !f.Certain {
			action = Warn
		}
		noted[f.Kind] = max(noted[f.Kind], action)
		v.Action = max(v.Action, action)
	}
	for action := Block; action > Allow && v.Action > Allow; action-- {
		for _, code := range []string{ReasonCredential, ReasonSensitive, ReasonLink} {
			if r, ok := reason(code, action, &noted, findings); ok {
				v.Reasons = append(v.Reasons, r)
			}
		}
	}
	return v
}

func (p Policy) action(k Kind, category policy.Category, now time.Time) Action {
	for i := len(p) - 1; i >= 0; i-- {
		r := &p[i]
		if r.Kind == k && r.covers(category) && (r.Until.IsZero() || now.Before(r.Until)) {
			return r.Action
		}
	}
	return defaultAction(k)
}

func (r *Rule) covers(category policy.Category) bool {
	for _, c := range r.Categories {
		if c == category {
			return true
		}
	}
	return len(r.Categories) == 0
}

func codeOf(k Kind) string {
	switch k {
	case CVV, PIN, Password:
		return ReasonCredential
	case URLData:
		return ReasonLink
	default:
		return ReasonSensitive
	}
}

// reason gathers the kinds of one code that met one action.
func reason(code string, action Action, noted *[kinds]Action, findings []Finding) (policy.Reason, bool) {
	var names, positions []string
	for k := range kinds {
		if codeOf(k) != code || noted[k] != action {
			continue
		}
		names = append(names, k.String())
		for _, f := range findings {
			if f.Kind == k {
				positions = append(positions, strconv.Itoa(f.RuneStart+1))
			}
		}
	}
	if names == nil {
		return policy.Reason{}, false
	}
	return policy.R(code, "action", action.String(), "types", strings.Join(names, ","), "positions", strings.Join(positions, ",")), true
}
