package template

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Fix is the likely mistake behind a difference.
type Fix string

// The mistakes that are told apart.
const (
	FixCase             Fix = "case"
	FixQuote            Fix = "look_alike_quote"
	FixDash             Fix = "look_alike_dash"
	FixSpace            Fix = "look_alike_space"
	FixLetter           Fix = "look_alike_letter"
	FixFullStopMissing  Fix = "full_stop_missing"
	FixFullStopTooMany  Fix = "full_stop_too_many"
	FixFullStopOther    Fix = "full_stop_other"
	FixSpaceMissing     Fix = "space_missing"
	FixDoubleSpace      Fix = "double_space"
	FixLeadingSpace     Fix = "leading_space"
	FixTrailingSpace    Fix = "trailing_space"
	FixLineBreak        Fix = "line_break"
	FixCharacterMissing Fix = "character_missing"
	FixCharacterTooMany Fix = "character_too_many"
	FixTextMissing      Fix = "text_missing"
	FixTextTooMany      Fix = "text_too_many"
	FixVariableTooLong  Fix = "variable_too_long"
	FixVariableEmpty    Fix = "variable_empty"
	FixVariableType     Fix = "variable_type"
)

// remedies say what to do, in one sentence each.
var remedies = map[Fix]string{
	FixCase:             "Write the letter as the template does, in capitals or small.",
	FixQuote:            "Use the same quotation mark or apostrophe as the template; word processors replace the straight ones.",
	FixDash:             "Use the same hyphen or dash as the template.",
	FixSpace:            "Use an ordinary space.",
	FixLetter:           "The letter looks like the template's but is of another script; type it anew.",
	FixFullStopMissing:  "Put the full stop where the template has it.",
	FixFullStopTooMany:  "Remove the full stop that the template does not have.",
	FixFullStopOther:    "End the sentence with the same sign as the template.",
	FixSpaceMissing:     "Put the space where the template has it.",
	FixDoubleSpace:      "Remove the second space.",
	FixLeadingSpace:     "Remove the space at the beginning.",
	FixTrailingSpace:    "Remove the space at the end.",
	FixLineBreak:        "Break the line exactly where the template does.",
	FixCharacterMissing: "Put the character where the template has it.",
	FixCharacterTooMany: "Remove the character that the template does not have.",
	FixTextMissing:      "The text ends too early; complete it as the template does.",
	FixTextTooMany:      "Remove what stands after the end of the template.",
	FixVariableTooLong:  "Shorten the value.",
	FixVariableEmpty:    "Give the variable at least one character.",
	FixVariableType:     "Give a value of the variable's type.",
}

// Remedy says in a sentence what mends the mistake.
func (f Fix) Remedy() string { return remedies[f] }

// mismatch is a place where a text and a fixed part go apart.
type mismatch struct {
	text string
	at   int
	rest string // of the fixed part; empty where the text should end
}

// resumes is how much must agree after a character is put in, left out or replaced before that is called likely: so
// many bytes, or all there are.
const resumes = 4

// likely guesses the mistake.
func (d *mismatch) likely() Fix {
	here := d.text[d.at:]
	switch {
	case here == "":
		return FixTextMissing
	case d.rest == "":
		return d.appended(here)
	}
	got, gotSize := utf8.DecodeRuneInString(here)
	want, wantSize := utf8.DecodeRuneInString(d.rest)
	if fix := replaced(got, want); fix != "" {
		return fix
	}
	switch {
	case goesOn(here, d.rest[wantSize:]):
		return missing(want)
	case goesOn(here[gotSize:], d.rest):
		return d.extra(got)
	default:
		return ""
	}
}

// goesOn tells whether text continues as the fixed part does.
func goesOn(text, rest string) bool {
	n := agreement(text, rest)
	return n > 0 && (n >= resumes || n == len(rest))
}

// appended judges what stands after the end.
func (d *mismatch) appended(here string) Fix {
	switch {
	case strings.TrimSpace(here) == "":
		return FixTrailingSpace
	case here == ".":
		return FixFullStopTooMany
	default:
		return FixTextTooMany
	}
}

func missing(want rune) Fix {
	switch {
	case stops(want):
		return FixFullStopMissing
	case want == ' ':
		return FixSpaceMissing
	case want == '\n':
		return FixLineBreak
	default:
		return FixCharacterMissing
	}
}

func (d *mismatch) extra(got rune) Fix {
	switch {
	case got == ' ' && d.at == 0:
		return FixLeadingSpace
	case got == ' ':
		return FixDoubleSpace
	case got == '\n':
		return FixLineBreak
	case stops(got):
		return FixFullStopTooMany
	default:
		return FixCharacterTooMany
	}
}

// alikeSet are characters that are confused, and how that is called.
type alikeSet struct {
	fix Fix
	set string
}

// alike are characters that are taken for one another.
var alike = []alikeSet{
	{FixQuote, "'\"`\u00b4\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u2032\u2033\u00ab\u00bb\u02bc"},
	{FixDash, "-\u00ad\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2043\ufe58\uff0d"},
	{FixSpace, " \u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000\t"},
	{FixFullStopOther, ".\u0964\u0965\u3002\uff0e\uff61\u06d4"},
	{FixLineBreak, " \n"},
}

// letterPairs are Cyrillic and Greek letters that look like Latin ones, and those.
const letterPairs = "аaеeоoрpсcхxуyіiјjѕsԁdһhАAВBЕEКKМMНHОOРPСCТTХXІIЈJЅSΑAΒBΕEΖZΗHΙIΚKΜMΝNΟOΡPΤTΥYΧXοo"

// replaced names the confusion of one character with another.
func replaced(got, want rune) Fix {
	if unicode.ToLower(got) == unicode.ToLower(want) {
		return FixCase
	}
	for _, a := range alike {
		if strings.ContainsRune(a.set, got) && strings.ContainsRune(a.set, want) {
			return a.fix
		}
	}
	if lookAlike(got, want) || lookAlike(want, got) {
		return FixLetter
	}
	return ""
}

// lookAlike tells whether foreign looks like latin.
func lookAlike(foreign, latin rune) bool {
	if foreign < utf8.RuneSelf || latin >= utf8.RuneSelf {
		return false
	}
	return strings.Contains(letterPairs, string([]rune{foreign, latin}))
}

// stops tells whether r ends a sentence.
func stops(r rune) bool { return r == '.' || r == '\u0964' }
