package template

import (
	"slices"
	"strings"
)

// Value is one value for a variable.
type Value struct {
	Name string // empty when values go by position
	Text string
}

// Render fills the template: values by position when none is named, by name when all are. The result goes the way of
// a text sent whole: it must match, so that both modes give the same verdict. ok is false when a value is missing, too
// many, unknown or given twice; found then says how many there should be.
func (t *Template) Render(values []Value) (text string, found Finding, ok bool) {
	n := t.header().variables()
	ordered := make([]string, n)
	if len(values) != n || !t.order(values, ordered) {
		return "", Finding{Code: VariableCount, Length: len(values), Max: n}, false
	}
	var b strings.Builder
	next := 0
	for _, code := range t.code[1:] {
		if e := element(code); e.fixed() {
			b.WriteString(e.of(t.body))
			continue
		}
		b.WriteString(ordered[next])
		next++
	}
	return b.String(), Finding{}, true
}

// order puts the values into the variables' order.
func (t *Template) order(values []Value, ordered []string) bool {
	if len(values) == 0 || values[0].Name == "" {
		for i, v := range values {
			if v.Name != "" {
				return false
			}
			ordered[i] = v.Text
		}
		return true
	}
	names, given := t.Names(), make([]bool, len(ordered))
	for _, v := range values {
		i := slices.Index(names, v.Name)
		if i < 0 || given[i] {
			return false
		}
		given[i], ordered[i] = true, v.Text
	}
	return true
}
