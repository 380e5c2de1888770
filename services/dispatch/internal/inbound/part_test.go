package inbound_test

import (
	"testing"
	"time"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/encoding"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/inbound"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/smpp"
)

func TestReadFindsPartsByHeaderAndBySAR(t *testing.T) {
	sar := smpp.AppendTLV(smpp.AppendTLV(smpp.AppendTLV(nil, smpp.TagSARRefNum, "\x01\x02"), smpp.TagSARTotal, "\x03"), smpp.TagSARSequence, "\x02")
	for name, c := range map[string]struct {
		sm     smpp.DeliverSM
		concat encoding.Concat
		body   string
	}{
		"alone":            {smpp.DeliverSM{ShortMessage: []byte("STOP")}, encoding.Concat{Total: 1, Seq: 1}, "STOP"},
		"8-bit reference":  {smpp.DeliverSM{ESMClass: 0x40, ShortMessage: []byte("\x05\x00\x03\x07\x02\x01a")}, encoding.Concat{Ref: 7, Total: 2, Seq: 1}, "a"},
		"16-bit reference": {smpp.DeliverSM{ESMClass: 0x40, ShortMessage: []byte("\x06\x08\x04\x01\x07\x02\x02b")}, encoding.Concat{Ref: 0x107, Total: 2, Seq: 2}, "b"},
		"SAR":              {smpp.DeliverSM{ShortMessage: []byte("c"), TLVs: sar}, encoding.Concat{Ref: 0x102, Total: 3, Seq: 2}, "c"},
		"message_payload":  {smpp.DeliverSM{TLVs: smpp.AppendTLV(nil, smpp.TagMessagePayload, "long")}, encoding.Concat{Total: 1, Seq: 1}, "long"},
		"malformed header": {smpp.DeliverSM{ESMClass: 0x40, ShortMessage: []byte("\x50ab")}, encoding.Concat{Total: 1, Seq: 1}, "\x50ab"},
		"part 3 of 2":      {smpp.DeliverSM{ESMClass: 0x40, ShortMessage: []byte("\x05\x00\x03\x07\x02\x03a")}, encoding.Concat{Total: 1, Seq: 1}, "\x05\x00\x03\x07\x02\x03a"},
	} {
		p := inbound.Read("test", "sim", &c.sm, []byte(name), time.Now())
		if p.Concat != c.concat || string(p.Text.Body) != c.body {
			t.Errorf("%s: %+v %q", name, p.Concat, p.Text.Body)
		}
	}
}

// The same bytes under another sequence number are the same message; another reference, sender or address is another.
func TestGroup(t *testing.T) {
	pdu := func(seq byte, text string) []byte {
		return append([]byte{0, 0, 0, 20, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, seq}, text...)
	}
	read := func(from, to string, seq byte, text string) inbound.Part {
		return inbound.Read("test", "sim", &smpp.DeliverSM{Source: smpp.Address{Digits: from}, Destination: smpp.Address{Digits: to},
			ESMClass: 0x40, ShortMessage: []byte(text)}, pdu(seq, text), time.Now())
	}
	first := read("919876543210", "56161", 1, "\x05\x00\x03\x07\x02\x01a")
	if again := read("919876543210", "56161", 9, "\x05\x00\x03\x07\x02\x01a"); again.Content != first.Content || again.Hash == first.Hash || again.Group() != first.Group() {
		t.Error("what is sent again is not known again")
	}
	if other := read("9876543210", "56161", 2, "\x05\x00\x03\x07\x02\x02b"); other.Group() != first.Group() || other.Content == first.Content {
		t.Error("the second part is of another group")
	}
	for name, p := range map[string]inbound.Part{
		"reference": read("919876543210", "56161", 1, "\x05\x00\x03\x08\x02\x01a"), "sender": read("919876543211", "56161", 1, "\x05\x00\x03\x07\x02\x01a"),
		"address": read("919876543210", "56162", 1, "\x05\x00\x03\x07\x02\x01a"),
	} {
		if p.Group() == first.Group() {
			t.Errorf("another %s is the same group", name)
		}
	}
}

func TestSender(t *testing.T) {
	for digits, want := range map[string]string{
		"919876543210": "+919876543210", "+919876543210": "+919876543210", "9876543210": "+919876543210", "09876543210": "+919876543210",
		"00919876543210": "+919876543210", "56161": "56161", "VM-ABCBNK": "VM-ABCBNK", "14155550100": "14155550100", "911234567890": "911234567890",
	} {
		if got := inbound.Sender(digits); got != want {
			t.Errorf("%s is %s, want %s", digits, got, want)
		}
	}
}
