// Package smsc is an SMSC as Indian operators run it, for sandbox, tests and
// benchmarks: it stands for the operator, so it shows what it was sent.
//
// It demands the three DLT parameters on every segment (0x1400 entity and 0x1401
// template of 19 digits, 0x1402 chain hash of 64 lowercase hex characters):
// absent is refused with 0xC3, malformed with 0xC4. Each accepted segment gets a
// message id and a receipt (Appendix B text in IST and parameters), sent after a
// delay to any receiver or transceiver of the same system_id, in turn, and again
// until it is acknowledged. Receipts wait in memory while nobody is bound.
//
// # Sandbox numbers
//
// A rule ([Rule]) gives destinations with a suffix another outcome. These are
// built in (country code and two digits before them are free), long enough not
// to be met by chance:
//
//	…99955500  DELIVRD err 000, as every other number
//	…99955501  UNDELIV err 001 (absent subscriber)
//	…99955502  EXPIRED err 002
//	…99955503  REJECTD err 003
//	…99955504  DELIVRD after 30 s
//	…99955505  receipt before the response
//	…99955506  no response, but a receipt
//	…99955507  neither response nor receipt
//	…99955508  throttled (0x58) at the first three attempts, then delivered
//	…99955509  operator down: refused with 0x08
//	…99955510  REJECTD err 633 (template not matched)
//	…99955511  DELIVRD, the receipt twice
//	…99955512  UNDELIV err 650 (preference)
//	…99955513  refused with 0x0B (invalid destination)
//	…99955514  accepted, never a receipt
//	…99955515  EXPIRED, one second later DELIVRD
//	…99955516  second segment of a long message refused with 0x45
//	…99955517  DELIVRD, then the handset sends STOP to the header
//	…99955518  DELIVRD, then the handset sends बंद करें to the header
//	…99955519  REJECTD err 9999 (a code that no table has)
//
// # Structure
//
// One mutex guards all state; a connection takes it once for everything that one
// read brought. One goroutine serves all delays from a queue ordered by time, so
// neither a message nor a receipt costs a timer or a goroutine.
package smsc
