// Package gsm counts what a text costs as short messages: the alphabet it needs, its units and its segments, by the GSM
// default alphabet with its extension table (3GPP TS 23.038 §6.2.1) and UCS-2, with a concatenation header of six octets
// (3GPP TS 23.040 §9.2.3.24.1). Who previews a text and who encodes it count by the same code.
//
// A character of two units (an escape pair, a surrogate pair) is never split between segments, which can cost a segment
// more than the quotient says: 153 times "€" is three segments.
package gsm
