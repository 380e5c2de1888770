package template

import "strings"

// Value is one value for a variable.
type Value struct {
	Name string // empty when values go by position
	Text string
}

// Render fills the template: values by position when none is named, by name when all are. The result goes the way of
// a text sent whole: it must match, so that both modes give the same verdict. ok is false when a value is missing, too
// many, unknown or given twice; found then says how many there should be.
func (t *Template) Render(values []Value) (text string, found Finding, ok bool) {
	ordered := make([]string, t.variables)
	if len(values) != t.variables || !t.order(values, ordered) {
		return "", Finding{Code: VariableCount, Length: len(values), Max: t.variables}, false
	}
	var b strings.Builder
	next := 0
	for i := range t.elements {
		if t.elements[i].kind == Literal {
			b.WriteString(t.elements[i].literal)
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
	given := make([]bool, t.variables)
	for _, v := range values {
		i := t.index(v.Name)
		if i < 0 || given[i] {
			return false
		}
		given[i], ordered[i] = true, v.Text
	}
	return true
}

func (t *Template) index(name string) int {
	for i, n := range t.names {
		if n == name {
			return i
		}
	}
	return -1
}
