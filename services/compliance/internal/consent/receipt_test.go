package consent_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/consent"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

func sealed(t *testing.T, previous [32]byte) consent.Event {
	t.Helper()
	e := consent.Event{ID: uuid.MustParse("01930000-0000-7000-8000-00000000000a"), Consent: uuid.MustParse("01930000-0000-7000-8000-00000000000b"),
		Key: consent.Key{Recipient: [16]byte{1, 2, 3}, Entity: theEntity, Purpose: "loans", Channel: "sms", Basis: consent.Explicit}, Kind: consent.Given,
		Grant: consent.Grant{Method: "dca", NoticeVersion: "v3", NoticeLanguage: "hi", EvidenceSHA256: strings.Repeat("ab", 32), Registrar: "DCA-1",
			Expires: time.Date(2027, 1, 1, 0, 0, 0, 0, ist)},
		Occur: time.Date(2026, 10, 1, 12, 0, 0, 123456789, ist), Record: time.Date(2026, 10, 1, 12, 0, 1, 0, ist), Actor: "key/k1", Source: "dca"}
	if err := e.Seal(uuid.MustParse("01930000-0000-7000-8000-000000000001"), "live", previous); err != nil {
		t.Fatal(err)
	}
	return e
}

// golden is the hash of the receipt above. It must never change: receipts that people kept would not verify any more.
const golden = "e17ef444474877cb0c8bb42ba200f63cd9ed1ff9f30c55071be5fbec469f9e28"

// TestRequirement30Receipt: an event's receipt has what a dispute needs (fields of ISO/IEC TS 27560), is the same bytes for
// ever, names the one before it, and verifies offline; a changed one does not.
func TestRequirement30Receipt(t *testing.T) {
	e := sealed(t, [32]byte{})
	if got := hex.EncodeToString(e.Hash[:]); got != golden {
		t.Errorf("the receipt's hash is %s: receipts that were given out do not verify any more\n%s", got, e.Receipt)
	}
	r, err := consent.Verify(e.Receipt, e.Hash)
	if err != nil {
		t.Fatal(err)
	}
	if r.Entity != theEntity || r.Purpose != "loans" || r.Channel != "sms" || r.Grant.Method != "dca" || r.Grant.NoticeVersion != "v3" ||
		r.Grant.NoticeLanguage != "hi" || r.Grant.EvidenceSHA256 == "" || r.Grant.Registrar != "DCA-1" || r.Occurred == "" || r.Expires == "" ||
		r.Recipient != "01020300000000000000000000000000" || r.Previous != "" {
		t.Errorf("%+v", r)
	}
	next := sealed(t, e.Hash)
	if r, err := consent.Verify(next.Receipt, next.Hash); err != nil || r.Previous != golden {
		t.Errorf("%+v %v", r, err)
	}
	forged := []byte(strings.Replace(string(e.Receipt), "loans", "anything", 1))
	if _, err := consent.Verify(forged, e.Hash); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a forged receipt: %v", err)
	}
	if _, err := consent.Verify([]byte("{}"), sha256.Sum256([]byte("{}"))); errs.KindOf(err) != errs.Invalid {
		t.Errorf("no receipt: %v", err)
	}
}

// TestScopes: how far an opt-out reaches, and until when.
func TestScopes(t *testing.T) {
	for scope, want := range map[consent.OptOut][3]bool{
		{Scope: consent.OfTenant}:                         {true, true, true},
		{Scope: consent.OfEntity, Object: theEntity}:      {true, true, false},
		{Scope: consent.OfHeader, Object: "ABCBNK"}:       {true, false, true},
		{Scope: consent.OfHeader, Object: "abcbnk"}:       {false, false, false},
		{Scope: consent.Scope("else"), Object: theEntity}: {false, false, false},
	} {
		got := [3]bool{scope.Covers(theEntity, "ABCBNK"), scope.Covers(theEntity, "512345"), scope.Covers("1701158019811140099", "ABCBNK")}
		if got != want {
			t.Errorf("%+v covers %v, want %v", scope, got, want)
		}
	}
	since := time.Date(2026, 10, 1, 12, 0, 0, 0, ist)
	o := consent.OptOut{Since: since, Lifted: since.Add(time.Hour)}
	if o.At(since.Add(-1)) || !o.At(since) || !o.At(since.Add(time.Hour-1)) || o.At(since.Add(time.Hour)) {
		t.Error("in force from its time until it is lifted")
	}
}
