package smpp

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func receiptSM(text string, tlvs TLVs) *DeliverSM {
	return &DeliverSM{ESMClass: ESMClassReceipt, ShortMessage: []byte(text), TLVs: tlvs}
}

func TestParseReceipt(t *testing.T) {
	// X11 of DLT rules 10.9: done date 2610121005 is 10:05 IST, 04:35Z.
	done := time.Date(2026, 10, 12, 4, 35, 0, 0, time.UTC)
	const full = "id:0123456789 sub:001 dlvrd:001 submit date:2610121004 done date:2610121005 stat:DELIVRD err:000 text:Your OTP stat:X"
	state := AppendTLV(nil, TagMessageState, []byte{5})
	state = AppendTLV(state, TagReceiptedMessageID, "75BCD15\x00")
	state = AppendTLV(state, TagNetworkErrorCode, []byte{3, 0x02, 0x79})
	for _, tc := range []struct {
		name string
		sm   *DeliverSM
		want Receipt
	}{
		{"full", receiptSM(full, nil), Receipt{
			ID: "0123456789", Sub: "001", Dlvrd: "001", Submitted: done.Add(-time.Minute), Done: done,
			Stat: "DELIVRD", State: StateDelivered, Err: "000", Text: "Your OTP stat:X",
		}},
		{"parameters win", receiptSM("id:1 stat:DELIVRD err:000", state), Receipt{
			ID: "75BCD15", Stat: "DELIVRD", State: StateUndeliverable, Err: "000", Network: NetworkError{3, 0x279},
		}},
		{"only parameters", receiptSM("", state), Receipt{
			ID: "75BCD15", State: StateUndeliverable, Network: NetworkError{3, 0x279},
		}},
		{"any case, any order, long words", receiptSM("STAT:Rejected ERR:633 ID:7f noise Done Date:261012100530", nil), Receipt{
			ID: "7f", Stat: "Rejected", State: StateRejected, Err: "633", Done: done.Add(30 * time.Second),
		}},
		{"with century", receiptSM("id:1 submit date:202610121004 done date:20261012100500 stat:EXPIRED", nil), Receipt{
			ID: "1", Submitted: done.Add(-time.Minute), Done: done, Stat: "EXPIRED", State: StateExpired,
		}},
		{"unreadable date, unknown word", receiptSM("id:1 done date:none stat:WHAT err:", nil), Receipt{ID: "1", Stat: "WHAT"}},
		{"in message_payload", receiptSM("", AppendTLV(nil, TagMessagePayload, "id:5 stat:UNDELIV")), Receipt{
			ID: "5", Stat: "UNDELIV", State: StateUndeliverable,
		}},
		{"in UCS-2", &DeliverSM{ESMClass: ESMClassReceipt, DataCoding: DataCodingUCS2, ShortMessage: []byte("\x00i\x00d\x00:\x009")}, Receipt{ID: "9"}},
	} {
		got, err := ParseReceipt(tc.sm, IST)
		equalTimes := cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })
		if diff := cmp.Diff(tc.want, got, equalTimes); err != nil || diff != "" {
			t.Errorf("%s: %v %s", tc.name, err, diff)
		}
	}
}

func TestNotReceipts(t *testing.T) {
	// X06: esm_class 0 is a message, whatever it says; other types are no final
	// receipts either (§5.2.12).
	for class, want := range map[byte]bool{
		0x00: false, 0x04: true, 0x44: true, 0x07: true, 0x08: false, 0x0C: false, 0x10: false, 0x20: false, 0x24: false, 0x40: false,
	} {
		sm := receiptSM("id:1 stat:DELIVRD", nil)
		sm.ESMClass = class
		_, err := ParseReceipt(sm, IST)
		if IsReceipt(class) != want || errors.Is(err, ErrNotReceipt) == want {
			t.Errorf("esm_class 0x%02X: %v, %v, want %v", class, IsReceipt(class), err, want)
		}
	}
	if r, err := ParseReceipt(receiptSM("stat:DELIVRD", nil), IST); !errors.Is(err, ErrReceiptID) || r.State != StateDelivered {
		t.Errorf("no id: %+v, %v", r, err)
	}
}

func TestStates(t *testing.T) {
	for state := StateEnroute; state <= StateRejected; state++ {
		if got := parseState(strings.ToLower(state.String())); got != state {
			t.Errorf("%v read as %v", state, got)
		}
		want := state == StateDelivered || state == StateExpired || state == StateDeleted ||
			state == StateUndeliverable || state == StateRejected
		if state.Final() != want {
			t.Errorf("%v final: %v", state, state.Final())
		}
	}
}

// FuzzReceipt: nothing panics, and what AppendReceipt writes reads back.
func FuzzReceipt(f *testing.F) {
	f.Add("1a2b", "DELIVRD", "000", "hello id:x", int64(1_790_000_000))
	f.Add("id:", "stat:", "text:", "", int64(0))
	f.Fuzz(func(t *testing.T, id, stat, code, text string, unix int64) {
		_, _ = ParseReceipt(receiptSM(id+stat+code+text, TLVs(text)), IST)
		at := time.Unix(946_684_800+(unix&0x3FFFFFFF)/60*60, 0) // 2000 to 2034, whole minutes
		r := Receipt{ID: id, Sub: "001", Dlvrd: "001", Submitted: at, Done: at, Stat: stat, Err: code, Text: text}
		if id == "" || strings.ContainsAny(id+stat+code, " \r\n\t") {
			return
		}
		got, err := ParseReceipt(receiptSM(string(AppendReceipt(nil, &r, IST)), nil), IST)
		if err != nil || got.ID != id || got.Stat != stat || got.Err != code || got.Text != text || !got.Done.Equal(at) {
			t.Fatalf("wrote %+v, read %+v, %v", r, got, err)
		}
	})
}

func BenchmarkParseReceipt(b *testing.B) {
	sm := receiptSM("id:0123456789 sub:001 dlvrd:001 submit date:2610121004 done date:2610121005 stat:DELIVRD err:000 text:", nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseReceipt(sm, IST); err != nil {
			b.Fatal(err)
		}
	}
}
