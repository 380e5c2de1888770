package route

import (
	"fmt"
)

// TLV is one optional parameter that an operator wants on every segment of a message: its tag, what it holds, how it is
// written, how long it may be. Tags of 0x1400 and up mean what their operator says (SMPP 3.4 5.3.2).
type TLV struct {
	Tag          uint16 `yaml:"tag"`
	Name         string `yaml:"name"`  // for people
	Value        string `yaml:"value"` // entity, template, hash, telemarketer or text
	Type         string `yaml:"type"`  // octets (also when empty) or cstring, which ends with NUL
	Max          int    `yaml:"max"`   // octets with the NUL; 0: 64
	Telemarketer string `yaml:"telemarketer"`
	Text         string `yaml:"text"`
}

// Of answers the parameter's octets for a message; ok is false when it has nothing to hold or does not fit.
func (t *TLV) Of(entity, template, hash string) (value string, ok bool) {
	switch t.Value {
	case "entity":
		value = entity
	case "template":
		value = template
	case "hash":
		value = hash
	case "telemarketer":
		value = t.Telemarketer
	case "text":
		value = t.Text
	}
	if value == "" {
		return "", false
	}
	if t.Type == "cstring" {
		value += "\x00"
	}
	return value, len(value) <= t.limit()
}

func (t *TLV) limit() int {
	if t.Max == 0 {
		return 64
	}
	return t.Max
}

// Profile is a route's parameters in order: those of tags, unless tlvs names the same tag, then tlvs.
func (r *Route) Profile() []TLV {
	var list []TLV
	for _, t := range []TLV{
		{Tag: r.Tags.Entity, Name: "entity", Value: "entity"}, {Tag: r.Tags.Template, Name: "template", Value: "template"},
		{Tag: r.Tags.Chain, Name: "chain", Value: "hash"},
	} {
		if t.Tag != 0 && !r.names(t.Tag) {
			list = append(list, t)
		}
	}
	return append(list, r.TLVs...)
}

func (r *Route) names(tag uint16) bool {
	for i := range r.TLVs {
		if r.TLVs[i].Tag == tag {
			return true
		}
	}
	return false
}

// profileProblem says what is wrong with tlvs.
func (r *Route) profileProblem() error {
	seen := map[uint16]bool{}
	for i := range r.TLVs {
		t := &r.TLVs[i]
		wrong := ""
		switch {
		case t.Tag == 0 || seen[t.Tag]:
			wrong = "its tag is missing or there twice"
		case t.Type != "" && t.Type != "octets" && t.Type != "cstring":
			wrong = "its type is not octets or cstring"
		case t.Max < 0 || t.Max > 255:
			wrong = "its max is not 0..255"
		case t.Value == "telemarketer" && t.Telemarketer == "", t.Value == "text" && t.Text == "":
			wrong = "it has nothing to hold"
		case t.Value != "entity" && t.Value != "template" && t.Value != "hash" && t.Value != "telemarketer" && t.Value != "text":
			wrong = "its value is not entity, template, hash, telemarketer or text"
		}
		if wrong != "" {
			return fmt.Errorf("route %q: tlv %#04x (%s): %s", r.Name, t.Tag, t.Name, wrong)
		}
		seen[t.Tag] = true
	}
	return nil
}
