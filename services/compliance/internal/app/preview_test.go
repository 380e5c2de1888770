package app

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
)

// scrubber is ScrubService of a replica, as the door calls it.
func (w *world) scrubber(c *compliance) compliancev1.ScrubServiceClient {
	return compliancev1.NewScrubServiceClient(w.dial("ingest", c))
}

const (
	shippedText = "Dear Asha, order 2345 shipped. Track: https://abc.in/t?o=2345 - ABCBNK"
	stockText   = "Fresh stock at ABC stores till Sunday. Opt out: https://abc.in/stop?x=1 - ABC"
)

// tries are messages of all outcomes, as both a sender and Scrub may give them.
func (w *world) tries() []message {
	values := func(template string, values ...string) message {
		m := w.text(template, "ABCBNK", "")
		for _, v := range values {
			m.content.Variables = append(m.content.Variables, &ingestv1.Variable{Value: v})
		}
		return m
	}
	scheduled := w.text(shipped, "ABCBNK", shippedText)
	scheduled.schedule = w.clock.now().Add(time.Hour)
	return []message{w.text(otp, "ABCBNK", otpText), w.text(otp, "ABCBNK", otpText+"."), w.text(otp, "VM-ABCBNK", otpText),
		w.text(otp, "NOSUCH", otpText), w.text("1107160000000000099", "ABCBNK", otpText), w.text(stock, "512345", stockText),
		w.text(stock, "ABCBNK", stockText), w.text(shipped, "ABCBNK", shippedText), w.text(shipped, "ABCBNK", "Dear Asha"),
		values(shipped, "Asha", "2345", "https://abc.in/t?o=2345"), values(shipped, "Asha"), values(shipped, "Asha", "2345", "https://evil.xyz/"),
		w.text("1107160000000000055", "ABCBNK", "hello - ABCBNK"), scheduled}
}

func (m message) tried() *compliancev1.ScrubMessage {
	out := &compliancev1.ScrubMessage{To: "098765 43210", EntityId: entity, Header: m.header, TemplateId: m.template,
		Text: m.content.GetText(), Variables: m.content.GetVariables()}
	if !m.schedule.IsZero() {
		out.ScheduleTime = timestamppb.New(m.schedule)
	}
	return out
}

// failing are the codes of what fails or holds, in the order of the checks.
func failing(checks []*compliancev1.CheckResult) (reasons []string) {
	for _, c := range checks {
		if c.GetStanding() < compliancev1.CheckStanding_CHECK_STANDING_HOLDS {
			continue
		}
		for _, r := range c.GetReasons() {
			if r.GetSeverity() != "warning" {
				reasons = append(reasons, r.GetCode())
			}
		}
	}
	return reasons
}

