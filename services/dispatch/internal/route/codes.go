package route

import (
	_ "embed"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// Class says what to do after a refusal.
type Class string

// The classes.
const (
	Throttle  Class = "throttle"  // slow down and submit again; not an attempt
	Temporary Class = "temporary" // submit again later, a few times
	Permanent Class = "permanent" // never submit again
	Defer     Class = "defer"     // the promotional band is closed: give it back until it opens
)

// Meaning is what a code says.
type Meaning struct {
	Reason string // canonical reason of the catalogue
	Class  Class
	Known  bool // false: nobody has mapped this code; it counts as permanent
}

// Unmapped is what an unknown code means.
const Unmapped = "OPERATOR_REFUSED"

// Table maps codes to meanings. A code is a command_status as `0x%02X` or an operator's own number as it writes it.
type Table struct {
	codes map[string]Meaning // of the named table
	basic map[string]Meaning // of the rows without a table; a named one goes before it
	class map[string]Class   // by reason
}

//go:embed codes.yaml
var codes []byte

// codeRow is a row of codes.yaml.
type codeRow struct {
	Table  string   `yaml:"table"`
	Reason string   `yaml:"reason"`
	Class  Class    `yaml:"class"`
	Codes  []string `yaml:"codes"`
}

// LoadTable reads the table of this name that is built in; empty for the one of most operators. It fails for a name that
// there is no table of.
func LoadTable(name string) (*Table, error) {
	var rows []codeRow
	if err := yaml.Unmarshal(codes, &rows); err != nil {
		return nil, fmt.Errorf("codes.yaml: %w", err)
	}
	t := &Table{codes: map[string]Meaning{}, basic: map[string]Meaning{}, class: map[string]Class{}}
	for _, row := range rows {
		t.class[row.Reason] = row.Class
		into := t.basic
		switch row.Table {
		case "":
		case name:
			into = t.codes
		default:
			continue
		}
		for _, code := range row.Codes {
			if _, twice := into[code]; twice {
				return nil, fmt.Errorf("codes.yaml: code %s stands twice", code)
			}
			into[code] = Meaning{Reason: row.Reason, Class: row.Class, Known: true}
		}
	}
	if name != "" && len(t.codes) == 0 {
		return nil, fmt.Errorf("there is no table of codes %q", name)
	}
	return t, nil
}

// Meaning answers what a code means.
func (t *Table) Meaning(code string) Meaning {
	if m, ok := t.codes[code]; ok {
		return m
	}
	if m, ok := t.basic[code]; ok {
		return m
	}
	return Meaning{Reason: Unmapped, Class: Permanent}
}

// ClassOf is the class of a canonical reason; Permanent where no table has it.
func (t *Table) ClassOf(reason string) Class {
	if class, ok := t.class[reason]; ok {
		return class
	}
	return Permanent
}

// StatusCode writes a command_status as the table knows it: small ones as `0x58`, those from 0x400 on, which operators
// define themselves (SMPP 3.4 5.1.3), in decimal, as their documents do.
func StatusCode(status uint32) string {
	if status < 0x190 {
		return fmt.Sprintf("0x%02X", status)
	}
	return fmt.Sprintf("%d", status)
}
