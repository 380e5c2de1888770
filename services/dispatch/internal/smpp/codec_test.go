package smpp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// testSM carries the entity and hash of DLT rules C01 and its TLV bytes.
func testSM() *SubmitSM {
	tlvs := AppendTLV(nil, TagEntityID, "1101172974420810001")
	tlvs = AppendTLV(tlvs, TagTemplateID, "1107177661081979501")
	tlvs = AppendTLV(tlvs, TagChainHash, "c0c951afca257c5b87c3da535c09112080483f35b7e6faf35e2428b3b526b694")
	return &SubmitSM{
		Source:         Address{TON: TONAlphanumeric, Digits: "ABCBNK"},
		Destination:    Address{TON: TONInternational, NPI: NPIISDN, Digits: "919876543210"},
		ValidityPeriod: "000000000500000R", RegisteredDelivery: RegisteredFinal,
		ShortMessage: []byte("123456 is your OTP"), TLVs: tlvs,
	}
}

func mustAppend(t testing.TB, b []byte, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The octets are written out from the tables of §4.4.1 and DLT rules 10.6.
func TestSubmitSMOnTheWire(t *testing.T) {
	frame, err := testSM().AppendTo(nil, 0x01020304)
	want := "0000" + "00c7" + "00000004" + "00000000" + "01020304" + // header
		"00" + "0500" + "414243424e4b00" + "0101" + "39313938373635343332313000" + // addresses
		"000000" + "00" + "3030303030303030303530303030305200" + "01000000" + // esm_class to default id
		"12" + "31323334353620697320796f7572204f5450" + // short_message
		"14000013" + "31313031313732393734343230383130303031" +
		"14010013" + "31313037313737363631303831393739353031" +
		"14020040" + hex.EncodeToString([]byte("c0c951afca257c5b87c3da535c09112080483f35b7e6faf35e2428b3b526b694"))
	if got := hex.EncodeToString(mustAppend(t, frame, err)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestRoundTrip(t *testing.T) {
	unknown := AppendTLV(AppendTLV(nil, Tag(0x3FFF), "kept"), Tag(0x3FFF), "twice")
	receipt := &DeliverSM{ESMClass: ESMClassReceipt, ShortMessage: []byte("id:1"), TLVs: unknown}
	for _, p := range []PDU{
		{Header{Command: CommandSubmitSM, Sequence: 1}, testSM()},
		{Header{Command: CommandDeliverSM, Sequence: 2}, receipt},
		{Header{Command: CommandSubmitSMResp, Sequence: 3}, &MessageResp{MessageID: []byte("1a2b")}},
		{Header{Command: CommandDeliverSMResp, Sequence: 4}, &MessageResp{MessageID: []byte{}}},
		{Header{Command: CommandBindTransmitter, Sequence: 5}, &Bind{Kind: Transmitter, SystemID: "esme", Password: "longer-than-eight", InterfaceVersion: 0x33}},
		{Header{Command: CommandBindTransceiverResp, Status: StatusInvPaswd, Sequence: 6}, &BindResp{SystemID: "smsc"}},
		{Header{Command: CommandEnquireLink, Sequence: 7}, Raw{}},
		{Header{Command: CommandQuerySM, Sequence: 8}, Raw("1\x00")},
	} {
		frame, err := p.AppendTo(nil)
		got, err := Decode(mustAppend(t, frame, err))
		if err != nil {
			t.Errorf("%v: %v", p.Command, err)
			continue
		}
		p.Length = uint32(len(frame))
		if diff := cmp.Diff(p, got); diff != "" {
			t.Errorf("%v: %s", p.Command, diff)
		}
	}
}

func TestTLVs(t *testing.T) {
	tlvs := AppendTLV(AppendTLV(AppendTLV(nil, TagMessageState, []byte{2}), Tag(0x1411), "x"), Tag(0x1411), "")
	var tags []Tag
	for tag := range tlvs.All() {
		tags = append(tags, tag)
	}
	if !slices.Equal(tags, []Tag{TagMessageState, 0x1411, 0x1411}) {
		t.Errorf("tags %v", tags)
	}
	if v, ok := tlvs.Get(0x1411); !ok || string(v) != "x" {
		t.Errorf("Get = %q, %v", v, ok)
	}
	if _, ok := tlvs[:len(tlvs)-5].Get(0x1411); ok {
		t.Error("Get read a parameter that is cut off")
	}
}

func TestMalformedBodies(t *testing.T) {
	good, err := testSM().AppendTo(nil, 1)
	body := FrameBody(mustAppend(t, good, err))
	at := bytes.Index(body, []byte("\x12123456")) // sm_length
	long := slices.Clone(body)
	long[at] = 255
	overrun := slices.Clone(body)
	overrun[at] = 254
	for _, tc := range []struct {
		name   string
		body   []byte
		field  string
		reason Status
	}{
		{"empty", nil, "service_type", StatusInvMsgLen},
		{"no NUL", []byte("abc"), "service_type", StatusInvMsgLen},
		{"service_type too long", []byte("abcdef\x00"), "service_type", StatusInvParLen},
		{"cut in the address", body[:5], "source_addr", StatusInvMsgLen},
		{"short_message longer than allowed", long, "sm_length", StatusInvMsgLen},
		{"short_message longer than the body", overrun, "short_message", StatusInvMsgLen},
		{"cut in a parameter", body[:len(body)-1], "optional parameters", StatusInvOptParStream},
		{"half a parameter header", append(slices.Clone(body), 0x14), "optional parameters", StatusInvOptParStream},
	} {
		var sm SubmitSM
		fault, ok := errors.AsType[*DecodeError](sm.Decode(tc.body))
		if !ok || fault.Field != tc.field || fault.Reason != tc.reason || fault.Command != CommandSubmitSM {
			t.Errorf("%s: %v, want %s and %v", tc.name, fault, tc.field, tc.reason)
		}
	}
}

func TestUnencodable(t *testing.T) {
	for field, change := range map[string]func(*SubmitSM){
		"source_addr":         func(m *SubmitSM) { m.Source.Digits = strings.Repeat("1", 21) },
		"destination_addr":    func(m *SubmitSM) { m.Destination.Digits = "91\x00" },
		"validity_period":     func(m *SubmitSM) { m.ValidityPeriod = strings.Repeat("0", 17) },
		"short_message":       func(m *SubmitSM) { m.ShortMessage = make([]byte, 255) },
		"optional parameters": func(m *SubmitSM) { m.TLVs = TLVs{0x14, 0, 0, 9} },
	} {
		sm := testSM()
		change(sm)
		before := []byte("before")
		got, err := sm.AppendTo(before, 1)
		if fault, ok := errors.AsType[*FieldError](err); !ok || fault.Field != field || !bytes.Equal(got, before) {
			t.Errorf("%s: %v, %d octets", field, err, len(got))
		}
	}
	sm := testSM()
	sm.TLVs = AppendTLV(nil, TagMessagePayload, make([]byte, 70_000))
	if _, err := sm.AppendTo(nil, 1); err == nil {
		t.Error("a PDU beyond 64 KiB was encoded")
	}
}

func TestReader(t *testing.T) {
	one, err := testSM().AppendTo(nil, 1)
	stream := AppendEmpty(mustAppend(t, one, err), CommandEnquireLink, StatusOK, 2)
	for name, r := range map[string]io.Reader{
		"at once":         bytes.NewReader(stream),
		"octet by octet":  iotest.OneByteReader(bytes.NewReader(stream)),
		"error with data": iotest.DataErrReader(bytes.NewReader(stream)),
	} {
		reader := NewReader(r, 0)
		for want := uint32(1); want <= 2; want++ {
			frame, err := reader.Next()
			if h := ParseHeader(frame); err != nil || h.Sequence != want {
				t.Fatalf("%s: %+v, %v", name, h, err)
			}
			if ready := reader.Ready(); name == "at once" && ready != (want == 1) {
				t.Errorf("%s: Ready = %v after %d", name, ready, want)
			}
		}
		if _, err := reader.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v at the end", name, err)
		}
	}
	if _, err := NewReader(bytes.NewReader(stream[:len(stream)-1]), 0).Next(); err != nil {
		t.Error(err)
	}
	cut := NewReader(bytes.NewReader(one[:20]), 0)
	if _, err := cut.Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut frame: %v", err)
	}
	for _, length := range []string{"\x00\x00\x00\x0f", "\x00\x01\x00\x01", "\xff\xff\xff\xff"} {
		_, err := NewReader(strings.NewReader(length), 0).Next()
		if _, ok := errors.AsType[*LengthError](err); !ok {
			t.Errorf("length % x: %v", length, err)
		}
	}
}

func TestNames(t *testing.T) {
	for got, want := range map[string]string{
		CommandSubmitSMResp.String(): "submit_sm_resp", CommandGenericNack.String(): "generic_nack",
		CommandID(0x99).String(): "command 0x00000099", StatusThrottled.String(): "ESME_RTHROTTLED",
		Status(0x400).String(): "status 0x00000400", TagChainHash.String(): "0x1402",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestHotPathsDoNotAllocate(t *testing.T) {
	sm, dst := testSM(), make([]byte, 0, 4096)
	resp, err := AppendMessageResp(nil, CommandSubmitSMResp, StatusOK, 1, "1234567890")
	body := FrameBody(mustAppend(t, resp, err))
	var r MessageResp
	for name, f := range map[string]func(){
		"submit_sm encode":      func() { _, _ = sm.AppendTo(dst, 1) },
		"submit_sm_resp decode": func() { _ = r.Decode(CommandSubmitSMResp, body) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// FuzzDecode: no octets panic, and what decodes encodes to octets that decode to
// the same.
func FuzzDecode(f *testing.F) {
	add := func(b []byte, err error) { f.Add(mustAppend(f, b, err)) }
	add(testSM().AppendTo(nil, 1))
	add((&DeliverSM{ESMClass: ESMClassReceipt, ShortMessage: []byte("id:1 stat:DELIVRD")}).AppendTo(nil, 2))
	add((&Bind{SystemID: "esme", Password: "secret"}).AppendTo(nil, 3))
	add((&BindResp{SystemID: "smsc", TLVs: AppendTLV(nil, TagSCInterfaceVersion, "\x34")}).AppendTo(nil, Receiver, StatusOK, 4))
	add(AppendMessageResp(nil, CommandSubmitSMResp, StatusOK, 5, "id"))
	f.Add(AppendEmpty(nil, CommandEnquireLink, StatusOK, 6))
	f.Add(AppendEmpty(nil, CommandDataSM, StatusOK, 7))
	f.Fuzz(func(t *testing.T, frame []byte) {
		p, err := Decode(frame)
		if err != nil {
			return
		}
		once, err := p.AppendTo(nil)
		if err != nil {
			t.Fatalf("decoded but not encoded: %v", err)
		}
		again, err := Decode(once)
		if err != nil {
			t.Fatalf("encoded but not decoded: %v", err)
		}
		if twice, err := again.AppendTo(nil); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("not stable: %v\n% x\n% x", err, once, twice)
		}
	})
}

func BenchmarkSubmitSMEncode(b *testing.B) {
	sm, dst := testSM(), make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sm.AppendTo(dst, 1); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSubmitSMRespDecode(b *testing.B) {
	resp, err := AppendMessageResp(nil, CommandSubmitSMResp, StatusOK, 1, "1234567890")
	body := FrameBody(mustAppend(b, resp, err))
	b.ReportAllocs()
	for b.Loop() {
		var r MessageResp
		if err := r.Decode(CommandSubmitSMResp, body); err != nil {
			b.Fatal(err)
		}
	}
}
