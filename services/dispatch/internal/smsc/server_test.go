package smsc

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/smpp"
)

func TestSubmitAndReceipt(t *testing.T) {
	b := start(t, nil)
	c := b.bind(nil)
	c.submit(7, message("919876543210", "123456 is your OTP"))
	r := c.result()
	if r.Outcome != smpp.Answered || r.Status != smpp.StatusOK || r.Tag != 7 || r.MessageID == "" {
		t.Fatalf("result %+v", r)
	}
	got := c.receipt()
	if got.ID != r.MessageID || got.State != smpp.StateDelivered || got.Err != "000" || got.Submitted.IsZero() {
		t.Errorf("receipt %+v for id %s", got, r.MessageID)
	}
	b.eventually("acknowledged", func() bool { return b.Stats().Receipts.Acknowledged == 1 })
	s := b.Stats()
	if s.TLV.AllThree != 1 || s.Totals.Submits != 1 || s.Distinct != 1 || s.Receipts.Pending != 0 || s.Binds.Now != 1 {
		t.Errorf("stats %+v", s)
	}
	shown := b.Messages("3210", 10)
	if len(shown) != 1 || shown[0].Text != "123456 is your OTP" || shown[0].TLVs["0x1402"] != testHash ||
		shown[0].MessageID != r.MessageID || shown[0].Bind != "transceiver" {
		t.Errorf("messages %+v", shown)
	}
}

func TestTLVsAreRequired(t *testing.T) {
	b := start(t, nil)
	c := b.bind(nil)
	for i, tc := range []struct {
		name string
		tlvs smpp.TLVs
		want smpp.Status
	}{
		{"none", nil, smpp.StatusMissingOptParam},
		{"no entity", dltTLVs("", testTemplate, testHash), smpp.StatusMissingOptParam},
		{"no template", dltTLVs(testEntity, "", testHash), smpp.StatusMissingOptParam},
		{"no hash", dltTLVs(testEntity, testTemplate, ""), smpp.StatusMissingOptParam},
		{"short entity", dltTLVs(testEntity[1:], testTemplate, testHash), smpp.StatusInvOptParamVal},
		{"letter in template", dltTLVs(testEntity, "110716000000000001x", testHash), smpp.StatusInvOptParamVal},
		{"upper-case hash", dltTLVs(testEntity, testTemplate, strings.ToUpper(testHash)), smpp.StatusInvOptParamVal},
		{"NUL at the end", dltTLVs(testEntity+"\x00", testTemplate, testHash), smpp.StatusInvOptParamVal},
	} {
		sm := message("919876543210", "x")
		sm.TLVs = tc.tlvs
		c.submit(uint64(i), sm)
		if r := c.result(); r.Status != tc.want || r.MessageID != "" {
			t.Errorf("%s: %+v, want %v", tc.name, r, tc.want)
		}
	}
	s := b.Stats()
	if s.TLV.Missing != 4 || s.TLV.Malformed != 4 || s.Totals.Submits != 0 || s.RefusedByStatus["0x000000C3"] != 4 {
		t.Errorf("stats %+v", s)
	}
	b.change(`{"require_tlvs": false}`)
	sm := message("919876543210", "x")
	sm.TLVs = nil
	c.submit(99, sm)
	if r := c.result(); r.Status != smpp.StatusOK {
		t.Errorf("not required: %+v", r)
	}
}

