package smpp

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// IST is the zone Indian operators write receipt dates in, without saying so.
var IST = time.FixedZone("IST", 5*60*60+30*60)

// MessageState is the value of message_state (SMPP 3.4 §5.2.28).
type MessageState byte

// The states of §5.2.28. Zero means that the receipt names none we know.
const (
	StateNone          MessageState = 0
	StateEnroute       MessageState = 1
	StateDelivered     MessageState = 2
	StateExpired       MessageState = 3
	StateDeleted       MessageState = 4
	StateUndeliverable MessageState = 5
	StateAccepted      MessageState = 6
	StateUnknown       MessageState = 7
	StateRejected      MessageState = 8
)

// stateWords are the abbreviations of Appendix B, in order of the states.
var stateWords = [...]string{"", "ENROUTE", "DELIVRD", "EXPIRED", "DELETED", "UNDELIV", "ACCEPTD", "UNKNOWN", "REJECTD"}

// String returns the seven letters of Appendix B; empty for StateNone.
func (s MessageState) String() string {
	if int(s) >= len(stateWords) {
		return fmt.Sprintf("state %d", byte(s))
	}
	return stateWords[s]
}

// Final reports whether no other state follows.
func (s MessageState) Final() bool {
	return s >= StateExpired && s <= StateUndeliverable || s == StateDelivered || s == StateRejected
}

// parseState reads a stat word: the seven letters, or the word in full as some
// SMSCs write it, in any case.
func parseState(word string) MessageState {
	for state, short := range stateWords[1:] {
		stem := short[:5] // DELIV, EXPIR, DELET, UNDEL, ACCEP, UNKNO, REJEC, ENROU
		if len(word) >= len(stem) && strings.EqualFold(word[:len(stem)], stem) {
			return MessageState(state + 1)
		}
	}
	return StateNone
}

// NetworkError is network_error_code (§5.3.2.31).
type NetworkError struct {
	Type byte // 1 ANSI-136, 2 IS-95, 3 GSM; 0: the receipt has none
	Code uint16
}

// Receipt is an SMSC delivery receipt (Appendix B). Fields the operator left
// out are zero.
type Receipt struct {
	ID         string       // as the operator wrote it: notation is the route's matter
	Sub, Dlvrd string       // digits as written
	Submitted  time.Time    // zero if absent or unreadable
	Done       time.Time    // zero if absent or unreadable
	Stat       string       // the word as written
	State      MessageState // message_state, else from Stat
	Err        string       // operator's code as written, such as "000" or "633"
	Text       string       // beginning of the message: personal, keep out of logs
	Network    NetworkError
}

// IsReceipt reports whether esm_class marks an SMSC delivery receipt: message
// type bits 5-2 equal to 0001 (§5.2.12). Any other type is not one, whatever
// the text looks like.
func IsReceipt(esmClass byte) bool { return esmClass&ESMClassTypeMask == ESMClassReceipt }

// ParseReceipt reads a delivery receipt. The text of Appendix B is read
// tolerantly: keys in any case and order, fields missing, dates with or without
// seconds and century, read in loc. receipted_message_id and message_state win
// over the text. Errors are ErrNotReceipt and ErrReceiptID; with the latter the
// Receipt holds what could be read.
func ParseReceipt(m *DeliverSM, loc *time.Location) (Receipt, error) {
	if !IsReceipt(m.ESMClass) {
		return Receipt{}, ErrNotReceipt
	}
	r := parseReceiptText(receiptText(m), loc)
	if id, ok := m.TLVs.Get(TagReceiptedMessageID); ok {
		if id := string(bytes.TrimRight(id, "\x00")); id != "" {
			r.ID = id
		}
	}
	if state, ok := m.TLVs.Get(TagMessageState); ok && len(state) == 1 && state[0] != 0 {
		r.State = MessageState(state[0])
	}
	if code, ok := m.TLVs.Get(TagNetworkErrorCode); ok && len(code) == 3 {
		r.Network = NetworkError{Type: code[0], Code: uint16(code[1])<<8 | uint16(code[2])}
	}
	if r.ID == "" {
		return r, ErrReceiptID
	}
	return r, nil
}

