package inbound

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"
	"unicode"

	"go.yaml.in/yaml/v3"
	"golang.org/x/text/unicode/norm"
)

// Action is what a keyword asks for; empty for nothing.
type Action string

// The actions. None takes its meaning from a built-in word, for one tenant.
const (
	Stop  Action = "STOP"
	Start Action = "START"
	Help  Action = "HELP"
	None  Action = "NONE"
)

// Wish tells whether the action is a recipient's wish to get no more, or to get some again.
func (a Action) Wish() bool { return a == Stop || a == Start }

// Bounds of a tenant's own words.
const (
	MaxKeywords    = 200
	maxKeyword     = 40 // characters
	maxKeywordWord = 5
)

// Keyword is a word and what it asks for.
type Keyword struct {
	Word     string `yaml:"-"` // as Normal gives it
	Action   Action `yaml:"action"`
	Language string `yaml:"language"` // BCP 47; empty for a tenant's own
}

//go:embed keywords.yaml
var keywordsFile []byte

// BuiltIn are the words that stand for every tenant, in the file's order.
var BuiltIn = sync.OnceValue(func() []Keyword {
	var rows []struct {
		Keyword `yaml:",inline"`
		Words   []string `yaml:"words"`
	}
	if err := yaml.Unmarshal(keywordsFile, &rows); err != nil {
		panic(fmt.Sprintf("keywords.yaml: %v", err)) // built in, and read by every test
	}
	var list []Keyword
	for _, row := range rows {
		for _, word := range row.Words {
			list = append(list, Keyword{Normal(word), row.Action, row.Language})
		}
	}
	return list
})

var builtIn = sync.OnceValue(func() map[string]Action {
	words := map[string]Action{}
	for _, k := range BuiltIn() {
		words[k.Word] = k.Action
	}
	return words
})

// Normal is the form texts are compared with keywords in: NFC, upper case, without punctuation around words, one blank
// between them. Marks and joiners inside a word stay: they are letters of the Indian scripts.
func Normal(text string) string {
	words := strings.FieldsFunc(strings.ToUpper(norm.NFC.String(text)), func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r)
	})
	kept := words[:0]
	for _, w := range words {
		w = strings.TrimFunc(w, func(r rune) bool { return unicode.IsPunct(r) || unicode.IsSymbol(r) || unicode.Is(unicode.Cf, r) })
		if w != "" {
			kept = append(kept, w)
		}
	}
	return strings.Join(kept, " ")
}

// Match finds the keyword of a text, among a tenant's own and then the built-in ones: the whole text, or the first of two
// words, as in `STOP ABCBNK`. A sentence that begins with one is no wish: `Stop by the shop tomorrow`.
func Match(own map[string]Action, text string) (word string, action Action) {
	whole := Normal(text)
	candidates := [2]string{whole}
	if first, rest, two := strings.Cut(whole, " "); two && !strings.Contains(rest, " ") {
		candidates[1] = first
	}
	for _, word := range candidates {
		if word == "" {
			continue
		}
		action, ok := own[word]
		if !ok {
			action, ok = builtIn()[word]
		}
		switch {
		case !ok:
			continue
		case action == None:
			return "", ""
		}
		return word, action
	}
	return "", ""
}

// NewKeyword checks a tenant's own word. The error says what is wrong with it.
func NewKeyword(word string, action Action) (Keyword, error) {
	k := Keyword{Word: Normal(word), Action: action}
	switch {
	case k.Word == "":
		return k, fmt.Errorf("has no letter or digit")
	case len([]rune(k.Word)) > maxKeyword || strings.Count(k.Word, " ") >= maxKeywordWord:
		return k, fmt.Errorf("has more than %d characters or %d words", maxKeyword, maxKeywordWord)
	case !action.Wish() && action != Help && action != None:
		return k, fmt.Errorf("its action is not STOP, START, HELP or NONE")
	case k.Word == string(Stop) && action != Stop:
		return k, fmt.Errorf("STOP always stops") // whoever sends promotion must take the recipient's no (TCCCPR 2018)
	}
	return k, nil
}
