package smsc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/smpp"
)

// Knobs is the simulator's behaviour, changeable while it runs. Rates are
// probabilities, 0..1; times are milliseconds.
type Knobs struct {
	RequireTLVs          bool        `json:"require_tlvs"`           // refuse without the DLT parameters; default true
	ThrottleTPS          int         `json:"throttle_tps"`           // 0x58 beyond, per system_id; 0: no limit
	SubmitWindow         int         `json:"submit_window"`          // 0x14 beyond, unanswered submits of a bind; default 1000
	ErrorRate            float64     `json:"error_rate"`             // refused with error_status
	ErrorStatus          smpp.Status `json:"error_status"`           // default 8, system error
	ResponseDelayMS      int         `json:"response_delay_ms"`      // before submit_sm_resp
	LoseResponseRate     float64     `json:"lose_response_rate"`     // accepted, never answered
	ReceiptDelayMS       int         `json:"receipt_delay_ms"`       // before the receipt; default 20
	ReceiptFirstRate     float64     `json:"receipt_first_rate"`     // receipt before the response
	DuplicateReceiptRate float64     `json:"duplicate_receipt_rate"` // receipt sent twice
	LoseReceiptRate      float64     `json:"lose_receipt_rate"`      // receipt never sent
	ReceiptText          bool        `json:"receipt_text"`           // first 20 octets of the message in the receipt
	ReceiptTLVs          bool        `json:"receipt_tlvs"`           // parameters on the receipt; default true
	ResponseID           Notation    `json:"response_id"`            // of the id in submit_sm_resp; default decimal
	ReceiptID            Notation    `json:"receipt_id"`             // of the id in the receipt; default decimal
	DeliverWindow        int         `json:"deliver_window"`         // unanswered deliver_sm of a bind; default 1000
	AckTimeoutMS         int         `json:"ack_timeout_ms"`         // a deliver_sm without answer is sent again after; default 30000
	RetryDelayMS         int         `json:"retry_delay_ms"`         // a refused deliver_sm is sent again after; default 1000
	RefuseBinds          smpp.Status `json:"refuse_binds"`           // answer every bind with it; 0: check system_id and password
	Mute                 bool        `json:"mute"`                   // read, but do nothing and answer nothing: a half-open peer
	Rules                []Rule      `json:"rules"`                  // the longest suffix that fits decides
}

// DefaultKnobs returns a well-behaved operator with the sandbox numbers.
func DefaultKnobs() Knobs {
	return Knobs{
		RequireTLVs: true, SubmitWindow: 1000, ErrorStatus: smpp.StatusSysErr,
		ReceiptDelayMS: 20, ReceiptTLVs: true, ResponseID: Decimal, ReceiptID: Decimal,
		DeliverWindow: 1000, AckTimeoutMS: 30_000, RetryDelayMS: 1000,
		Rules: SandboxRules(),
	}
}

// Merge returns the knobs with those a JSON object names changed; rules are
// replaced as a whole. Unknown names and impossible values are errors.
func (k Knobs) Merge(object []byte) (Knobs, error) {
	rules := k.Rules
	k.Rules = nil // decoding into used elements would leave old fields behind
	decoder := json.NewDecoder(bytes.NewReader(object))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&k); err != nil {
		return Knobs{}, err
	}
	if k.Rules == nil {
		k.Rules = rules
	}
	return k, k.validate()
}

func (k *Knobs) validate() error {
	for _, rate := range []float64{
		k.ErrorRate, k.LoseResponseRate, k.ReceiptFirstRate, k.DuplicateReceiptRate, k.LoseReceiptRate,
	} {
		if rate < 0 || rate > 1 {
			return fmt.Errorf("rate %v outside 0..1", rate)
		}
	}
	counts := []int{k.ThrottleTPS, k.SubmitWindow, k.ResponseDelayMS, k.ReceiptDelayMS, k.AckTimeoutMS, k.RetryDelayMS}
	if slices.Min(counts) < 0 || k.DeliverWindow < 1 {
		return fmt.Errorf("a count or time is negative, or deliver_window is zero")
	}
	if !k.ResponseID.valid() || !k.ReceiptID.valid() {
		return fmt.Errorf("id notation is none of decimal, hex, hex_upper, padded")
	}
	for i := range k.Rules {
		if err := k.Rules[i].validate(); err != nil {
			return err
		}
	}
	return nil
}

// Notation is how a message id is written.
type Notation string

// The notations operators are known to mix.
const (
	Decimal  Notation = "decimal"
	Hex      Notation = "hex"       // lower case
	HexUpper Notation = "hex_upper" // upper case
	Padded   Notation = "padded"    // decimal, zeros in front up to 20 digits
)

func (n Notation) valid() bool {
	return slices.Contains([]Notation{Decimal, Hex, HexUpper, Padded}, n)
}

// Append writes an id.
func (n Notation) Append(dst []byte, id uint64) []byte {
	switch n {
	case Hex:
		return strconv.AppendUint(dst, id, 16)
	case HexUpper:
		return fmt.Appendf(dst, "%X", id)
	case Padded:
		return fmt.Appendf(dst, "%020d", id)
	}
	return strconv.AppendUint(dst, id, 10)
}
