package verification

import (
	"strings"

	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// Outcome is what a number of the sandbox does, whatever happens.
type Outcome uint8

// Outcomes by the last two digits of +91 xx 999555 NN, in env test only. Every such number has the code 0000…, as long
// as was asked for. The simulated operator has outcomes of its own for 00 to 17 (smsc in dispatch): the message fails,
// the code can still be checked.
const (
	OutcomeNone     Outcome = iota // an ordinary number
	OutcomeFixed                   // the fixed code is right
	OutcomeWrong                   // 90: every code is wrong
	OutcomeExpired                 // 91: the code has expired when it is sent
	OutcomeLimited                 // 92: Start is refused with OTP_NUMBER_LIMIT
	OutcomeSuspects                // 93: Start is refused with OTP_PUMPING_SUSPECTED
)

// sandboxSeries stands before the last two digits; the simulated operator uses the same.
const sandboxSeries = "999555"

// outcomeOf tells what number (E.164) does in env.
func outcomeOf(env, number string) Outcome {
	last := len(number) - 2
	if env != principal.Test || last < 0 || !strings.HasSuffix(number[:last], sandboxSeries) {
		return OutcomeNone
	}
	switch number[last:] {
	case "90":
		return OutcomeWrong
	case "91":
		return OutcomeExpired
	case "92":
		return OutcomeLimited
	case "93":
		return OutcomeSuspects
	}
	return OutcomeFixed
}

// fixedCode is the code of sandbox numbers.
func fixedCode(length int) string { return strings.Repeat("0", length) }
