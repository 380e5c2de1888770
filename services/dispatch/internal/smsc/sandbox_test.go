package smsc

import (
	"testing"
	"time"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/smpp"
)

const sandbox = "919899955500"

func sandboxNumber(suffix string) string { return sandbox[:len(sandbox)-len(suffix)] + suffix }

// heardOf sends one message and gathers what comes back: n results and receipts
// in the order heard.
func heardOf(c *client, to string, n int) (list []any) {
	c.submit(1, message(to, "x"))
	for range n {
		x := c.next()
		if d, ok := x.(smpp.Delivery); ok && smpp.IsReceipt(d.SM.ESMClass) {
			r, err := smpp.ParseReceipt(&d.SM, smpp.IST)
			if err != nil {
				c.t.Fatal(err)
			}
			x = r
		}
		list = append(list, x)
	}
	return list
}

func TestSandboxReceipts(t *testing.T) {
	b := start(t, func(k *Knobs) { k.ReceiptDelayMS = 10 })
	c := b.bind(func(cfg *smpp.Config) { cfg.SubmitTimeout = time.Minute })
	for suffix, want := range map[string]struct {
		state smpp.MessageState
		err   string
	}{
		"00": {smpp.StateDelivered, "000"}, "01": {smpp.StateUndeliverable, "001"}, "02": {smpp.StateExpired, "002"},
		"03": {smpp.StateRejected, "003"}, "10": {smpp.StateRejected, "633"}, "12": {smpp.StateUndeliverable, "650"},
	} {
		heard := heardOf(c, sandboxNumber(suffix), 2)
		result, receipt := heard[0].(smpp.Result), heard[1].(smpp.Receipt)
		if receipt.State != want.state || receipt.Err != want.err || receipt.ID != result.MessageID {
			t.Errorf("%s: %+v", suffix, receipt)
		}
	}
}

func TestSandboxRefusals(t *testing.T) {
	b := start(t, nil)
	c := b.bind(nil)
	for suffix, want := range map[string]smpp.Status{"09": smpp.StatusSysErr, "13": smpp.StatusInvDstAdr} {
		if r := heardOf(c, sandboxNumber(suffix), 1)[0].(smpp.Result); r.Status != want {
			t.Errorf("%s: %+v", suffix, r)
		}
	}
	for attempt := range 4 {
		want := smpp.StatusThrottled
		if attempt == 3 {
			want = smpp.StatusOK
		}
		if r := heardOf(c, sandboxNumber("08"), 1)[0].(smpp.Result); r.Status != want {
			t.Errorf("attempt %d: %+v", attempt, r)
		}
	}
	c.receipt()
	for seq, want := range map[byte]smpp.Status{1: smpp.StatusOK, 2: smpp.StatusSubmitFail} {
		sm := message(sandboxNumber("16"), string([]byte{5, 0, 3, 1, 2, seq})+"part")
		sm.ESMClass = smpp.ESMClassUDHI
		c.submit(1, sm)
		if r := c.result(); r.Status != want {
			t.Errorf("segment %d: %+v", seq, r)
		}
		if want == smpp.StatusOK {
			c.receipt()
		}
	}
}

func TestSandboxRaces(t *testing.T) {
	b := start(t, func(k *Knobs) { k.ReceiptDelayMS = 10 })
	c := b.bind(func(cfg *smpp.Config) { cfg.SubmitTimeout = 100 * time.Millisecond })
	if heard := heardOf(c, sandboxNumber("05"), 2); heard[0].(smpp.Receipt).ID != heard[1].(smpp.Result).MessageID {
		t.Errorf("receipt first: %+v", heard)
	}
	if heard := heardOf(c, sandboxNumber("06"), 2); heard[0].(smpp.Receipt).ID == "" || heard[1].(smpp.Result).Outcome != smpp.TimedOut {
		t.Errorf("lost response: %+v", heard)
	}
	if heard := heardOf(c, sandboxNumber("07"), 1); heard[0].(smpp.Result).Outcome != smpp.TimedOut {
		t.Errorf("lost both: %+v", heard)
	}
	if heard := heardOf(c, sandboxNumber("11"), 3); heard[1].(smpp.Receipt).ID != heard[2].(smpp.Receipt).ID {
		t.Errorf("twice: %+v", heard)
	}
	heard := heardOf(c, sandboxNumber("15"), 3)
	if first, second := heard[1].(smpp.Receipt), heard[2].(smpp.Receipt); first.State != smpp.StateExpired || second.State != smpp.StateDelivered {
		t.Errorf("conflicting: %+v", heard)
	}
	heard = heardOf(c, sandboxNumber("17"), 3)
	stop := heard[2].(smpp.Delivery).SM
	if string(stop.ShortMessage) != "STOP" || stop.Source.Digits != sandboxNumber("17") || stop.Destination.Digits != "ABCBNK" {
		t.Errorf("reply: %+v", stop)
	}
	b.eventually("nothing pending", func() bool { s := b.Stats(); return s.Receipts.Pending+s.Inbound.Pending == 0 })
}

func TestLateReceiptIsPending(t *testing.T) {
	b := start(t, nil)
	c := b.bind(nil)
	heardOf(c, sandboxNumber("04"), 1)
	heardOf(c, sandboxNumber("14"), 1)
	if s := b.Stats(); s.Receipts.Pending != 1 || s.Receipts.Sent != 0 {
		t.Errorf("receipts %+v, want the late one pending and the lost one not", s.Receipts)
	}
}

func TestUnansweredDeliveryIsResent(t *testing.T) {
	b := start(t, func(k *Knobs) { k.AckTimeoutMS, k.DeliverWindow = 50, 2 })
	c := b.bind(nil)
	c.hold = true
	c.submit(1, message("919876543210", "x"))
	id := c.result().MessageID
	for range 2 {
		if r := c.receipt(); r.ID != id {
			t.Errorf("receipt %+v", r)
		}
	}
	b.eventually("resent", func() bool { return b.Stats().Receipts.Resent > 0 })
}

func TestRefusedDeliveryIsResent(t *testing.T) {
	b := start(t, func(k *Knobs) { k.RetryDelayMS = 1 })
	statuses := []smpp.Status{smpp.StatusRxTemporary, smpp.StatusOK}
	c := b.bind(func(cfg *smpp.Config) {
		cfg.OnDeliveries = func(s *smpp.Session, batch []smpp.Delivery) {
			if err := s.Respond(statuses[0], batch); err != nil {
				t.Error(err)
			}
			statuses = statuses[1:]
		}
	})
	c.submit(1, message("919876543210", "x"))
	b.eventually("acknowledged", func() bool {
		s := b.Stats().Receipts
		return s.Acknowledged == 1 && s.Resent == 1 && s.Pending == 0
	})
}

func TestReceiptsAreSharedByBinds(t *testing.T) {
	b := start(t, nil)
	first, second := b.bind(nil), b.bind(nil)
	for i := range 10 {
		first.submit(uint64(i), message("919876543210", string(rune('a'+i))))
	}
	b.eventually("acknowledged", func() bool { return b.Stats().Receipts.Acknowledged == 10 })
	if got := second.Counts().Delivered; got != 5 {
		t.Errorf("the second bind got %d of 10", got)
	}
}