// TestScrubIsTheSendPath (requirement 72): what Scrub says of a message is what becomes of it, reason by reason; and
// scrubbing leaves no trace: no event, no decision, nothing counted as used. The decisions then made are explained and
// made again.
func TestScrubIsTheSendPath(t *testing.T) {
	w := newWorld(t, today(22))
	c, _ := w.start()
	client, ctx := w.scrubber(c), w.as(w.demo.Tenant, "live", "messages:scrub", "decisions:read")
	tries, req := w.tries(), &compliancev1.BatchScrubRequest{}
	for _, m := range tries {
		req.Messages = append(req.Messages, m.tried())
	}
	scrubbed, err := client.BatchScrub(ctx, req)
	must(t, err)
	var left int
	must(t, w.database.DB.Worker.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM decisions) + (SELECT count(*) FROM holds) + (SELECT count(*) FROM parcels)
		- (SELECT count(*) FROM parcels WHERE subject LIKE '%Registry%')`).Scan(&left))
	if used := c.registry.Snapshot(w.demo.Tenant).Template(otp).Last(); left != 0 || used != 0 {
		t.Errorf("scrubbing left %d rows; last use %d", left, used)
	}
	parcel, ids := w.accept("live", "bulk", tries...)
	w.ingest.Publish(parcel)
	outcomes := map[string]bool{}
	for _, sent := range w.next(len(tries)) {
		i := slices.Index(ids, sent.id)
		got := scrubbed.GetResults()[i]
		explained, err := client.ExplainDecision(ctx, &compliancev1.ExplainDecisionRequest{MessageId: sent.id.String()})
		must(t, err)
		d := explained.GetDecisions()[0]
		if diff := cmp.Diff(failing(got.GetChecks()), failing(d.GetChecks())); diff != "" || got.GetOutcome() != d.GetOutcome() ||
			!got.GetDueTime().AsTime().Equal(d.GetDueTime().AsTime()) || got.GetCategory() != d.GetCategory() || got.GetTo() != "+919876543210" {
			t.Errorf("message %d: scrubbed %s, sent %s: %s", i, got.GetOutcome(), d.GetOutcome(), diff)
		}
		outcomes[d.GetOutcome()] = true
		if len(d.GetFacts()) < 30 || len(d.GetChecks()) != len(got.GetChecks()) || len(d.GetDecisionDigest()) != 64 || d.GetSource() == "" {
			t.Errorf("message %d: %d facts, %d checks", i, len(d.GetFacts()), len(d.GetChecks()))
		}
		replayed, err := client.ReplayDecision(ctx, &compliancev1.ReplayDecisionRequest{MessageId: sent.id.String()})
		must(t, err)
		if !replayed.GetIdentical() || replayed.GetDecisions()[0].GetOutcome() != d.GetOutcome() {
			t.Errorf("message %d: %v", i, replayed)
		}
	}
	if len(outcomes) != 3 {
		t.Errorf("outcomes: %v", outcomes)
	}
	w.simulate(client, len(tries))
}

// simulate tries what was sent by the pack in force, which changes nothing, and by the next one.
func (w *world) simulate(client compliancev1.ScrubServiceClient, sent int) {
	t, ctx := w.t, w.as(w.demo.Tenant, "live", "decisions:read")
	run := func(req *compliancev1.SimulateRequest) *compliancev1.SimulateResponse {
		req.StartTime, req.EndTime = timestamppb.New(time.Now().Add(-time.Hour)), timestamppb.New(time.Now().Add(time.Hour))
		stream, err := client.Simulate(ctx, req)
		must(t, err)
		var last *compliancev1.SimulateResponse
		for {
			next, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return last
			}
			must(t, err)
			last = next
		}
	}
	packs, err := client.ListRulePacks(ctx, &compliancev1.ListRulePacksRequest{})
	must(t, err)
	for _, pack := range packs.GetRulePacks() {
		got := run(&compliancev1.SimulateRequest{RulePack: pack.GetVersion()})
		s, changed := got.GetSummary(), int64(0)
		for _, c := range s.GetChanges() {
			t.Logf("%s: %s instead of %s for %s: %d", pack.GetVersion(), c.GetTo(), c.GetFrom(), c.GetReason(), c.GetCount())
			changed += c.GetCount()
		}
		if got.GetDecisionCount() != int64(sent) || s.GetSameCount()+changed != int64(sent) || s.GetNotRecordedCount() != 0 ||
			s.GetDraft() != pack.GetDraft() || pack.GetInForce() && (changed != 0 || s.GetOtherReasonsCount() != 0) || pack.GetDraft() && changed == 0 {
			t.Errorf("%s: %v", pack.GetVersion(), got)
		}
	}
	if got := run(&compliancev1.SimulateRequest{RulePack: "2026-01-17", MaxDecisions: 3}); got.GetDecisionCount() != 3 || !got.GetSummary().GetTruncated() {
		t.Errorf("bounded: %v", got)
	}
}

// TestScrubExplains: encoding, the character that forces UCS-2 (requirement 53), predicted codes, remedy, advice on lenient
// operators, other packs and times.
func TestScrubExplains(t *testing.T) {
	w := newWorld(t, today(12))
	c, _ := w.start()
	client, ctx := w.scrubber(c), w.as(w.demo.Tenant, "live", "messages:scrub")
	scrub := func(req *compliancev1.ScrubRequest) *compliancev1.ScrubResult {
		resp, err := client.Scrub(ctx, req)
		must(t, err)
		return resp.GetResult()
	}
	forced := w.text(shipped, "ABCBNK", "Dear Añ\u015b, order 2345 shipped. Track: https://abc.in/t?o=2345 - ABCBNK")
	got := scrub(&compliancev1.ScrubRequest{Message: forced.tried()})
	if f := got.GetForcedBy(); got.GetEncoding() != "UCS2" || got.GetSegmentCount() != 1 || f.GetCodePoint() != "U+015B" || f.GetPosition() != 8 || got.GetOutcome() != "CLEARED" {
		t.Errorf("%v", got)
	}
	off := w.text(otp, "ABCBNK", otpText[:len(otpText)-len(". - ABCBNK")]+" - ABCBNK")
	got = scrub(&compliancev1.ScrubRequest{Message: off.tried()})
	var text *compliancev1.CheckResult
	for _, check := range got.GetChecks() {
		if check.GetCheck() == "text" {
			text = check
		}
	}
	reason := text.GetReasons()[0]
	if text.GetStanding() != compliancev1.CheckStanding_CHECK_STANDING_FAILS || reason.GetCode() != "TEMPLATE_NOT_MATCHED" ||
		reason.GetRemedy() == "" || len(reason.GetOperatorCodes()) == 0 || !got.GetLenientOperatorsPass() || reason.GetMetadata()["position"] == "" {
		t.Errorf("%v", got)
	}
	promotion := w.text(stock, "512345", stockText)
	night := timestamppb.New(time.Date(2026, 3, 1, 22, 0, 0, 0, policy.IST))
	if got = scrub(&compliancev1.ScrubRequest{Message: promotion.tried(), DecideTime: night}); got.GetOutcome() != "HELD" || got.GetDueTime() == nil {
		t.Errorf("at night: %v", got)
	}
	if got = scrub(&compliancev1.ScrubRequest{Message: promotion.tried(), RulePack: "2024-12-11"}); got.GetRulePack() != "2024-12-11" {
		t.Errorf("an older pack: %v", got)
	}
	wrong := w.text("12", "ABCBNK", otpText)
	if got = scrub(&compliancev1.ScrubRequest{Message: wrong.tried()}); fmt.Sprint(failing(got.GetChecks())) != "[TEMPLATE_ID_INVALID]" {
		t.Errorf("an id of two digits: %v", got)
	}
}

// TestScrubRefusals: what is malformed, too much, or not the caller's.
func TestScrubRefusals(t *testing.T) {
	w := newWorld(t, today(12))
	c, _ := w.start()
	client, ctx := w.scrubber(c), w.as(w.demo.Tenant, "live", "messages:scrub", "decisions:read")
	good := w.text(otp, "ABCBNK", otpText)
	many := &compliancev1.BatchScrubRequest{}
	for range 1001 {
		many.Messages = append(many.Messages, good.tried())
	}
	both := good.tried()
	both.Variables = []*ingestv1.Variable{{Value: "1"}}
	other := w.as(uuid.New(), "live", "messages:scrub", "decisions:read")
	_, ids := w.accept("live", "bulk", good)
	for name, c := range map[string]struct {
		call func() error
		want codes.Code
	}{
		"no message":         {func() error { _, err := client.Scrub(ctx, &compliancev1.ScrubRequest{}); return err }, codes.InvalidArgument},
		"none in a batch":    {func() error { _, err := client.BatchScrub(ctx, &compliancev1.BatchScrubRequest{}); return err }, codes.InvalidArgument},
		"too many":           {func() error { _, err := client.BatchScrub(ctx, many); return err }, codes.InvalidArgument},
		"text and variables": {func() error { _, err := client.Scrub(ctx, &compliancev1.ScrubRequest{Message: both}); return err }, codes.InvalidArgument},
		"no such pack": {func() error {
			_, err := client.Scrub(ctx, &compliancev1.ScrubRequest{Message: good.tried(), RulePack: "x"})
			return err
		}, codes.InvalidArgument},
		"without scope": {func() error {
			_, err := client.Scrub(w.as(w.demo.Tenant, "live", "messages:send"), &compliancev1.ScrubRequest{Message: good.tried()})
			return err
		}, codes.PermissionDenied},
		"no decision": {func() error {
			_, err := client.ReplayDecision(ctx, &compliancev1.ReplayDecisionRequest{MessageId: ids[0].String()})
			return err
		}, codes.NotFound},
		"another tenant's": {func() error {
			_, err := client.ExplainDecision(other, &compliancev1.ExplainDecisionRequest{MessageId: ids[0].String()})
			return err
		}, codes.NotFound},
		"a simulation of a year": {func() error {
			stream, err := client.Simulate(ctx, &compliancev1.SimulateRequest{RulePack: "2026-01-17", StartTime: timestamppb.New(time.Now().AddDate(-1, 0, 0))})
			must(t, err)
			_, err = stream.Recv()
			return err
		}, codes.InvalidArgument},
	} {
		if err := c.call(); status.Code(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	resp, err := client.Scrub(other, &compliancev1.ScrubRequest{Message: good.tried()})
	must(t, err)
	if got := failing(resp.GetResult().GetChecks()); !slices.Contains(got, policy.EntityNotFound) || !slices.Contains(got, policy.TemplateNotFound) {
		t.Errorf("another tenant's registry is seen: %v", got)
	}
}
