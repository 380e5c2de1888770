// Package consent holds the rules of recipients' wishes: a ledger of consents, opt-outs and suppressions.
//
// A consent is known by who gave it, to which entity, for which purpose, by which channel and on what basis (and of one that
// is inferred, from which contract). Events are only added to it; what stands is folded from them:
//
//	          REQUESTED        GIVEN                    time passes
//	(none) ──────────────▶ requested ──▶ valid (REAFFIRMED stays) ──▶ expired
//	   │                      │             │
//	   │ GIVEN ─▶ valid       │ REFUSED     ├─ REVOKED ────────▶ revoked ── 90 days ──▶ may be requested again
//	   └ REVOKED ─▶ revoked   ▼             ├─ CONTRACT_ENDED ─▶ ended (of inferred ones)
//	                       refused          └─ INVALIDATED ────▶ invalidated (another holder of the number)
//
// A recipient may give consent at any time, after a revocation too; only asking is barred (TCCCPR 2018, Schedule I).
// Consent for a transaction lasts to the end of the seventh day, Indian Standard Time, that of the grant being the first.
// Inferred consent lasts as long as its contract and makes no promotion lawful.
//
// Each event has a receipt: a JSON document with the hash of the receipt before it, the same bytes for ever. Its hash stands
// in the ledger and in the audit log, so a receipt that somebody kept can be verified without us.
//
// Numbers stand nowhere: recipients are known by the keyed hash that messages carry.
package consent