// receiptText returns the receipt's text. Some SMSCs write it in UCS-2; all keys
// and values but the last are ASCII, so the high octets may go.
func receiptText(m *DeliverSM) string {
	b := m.Payload()
	if m.DataCoding != DataCodingUCS2 || len(b)%2 != 0 {
		return string(b)
	}
	text := make([]byte, 0, len(b)/2)
	for i := 1; i < len(b); i += 2 {
		text = append(text, b[i])
	}
	return string(text)
}

// receiptKeys are the fields of Appendix B, the longest first where one begins
// another.
var receiptKeys = [...]string{"submit date:", "done date:", "id:", "sub:", "dlvrd:", "stat:", "err:", "text:"}

// cutKey splits off the key that s begins with, in any case.
func cutKey(s string) (key, rest string, ok bool) {
	for _, key := range receiptKeys {
		if len(s) >= len(key) && s[0]|0x20 == key[0] && strings.EqualFold(s[:len(key)], key) {
			return key, s[len(key):], true
		}
	}
	return "", s, false
}

// parseReceiptText walks the text word by word; whatever is no key is skipped.
// text takes the rest, for it may hold anything, even keys.
func parseReceiptText(s string, loc *time.Location) Receipt {
	var r Receipt
	for s = strings.TrimLeft(s, " \r\n\t"); s != ""; s = strings.TrimLeft(s, " \r\n\t") {
		key, rest, ok := cutKey(s)
		if key == "text:" {
			r.Text = rest
			return r
		}
		n := strings.IndexAny(rest, " \r\n\t")
		if n < 0 {
			n = len(rest)
		}
		if ok {
			r.set(key, rest[:n], loc)
		}
		s = rest[n:]
	}
	return r
}

func (r *Receipt) set(key, value string, loc *time.Location) {
	switch key {
	case "id:":
		r.ID = value
	case "sub:":
		r.Sub = value
	case "dlvrd:":
		r.Dlvrd = value
	case "submit date:":
		r.Submitted = parseReceiptDate(value, loc)
	case "done date:":
		r.Done = parseReceiptDate(value, loc)
	case "stat:":
		r.Stat, r.State = value, parseState(value)
	case "err:":
		r.Err = value
	}
}

// parseReceiptDate reads Appendix B's YYMMDDhhmm, also with seconds and with
// century. Twelve digits are read with seconds, and if that is no time, with
// century. The zero time means unreadable.
func parseReceiptDate(s string, loc *time.Location) time.Time {
	switch len(s) {
	case 10:
		return receiptDate("20"+s+"00", loc)
	case 12:
		if t := receiptDate("20"+s, loc); !t.IsZero() {
			return t
		}
		return receiptDate(s+"00", loc)
	case 14:
		return receiptDate(s, loc)
	}
	return time.Time{}
}

// receiptDate reads YYYYMMDDhhmmss. By hand: time.Parse takes five times as long
// and there are two dates in each receipt.
func receiptDate(s string, loc *time.Location) time.Time {
	var n [7]int // year in two halves, month, day, hour, minute, second
	for i := range n {
		tens, units := s[2*i]-'0', s[2*i+1]-'0'
		if tens > 9 || units > 9 {
			return time.Time{}
		}
		n[i] = int(tens)*10 + int(units)
	}
	t := time.Date(n[0]*100+n[1], time.Month(n[2]), n[3], n[4], n[5], n[6], 0, loc)
	if int(t.Month()) != n[2] || t.Day() != n[3] || t.Hour() != n[4] || t.Minute() != n[5] || t.Second() != n[6] {
		return time.Time{} // such as the 31st of June
	}
	return t
}

// receiptLayout is Appendix B's date.
const receiptLayout = "0601021504"

// AppendReceipt writes the text of Appendix B, dates in loc, without seconds.
func AppendReceipt(dst []byte, r *Receipt, loc *time.Location) []byte {
	dst = append(append(dst, "id:"...), r.ID...)
	dst = append(append(dst, " sub:"...), r.Sub...)
	dst = append(append(dst, " dlvrd:"...), r.Dlvrd...)
	dst = r.Submitted.In(loc).AppendFormat(append(dst, " submit date:"...), receiptLayout)
	dst = r.Done.In(loc).AppendFormat(append(dst, " done date:"...), receiptLayout)
	dst = append(append(dst, " stat:"...), r.Stat...)
	dst = append(append(dst, " err:"...), r.Err...)
	return append(append(dst, " text:"...), r.Text...)
}
