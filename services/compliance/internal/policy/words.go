package policy

import (
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"
)

// Word is one fact in words.
type Word struct{ Name, Value string }

// Words are facts in words, for people: every one but the findings on the text, texts that are empty and times that are not
// set. The names are those of the fields, as header.at_operator.
func (f *Facts) Words() (words []Word) {
	var walk func(v reflect.Value, path string)
	walk = func(v reflect.Value, path string) {
		for i := range v.NumField() {
			field, name := v.Field(i), path+snake(v.Type().Field(i).Name)
			value := field.Interface()
			switch at, isTime := value.(time.Time); {
			case isTime:
				if !at.IsZero() {
					words = append(words, Word{name, at.UTC().Format(time.RFC3339Nano)})
				}
			case field.Kind() == reflect.Struct:
				walk(field, name+".")
			case field.Kind() == reflect.Slice, field.Kind() == reflect.String && field.String() == "":
			default:
				words = append(words, Word{name, or(fmt.Sprint(value))})
			}
		}
	}
	walk(reflect.ValueOf(f).Elem(), "")
	return words
}

// or names what has no word of its own.
func or(value string) string {
	if value == "" {
		return "none"
	}
	return value
}

// snake writes AtOperator as at_operator.
func snake(name string) string {
	var out strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) {
			if i > 0 && !unicode.IsUpper(rune(name[i-1])) {
				out.WriteByte('_')
			}
			r = unicode.ToLower(r)
		}
		out.WriteRune(r)
	}
	return out.String()
}
