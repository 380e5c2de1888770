package content_test

import "regexp"

var ten = []*regexp.Regexp{
	regexp.MustCompile(`\b[2-9][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}(?:[ -]?[0-9]{4})?\b`),
	regexp.MustCompile(`(?i)\b[A-Z]{3}[ABCFGHJKLPT][A-Z][0-9]{4}[A-Z]\b`),
	regexp.MustCompile(`\b(?:[0-9][ -]?){12,18}[0-9]\b`),
	regexp.MustCompile(`(?i)\b(?:a/c|ac|acc|acct|account)\b[^0-9]{0,32}\b[0-9]{9,18}\b`),
	regexp.MustCompile(`(?i)\b[A-Z]{4}0[A-Z0-9]{6}\b`),
	regexp.MustCompile(`\b[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{2,64}\b`),
	regexp.MustCompile(`(?i)\b[0-9]{2}[A-Z]{5}[0-9]{4}[A-Z][1-9A-Z]Z[0-9A-Z]\b|\b[A-Z][1-9][0-9]{5}[1-9]\b|\b[A-Z]{3}[0-9]{7}\b`),
	regexp.MustCompile(`(?i)\b(?:otp|cvv2?|cvc|pin|mpin|password|passwd|pwd|passcode|code)\b[ :=-]*(?:(?:is|no|number|hai)[ :=-]*)*\S+`),
	regexp.MustCompile(`(?:\+?91[ -]?|\b0?)[6-9][0-9]{4}[ -]?[0-9]{5}\b`),
	regexp.MustCompile(`(?i)(?:https?://|www\.)\S*(?:\b(?:phone|mobile|email|name|dob|pan|aadhaar|acc)=|[6-9][0-9]{9}|@)\S*`),
}

func tenRegexps(text string) (n int) {
	for _, r := range ten {
		n += len(r.FindAllStringIndex(text, -1))
	}
	return n
}
