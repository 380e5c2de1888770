package api

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
)

// Why a decision is not made again.
const (
	factsNotRecorded = "FACTS_NOT_RECORDED"
	rulePackUnknown  = "RULE_PACK_UNKNOWN"
)

// ExplainDecision implements ScrubService.
func (s *ScrubServer) ExplainDecision(ctx context.Context, req *compliancev1.ExplainDecisionRequest) (*compliancev1.ExplainDecisionResponse, error) {
	found, err := s.recorded(ctx, req.GetMessageId())
	if err != nil {
		return nil, err
	}
	resp := &compliancev1.ExplainDecisionResponse{}
	for i := range found {
		resp.Decisions = append(resp.Decisions, s.explain(&found[i]))
	}
	return resp, nil
}

// recorded are the decisions on a message of the caller's, with what they were made from.
func (s *ScrubServer) recorded(ctx context.Context, id string) ([]screening.Recorded, error) {
	p, err := caller(ctx, scopeRead)
	if err != nil {
		return nil, err
	}
	message, err := uuid.Parse(id)
	if err != nil {
		return nil, invalid("message_id", "not a UUID")
	}
	return s.records.Decisions(ctx, p.TenantID, p.Env, message)
}

func (s *ScrubServer) explain(r *screening.Recorded) *compliancev1.ExplainedDecision {
	out := &compliancev1.ExplainedDecision{Outcome: r.Outcome.String(), Round: r.Round, RulePack: r.Pack, DecideTime: timestamppb.New(r.At),
		DecideTimeIst: r.At.In(policy.IST).Format(time.RFC3339Nano), Category: typev1.Category(r.Category),
		DecisionDigest: hex.EncodeToString(r.Digest[:])}
	if !r.Due.IsZero() {
		out.DueTime = timestamppb.New(r.Due)
	}
	decision, pack := r.Decision, s.previewer.Packs().Version(r.Pack)
	if pack != nil {
		out.Regulation, out.Source = pack.Regulation, pack.Source
	}
	if pack != nil && r.Facts != nil { // which checks were made is not recorded: it follows from the facts
		decision.Checked = r.Replay(pack).Checked
	}
	for _, c := range encodeReport(decision.Report()) {
		if decision.Checked != 0 || len(c.GetReasons()) > 0 {
			out.Checks = append(out.Checks, c)
		}
	}
	if r.Facts != nil {
		for _, w := range r.Facts.Words() {
			out.Facts = append(out.Facts, &compliancev1.Fact{Name: w.Name, Value: w.Value})
		}
	}
	return out
}

// ReplayDecision implements ScrubService.
func (s *ScrubServer) ReplayDecision(ctx context.Context, req *compliancev1.ReplayDecisionRequest) (*compliancev1.ReplayDecisionResponse, error) {
	found, err := s.recorded(ctx, req.GetMessageId())
	if err != nil {
		return nil, err
	}
	resp := &compliancev1.ReplayDecisionResponse{Identical: true}
	for i := range found {
		replayed := s.replay(&found[i])
		resp.Decisions = append(resp.Decisions, replayed)
		resp.Identical = resp.Identical && replayed.GetIdentical()
	}
	return resp, nil
}

func (s *ScrubServer) replay(r *screening.Recorded) *compliancev1.ReplayedDecision {
	out := &compliancev1.ReplayedDecision{Round: r.Round, RulePack: r.Pack, DecideTime: timestamppb.New(r.At),
		DecisionDigest: hex.EncodeToString(r.Digest[:])}
	pack := s.previewer.Packs().Version(r.Pack)
	switch {
	case r.Facts == nil:
		out.NotReplayed = factsNotRecorded
		return out
	case pack == nil:
		out.NotReplayed = rulePackUnknown
		return out
	}
	d := r.Replay(pack)
	out.Outcome = d.Outcome.String()
	for _, x := range r.Differences(&d) {
		out.Differences = append(out.Differences, &compliancev1.DecisionDifference{Field: x.Field, Recorded: x.Recorded, Replayed: x.Replayed})
	}
	out.Identical = len(out.Differences) == 0
	return out
}
