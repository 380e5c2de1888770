package app

import (
	"testing"
	"time"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
)

// TestStoppedAtSubmit (requirement 69): a message that was cleared before a kill switch came is given back by dispatch and
// refused then. Its three decisions are told apart: the hold was dispatch's doing, so it is not made again from facts.
func TestStoppedAtSubmit(t *testing.T) {
	w := newWorld(t, today(12))
	c, _ := w.start()
	parcel, ids := w.accept("live", "bulk", w.text(otp, "ABCBNK", otpText))
	w.ingest.Publish(parcel)
	cleared := w.next(1)[0]
	if cleared.event != "MessagesCleared" {
		t.Fatalf("%+v", cleared)
	}
	_, err := w.registrar(c).StopSending(w.admin(), &compliancev1.StopSendingRequest{Scope: "tenant", Reason: "test"})
	must(t, err)
	until(t, "the stop is followed", func() bool { return c.registry.Snapshot(w.demo.Tenant).Stops(entity, "ABCBNK", otp) != 0 })
	w.giveBack(cleared, w.clock.now().Add(time.Second), "SENDING_STOPPED")
	if held := w.next(1)[0]; held.event != "MessagesHeld" || held.codes[0] != "SENDING_STOPPED" || held.round != 1 {
		t.Fatalf("%+v", held)
	}
	w.clock.set(w.clock.now().Add(2 * time.Second))
	if refused := w.next(1)[0]; refused.event != "MessagesRefused" || refused.codes[0] != "SENDING_STOPPED" || refused.round != 1 {
		t.Fatalf("%+v", refused)
	}
	client, ctx := w.scrubber(c), w.as(w.demo.Tenant, "live", "decisions:read")
	got, err := client.ReplayDecision(ctx, &compliancev1.ReplayDecisionRequest{MessageId: ids[0].String()})
	must(t, err)
	var identical, not int
	for _, d := range got.GetDecisions() {
		if d.GetIdentical() {
			identical++
		} else if d.GetNotReplayed() == "FACTS_NOT_RECORDED" {
			not++
		}
	}
	if len(got.GetDecisions()) != 3 || identical != 2 || not != 1 || got.GetIdentical() {
		t.Errorf("%v", got)
	}
}
