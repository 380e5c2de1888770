// Package encoding turns text into the user data of short messages and back:
// GSM 03.38 default alphabet with its extension table (3GPP TS 23.038 §6.2.1),
// else UCS-2, cut into segments with a concatenation header (3GPP TS 23.040
// §9.2.3.24.1).
//
// GSM text is written one septet an octet, unpacked, as SMPP data_coding 0
// expects; the SMSC packs it. Neither an escape pair nor a surrogate pair is
// ever split between segments, which can cost a segment more than the quotient
// says: 153 times "€" is three segments. What package gsm predicts is what
// [Encode] makes.
//
// The text is taken as it is: normalising to NFC is the business of who accepts
// it.
package encoding
