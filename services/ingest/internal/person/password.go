package person

import (
	_ "embed"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Bounds of a password, in characters. Nothing is asked about which characters (ASVS 5.0, 6.2.5), and no password grows
// old by itself (6.2.10).
const (
	minPassword = 12
	maxPassword = 128
)

// commonFile is a list of words that the passwords which are guessed first are made of, one a line.
//
//go:embed common.txt
var commonFile string

var common = func() map[string]bool {
	words := map[string]bool{}
	for word := range strings.FieldsSeq(commonFile) {
		words[word] = true
	}
	return words
}()

// leet are the letters that people write as digits and signs.
var leet = strings.NewReplacer("0", "o", "1", "i", "3", "e", "4", "a", "5", "s", "7", "t", "@", "a", "$", "s", "!", "i")

// CheckPassword refuses (Invalid) what is too short, too long, common or made of the address. A password counts as
// common when it is nothing but listed words, digits and signs: `Password@12345` is `password` to whoever guesses.
func CheckPassword(field, password, email string) error {
	password = norm.NFKC.String(password)
	n := utf8.RuneCountInString(password)
	if n < minPassword || n > maxPassword {
		return invalid(field, "OUT_OF_RANGE", "12 to 128 characters")
	}
	lower := strings.ToLower(password)
	local, _, _ := strings.Cut(email, "@")
	if email != "" && (strings.Contains(lower, email) || rest(lower, local) < minPassword/2) {
		return invalid(field, "PASSWORD_COMMON", "must not be the e-mail address, or its name with little more")
	}
	if isCommon(lower) || isCommon(leet.Replace(strings.TrimRightFunc(lower, notLetter))) || distinct(lower) < 5 || isRun(lower) {
		return invalid(field, "PASSWORD_COMMON", "is one of those that are tried first; choose another, best a sentence")
	}
	return nil
}

// rest is how much of s is left without part; all of it when part is too short to say anything.
func rest(s, part string) int {
	if len(part) < 3 {
		return utf8.RuneCountInString(s)
	}
	return utf8.RuneCountInString(strings.ReplaceAll(s, part, ""))
}

// isCommon tells whether s without digits and signs is a listed word, or one repeated, or two of them.
func isCommon(s string) bool {
	letters := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) {
			return r
		}
		return -1
	}, s)
	if letters == "" || common[letters] {
		return true
	}
	for i := 1; i < len(letters); i++ {
		if common[letters[:i]] && isCommonWords(letters[i:]) {
			return true
		}
	}
	return false
}

func isCommonWords(s string) bool {
	for s != "" && !common[s] {
		cut := -1
		for i := len(s) - 1; i > 0; i-- {
			if common[s[:i]] {
				cut = i
				break
			}
		}
		if cut < 0 {
			return false
		}
		s = s[cut:]
	}
	return true
}

func notLetter(r rune) bool { return !unicode.IsLetter(r) }

// distinct counts the different characters.
func distinct(s string) int {
	seen := map[rune]bool{}
	for _, r := range s {
		seen[r] = true
	}
	return len(seen)
}

// isRun tells whether s is a stretch of the alphabet or the digits, upwards or downwards.
func isRun(s string) bool {
	runes := []rune(s)
	up, down := true, true
	for i := 1; i < len(runes); i++ {
		up = up && runes[i] == runes[i-1]+1
		down = down && runes[i] == runes[i-1]-1
	}
	return up || down
}
