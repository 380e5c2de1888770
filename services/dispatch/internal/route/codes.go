package route

import (
	_ "embed"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// Class says what to do after a refusal (DLT rules 8.3).
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
	Reason string // canonical reason of the catalogue (DLT rules 9)
	Class  Class
	Known  bool // false: nobody has mapped this code; it counts as permanent
}

// Unmapped is what an unknown code means.
const Unmapped = "OPERATOR_REFUSED"

// Table maps codes to meanings. A code is a command_status as `0x%02X` or an operator's own number as it writes it.
type Table struct {
	codes map[string]Meaning
}

//go:embed codes.yaml
var codes []byte

// LoadTable reads the table that is built in.
func LoadTable() (*Table, error) {
	var rows []struct {
		Reason string   `yaml:"reason"`
		Class  Class    `yaml:"class"`
		Codes  []string `yaml:"codes"`
	}
	if err := yaml.Unmarshal(codes, &rows); err != nil {
		return nil, fmt.Errorf("codes.yaml: %w", err)
	}
	t := &Table{codes: map[string]Meaning{}}
	for _, row := range rows {
		for _, code := range row.Codes {
			if _, twice := t.codes[code]; twice {
				return nil, fmt.Errorf("codes.yaml: code %s stands twice", code)
			}
			t.codes[code] = Meaning{Reason: row.Reason, Class: row.Class, Known: true}
		}
	}
	return t, nil
}

// Meaning answers what a code means.
func (t *Table) Meaning(code string) Meaning {
	if m, ok := t.codes[code]; ok {
		return m
	}
	return Meaning{Reason: Unmapped, Class: Permanent}
}

// StatusCode writes a command_status as the table knows it: small ones as `0x58`, those from 0x400 on, which operators
// define themselves (SMPP 3.4 5.1.3), in decimal, as their documents do.
func StatusCode(status uint32) string {
	if status < 0x190 {
		return fmt.Sprintf("0x%02X", status)
	}
	return fmt.Sprintf("%d", status)
}
