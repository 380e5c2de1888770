package consent

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// ReceiptVersion names the shape of receipts; a new one gets a new name.
const ReceiptVersion = "onlinesms-consent-receipt-1"

// Receipt is the document of an event, in the words of ISO/IEC TS 27560:2023. The order of the fields is that of the bytes.
type Receipt struct {
	Version      string `json:"schema_version"`
	ReceiptID    string `json:"receipt_id"`
	RecordID     string `json:"record_id"`
	Tenant       string `json:"controller_id"`
	Environment  string `json:"environment"`
	Recipient    string `json:"pii_principal_id"` // the keyed hash of the number
	Entity       string `json:"principal_entity_id"`
	Purpose      string `json:"purpose"`
	Channel      string `json:"channel"`
	Basis        Basis  `json:"basis"`
	Contract     string `json:"contract,omitempty"`
	Kind         Kind   `json:"event_type"`
	Grant        *Grant `json:"consent,omitempty"`
	Expires      string `json:"valid_until,omitempty"`
	Occurred     string `json:"event_time"`
	Recorded     string `json:"record_time"`
	Actor        string `json:"recorded_by"`
	Source       string `json:"source,omitempty"`
	Withdrawal   string `json:"withdrawal_method"`
	Jurisdiction string `json:"jurisdiction"`
	Previous     string `json:"previous_receipt_sha256,omitempty"`
}

// Seal makes the receipt of an event that follows one with the hash previous (zero for the first), and sets it.
func (e *Event) Seal(tenant uuid.UUID, env string, previous [32]byte) error {
	// Times are kept to the microsecond by the ledger; a receipt must not know more.
	e.Occur, e.Record = e.Occur.UTC().Truncate(time.Microsecond), e.Record.UTC().Truncate(time.Microsecond)
	r := Receipt{Version: ReceiptVersion, ReceiptID: e.ID.String(), RecordID: e.Consent.String(), Tenant: tenant.String(), Environment: env,
		Recipient: hex.EncodeToString(e.Key.Recipient[:]), Entity: e.Key.Entity, Purpose: e.Key.Purpose, Channel: e.Key.Channel,
		Basis: e.Key.Basis, Contract: e.Key.Contract, Kind: e.Kind, Occurred: e.Occur.Format(time.RFC3339Nano),
		Recorded: e.Record.Format(time.RFC3339Nano), Actor: e.Actor, Source: e.Source,
		Withdrawal: "POST /v1/consents:revoke, POST /v1/opt-outs", Jurisdiction: "IN"}
	if e.Kind == Given || e.Kind == Reaffirmed || e.Kind == Requested {
		r.Grant = &e.Grant
		if !e.Grant.Expires.IsZero() {
			e.Grant.Expires = e.Grant.Expires.UTC().Truncate(time.Microsecond)
			r.Expires = e.Grant.Expires.Format(time.RFC3339Nano)
		}
	}
	if previous != ([32]byte{}) {
		r.Previous = hex.EncodeToString(previous[:])
	}
	document, err := json.Marshal(&r)
	e.Receipt, e.Hash = document, sha256.Sum256(document)
	return err
}

// Verify reads a receipt that somebody kept: its bytes must have the hash, and be a receipt. errs.Invalid else.
func Verify(document []byte, hash [32]byte) (r Receipt, err error) {
	if sha256.Sum256(document) != hash {
		return r, errs.E(errs.Invalid, "RECEIPT_DIFFERS", "The document is not the one that was hashed.", nil)
	}
	if json.Unmarshal(document, &r) != nil || r.Version != ReceiptVersion {
		return r, errs.E(errs.Invalid, "RECEIPT_UNKNOWN", "The document is no consent receipt of a known version.", nil)
	}
	return r, nil
}
