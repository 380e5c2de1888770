package policy

import "math/bits"

// Warnings are doubts about a message that decide nothing: a set, so that they cost no memory.
type Warnings uint16

// The warnings.
const (
	WarnTemplateID Warnings = 1 << iota
	WarnSeries
	WarnHeaderCategoryUnknown
	WarnHeaderCategoryDiffers
	WarnTransactionTimeMissing
	WarnTransactionOld
	WarnOptOut
	WarnPreferenceUnchecked
	WarnComplaints
)

// warningCodes are in the order of the constants.
var warningCodes = [...]string{LooksLikeTemplateID, RecipientSeriesUnknown, HeaderCategoryUnknown, HeaderCategoryMismatch,
	TransactionTimeMissing, TransactionTooOld, OptOutMissing, PreferenceUnchecked, ComplaintsHigh}

// Codes are the canonical words of the warnings, in order.
func (w Warnings) Codes() []string {
	var codes []string
	for rest := w; rest != 0; rest &= rest - 1 {
		if i := bits.TrailingZeros16(uint16(rest)); i < len(warningCodes) {
			codes = append(codes, warningCodes[i])
		}
	}
	return codes
}

// Reasons are the warnings in the words of the catalogue.
func (w Warnings) Reasons() []Reason {
	var reasons []Reason
	for _, code := range w.Codes() {
		reasons = append(reasons, R(code))
	}
	return reasons
}