func TestLostResponse(t *testing.T) {
	b := start(t, func(k *Knobs) { k.LoseResponseRate = 1 })
	c := b.bind(func(cfg *smpp.Config) { cfg.SubmitTimeout = 50 * time.Millisecond })
	c.submit(1, message("919876543210", "x"))
	if r := c.receipt(); r.State != smpp.StateDelivered { // known to the operator, though never answered
		t.Errorf("receipt %+v", r)
	}
	if r := c.result(); r.Outcome != smpp.TimedOut || r.Tag != 1 {
		t.Errorf("result %+v", r)
	}
	if free, held, inFlight := c.Slots(); free != 100 || held != 0 || inFlight != 0 {
		t.Errorf("slots %d %d %d", free, held, inFlight)
	}
	if s := b.Stats(); s.Totals.LostResponses != 1 || s.Totals.Submits != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestLateResponse(t *testing.T) {
	b := start(t, func(k *Knobs) { k.ResponseDelayMS, k.LoseReceiptRate = 150, 1 })
	c := b.bind(func(cfg *smpp.Config) { cfg.SubmitTimeout = 40 * time.Millisecond })
	c.submit(5, message("919876543210", "x"))
	if r := c.result(); r.Outcome != smpp.TimedOut || r.Late {
		t.Fatalf("first result %+v", r)
	}
	if r := c.result(); r.Outcome != smpp.Answered || !r.Late || r.Tag != 5 || r.MessageID == "" {
		t.Fatalf("late result %+v", r)
	}
}

func TestReceiptBeforeResponse(t *testing.T) {
	b := start(t, func(k *Knobs) { k.ReceiptFirstRate, k.ReceiptID = 1, HexUpper })
	c := b.bind(nil)
	c.submit(1, message("919876543210", "x"))
	receipt := c.receipt()
	r := c.result()
	var id uint64
	if _, err := fmt.Sscanf(receipt.ID, "%X", &id); err != nil || fmt.Sprint(id) != r.MessageID {
		t.Errorf("receipt id %s, response id %s", receipt.ID, r.MessageID)
	}
}

func TestReceiptsWaitForABind(t *testing.T) {
	b := start(t, nil)
	tx := b.bind(func(cfg *smpp.Config) { cfg.Bind.Kind, cfg.OnDeliveries = smpp.Transmitter, nil })
	tx.submit(1, message("919876543210", "x"))
	id := tx.result().MessageID
	b.eventually("pending", func() bool { return b.Stats().Receipts.Pending == 1 })
	rx := b.bind(func(cfg *smpp.Config) { cfg.Bind.Kind, cfg.OnResults = smpp.Receiver, nil })
	if r := rx.receipt(); r.ID != id {
		t.Errorf("receipt %+v, want id %s", r, id)
	}
}

func TestUnacknowledgedReceiptIsResentAfterReconnect(t *testing.T) {
	b := start(t, nil)
	first := b.bind(nil)
	first.hold = true
	first.submit(1, message("919876543210", "x"))
	id := first.result().MessageID
	if r := first.receipt(); r.ID != id {
		t.Fatalf("receipt %+v", r)
	}
	if n := b.Disconnect("esme"); n != 1 {
		t.Fatalf("disconnected %d", n)
	}
	<-first.Done()
	second := b.bind(nil)
	if r := second.receipt(); r.ID != id {
		t.Errorf("receipt %+v, want id %s again", r, id)
	}
	b.eventually("acknowledged", func() bool {
		s := b.Stats().Receipts
		return s.Acknowledged == 1 && s.Resent == 1 && s.Sent == 2 && s.Pending == 0
	})
}

func TestDuplicatesAreSeen(t *testing.T) {
	b := start(t, nil)
	c := b.bind(nil)
	segment := func(ref, seq byte) *smpp.SubmitSM {
		sm := message("919876543210", string([]byte{5, 0, 3, ref, 2, seq})+"same text")
		sm.ESMClass = smpp.ESMClassUDHI
		return sm
	}
	for i, sm := range []*smpp.SubmitSM{
		message("919876543210", "one"), message("919876543210", "one"), message("919876543211", "one"),
		segment(1, 1), segment(1, 2), segment(2, 1), // the last is the first with a new reference
	} {
		c.submit(uint64(i), sm)
	}
	b.eventually("six submits", func() bool { return b.Stats().Totals.Submits == 6 })
	s := b.Stats()
	if s.Duplicates != 2 || s.Distinct != 4 || s.SegmentsByTotal["2"] != 3 || s.Totals.Messages != 5 {
		t.Errorf("stats %+v", s)
	}
	b.Reset()
	if s := b.Stats(); s.Totals.Submits != 0 || s.Duplicates != 0 || len(b.Messages("", 10)) != 0 {
		t.Errorf("after reset %+v", s)
	}
}

func TestInbound(t *testing.T) {
	b := start(t, nil)
	c := b.bind(nil)
	n, err := b.Inject(Inbound{From: "919876543210", To: "ABCBNK", Text: strings.Repeat("बंद ", 20)})
	if n != 2 || err != nil {
		t.Fatalf("Inject = %d, %v", n, err)
	}
	for range n {
		d := c.delivery()
		if smpp.IsReceipt(d.SM.ESMClass) || d.SM.ESMClass&smpp.ESMClassUDHI == 0 || d.SM.Source.Digits != "919876543210" {
			t.Errorf("delivery %+v", d.SM)
		}
	}
	if _, err := b.Inject(Inbound{From: "1", To: "2", SystemID: "nobody"}); err == nil {
		t.Error("unknown system_id was taken")
	}
}

func TestThrottle(t *testing.T) {
	b := start(t, func(k *Knobs) { k.ThrottleTPS, k.LoseReceiptRate = 10, 1 })
	c := b.bind(nil)
	for i := range 5 {
		c.submit(uint64(i), message("919876543210", fmt.Sprint(i)))
	}
	throttled := uint64(0)
	for range 5 {
		if c.result().Status == smpp.StatusThrottled {
			throttled++
		}
	}
	// One token is there at first; a slow machine may earn another meanwhile.
	if s := b.Stats(); throttled == 0 || s.Throttled != throttled || s.Totals.Submits+s.Throttled != 5 {
		t.Errorf("%d throttled, stats %+v", throttled, s)
	}
}

func TestHalfOpenPeer(t *testing.T) {
	b := start(t, nil)
	c := b.bind(func(cfg *smpp.Config) {
		cfg.EnquireInterval, cfg.ReadTimeout = 20*time.Millisecond, 150*time.Millisecond
	})
	b.change(`{"mute": true}`)
	c.submit(1, message("919876543210", "x"))
	select {
	case <-c.Done():
	case <-time.After(patience):
		t.Fatal("silence was not noticed")
	}
	if r := c.result(); r.Outcome != smpp.Lost || !errors.Is(c.Err(), smpp.ErrSilent) {
		t.Errorf("result %+v, session %v", r, c.Err())
	}
}

func TestBindRefusals(t *testing.T) {
	b := start(t, nil)
	for _, tc := range []struct {
		id, password string
		knob         string
		want         smpp.Status
	}{
		{"esme", "wrong", `{}`, smpp.StatusInvPaswd},
		{"nobody", "secret", `{}`, smpp.StatusInvSysID},
		{"esme", "secret", `{"refuse_binds": 13}`, smpp.StatusBindFail},
	} {
		b.change(tc.knob)
		cfg := b.config(&client{})
		cfg.Bind.SystemID, cfg.Bind.Password = tc.id, tc.password
		_, err := smpp.Open(t.Context(), cfg)
		if refused, ok := errors.AsType[*smpp.BindError](err); !ok || refused.Status != tc.want || !refused.Fatal() {
			t.Errorf("%+v: %v", tc, err)
		}
	}
}
