package message

import "github.com/onlinesms/onlinesms/services/internal/msisdn"

// NormalizeNumber gives the E.164 form of an Indian mobile number, as written in any form msisdn.Parse reads; ok is false
// for everything else.
func NormalizeNumber(s string) (e164 string, ok bool) { return msisdn.E164(s) }

// MaskNumber hides the middle of an E.164 number: +9198XXXXXX10. Anything else is hidden whole.
func MaskNumber(e164 string) string { return msisdn.Mask(e164) }
