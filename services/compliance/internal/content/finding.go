package content

import "fmt"

// Kind is a type of personal or secret data.
type Kind uint8

// The kinds. Their numbers are not stored; their names are.
const (
	Aadhaar  Kind = iota // 12 digits of UIDAI, Verhoeff
	VID                  // 16 digits that stand for an Aadhaar, Verhoeff
	PAN                  // permanent account number, AAAAA9999A, fourth letter a type of holder
	Card                 // 13-19 digits, issuer range and Luhn (ISO/IEC 7812)
	Account              // bank account, 9-18 digits behind "a/c" or "account"; certain with an IFSC near it
	IFSC                 // branch code of RBI, AAAA0XXXXXX; public
	VPA                  // UPI address, name@handle
	GSTIN                // 15 characters with a PAN inside, check character modulo 36
	Passport             // letter and seven digits behind "passport"
	VoterID              // EPIC, three letters and seven digits, Luhn
	OTP                  // one-time password in a phrase
	CVV                  // card verification value in a phrase
	PIN                  // ATM, UPI or mobile PIN in a phrase
	Password             // password in a phrase
	Email                // e-mail address
	Phone                // Indian mobile number
	URLData              // any of the above, or a field such as mobile=, in the path or query of a link
	kinds
)

var kindNames = [kinds]string{"aadhaar", "vid", "pan", "card", "account", "ifsc", "vpa", "gstin", "passport", "voter_id",
	"otp", "cvv", "pin", "password", "email", "phone", "url_data"}

// String is the kind's name as API, policy and audit write it.
func (k Kind) String() string {
	if k < kinds {
		return kindNames[k]
	}
	return ""
}

// ParseKind reads a kind's name.
func ParseKind(s string) (Kind, error) {
	for k, name := range kindNames {
		if name == s {
			return Kind(k), nil
		}
	}
	return 0, fmt.Errorf("kind %q is none of %v", s, kindNames)
}

// Finding is a place in a text that holds sensitive data. It never has the value.
type Finding struct {
	Kind               Kind
	Certain            bool // more than a form and a check digit speak for it
	Start, End         int  // bytes of the text as given, half open
	RuneStart, RuneEnd int  // the same in code points
}
