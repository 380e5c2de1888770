package policy

import (
	"bytes"
	_ "embed"
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Entry is one canonical reason of the catalogue; the words of its fields are explained in reasons.yaml.
type Entry struct {
	Reason   string
	Title    string
	Severity string   // refusal, hold, warning, failure
	Owner    string   // who can mend it: principal_entity, telemarketer, operator, subscriber, platform
	Retry    string   // never, after_change, later, deferred, once, whole
	Aliases  []string // other words for the reason
	Remedy   string   // one sentence: what is wrong and what mends it
	// Codes are what the tables of operators call the reason, by table, the likeliest first.
	Codes map[string][]string
	// BySuspension is the code by the kind of suspension, in the tables that tell kinds apart.
	BySuspension map[string]map[string]string `yaml:"by_suspension"`
}

//go:embed reasons.yaml
var reasonsFile []byte

// catalogue is reasons.yaml; a fault in it is found by any test.
var catalogue = func() (entries []Entry) {
	decoder := yaml.NewDecoder(bytes.NewReader(reasonsFile))
	decoder.KnownFields(true)
	if err := decoder.Decode(&entries); err != nil {
		panic(err) // part of the binary
	}
	return entries
}()

// entries are those of the catalogue by reason and alias, remedies what R says of a reason.
var entries, remedies = func() (map[string]*Entry, map[string]string) {
	by, remedy := map[string]*Entry{}, map[string]string{}
	for i := range catalogue {
		entry := &catalogue[i]
		by[entry.Reason], remedy[entry.Reason] = entry, entry.Remedy
		for _, alias := range entry.Aliases {
			by[alias] = entry
		}
	}
	return by, remedy
}()

// Catalogue answers every canonical reason a message can have. The answer is shared: it may not be changed.
func Catalogue() []Entry { return catalogue }

// Explain answers the entry of a canonical reason or of an alias such as NOT_MATCHED or 650; ok is false for other words.
// The entry is shared: it may not be changed.
func Explain(word string) (entry *Entry, ok bool) {
	entry, ok = entries[word]
	return entry, ok
}

// OperatorCode predicts what an operator with this table would refuse the message with; empty where the operator has no
// code for it, or would not refuse it.
func OperatorCode(table string, r Reason) string {
	entry, ok := entries[r.Code]
	if !ok || entry.Severity == "warning" {
		return ""
	}
	if code := entry.BySuspension[table][r.Metadata["suspension"]]; code != "" {
		return code
	}
	if codes := entry.Codes[table]; len(codes) > 0 {
		return codes[0]
	}
	return ""
}

// Code is what one table of operators' codes calls a reason.
type Code struct{ Table, Code string }

// OperatorCodes are the predictions of OperatorCode for every table that has one, by table.
func OperatorCodes(r Reason) (codes []Code) {
	entry, ok := entries[r.Code]
	if !ok {
		return nil
	}
	tables := slices.Collect(maps.Keys(entry.Codes))
	for table := range entry.BySuspension {
		tables = append(tables, table)
	}
	slices.Sort(tables)
	for _, table := range slices.Compact(tables) {
		if code := OperatorCode(table, r); code != "" {
			codes = append(codes, Code{table, code})
		}
	}
	return codes
}
