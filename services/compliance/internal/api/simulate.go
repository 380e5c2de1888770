package api

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// Bounds of a simulation.
const (
	maxSimulated     = 10_000_000
	defaultSimulated = 1_000_000
	maxSpan          = 31 * 24 * time.Hour
	defaultSpan      = 24 * time.Hour
	progressEvery    = 10_000 // decisions
)

// Simulate implements ScrubService. Memory is bounded: changes are counted by outcome and reason.
func (s *ScrubServer) Simulate(req *compliancev1.SimulateRequest, stream grpc.ServerStreamingServer[compliancev1.SimulateResponse]) error {
	p, err := caller(stream.Context(), scopeRead)
	if err != nil {
		return err
	}
	start, end, most, simulation, err := s.simulation(req)
	if err != nil {
		return err
	}
	seen, sent := int64(0), error(nil)
	last := &compliancev1.SimulateResponse{}
	truncated := false
	err = s.records.History(stream.Context(), p.TenantID, p.Env, start, end, func(r *screening.Recorded) bool {
		if truncated = seen == most; truncated {
			return false
		}
		simulation.Add(r)
		seen++
		last.DecisionCount, last.AcceptTime = seen, timestamppb.New(postgres.Minted(screening.Accepted(r.Message)))
		if seen%progressEvery == 0 {
			sent = stream.Send(last)
		}
		return sent == nil
	})
	if sent != nil {
		return sent
	}
	if err != nil {
		return err
	}
	last.Summary = summary(simulation, truncated)
	return stream.Send(last)
}

// simulation reads a request.
func (s *ScrubServer) simulation(req *compliancev1.SimulateRequest) (start, end time.Time, most int64, simulation *screening.Simulation, err error) {
	var wrong checker
	if req.GetRulePack() == "" {
		wrong.add("rule_pack", required, "name the rule pack to try; GET /v1/rule-packs lists them")
	}
	simulation = &screening.Simulation{Pack: s.pack(&wrong, req.GetRulePack())}
	wrong.time("start_time", req.GetStartTime())
	wrong.time("end_time", req.GetEndTime())
	end = s.now()
	if req.GetEndTime() != nil {
		end = req.GetEndTime().AsTime()
	}
	start = end.Add(-defaultSpan)
	if req.GetStartTime() != nil {
		start = req.GetStartTime().AsTime()
	}
	switch span := end.Sub(start); {
	case span <= 0:
		wrong.add("end_time", outOfRange, "must be after start_time")
	case span > maxSpan:
		wrong.add("start_time", outOfRange, "at most 31 days before end_time; simulate longer spans part by part")
	}
	if most = req.GetMaxDecisions(); most == 0 {
		most = defaultSimulated
	}
	if most < 0 || most > maxSimulated {
		wrong.add("max_decisions", outOfRange, "1 to 10000000")
	}
	if len(wrong.found) > 0 {
		err = violated(wrong.found...)
	}
	return start, end, most, simulation, err
}

func summary(s *screening.Simulation, truncated bool) *compliancev1.SimulationSummary {
	out := &compliancev1.SimulationSummary{RulePack: s.Pack.Version, Draft: s.Pack.Draft, SameCount: s.Same,
		OtherReasonsCount: s.Reasoned, NotRecordedCount: s.Unrecorded, Truncated: truncated}
	for _, c := range s.Changes() {
		change := &compliancev1.SimulatedChange{From: c.From.String(), To: c.To.String(), Reason: c.Reason, Count: c.Count}
		for _, id := range c.Samples {
			change.SampleMessageIds = append(change.SampleMessageIds, id.String())
		}
		out.Changes = append(out.Changes, change)
	}
	return out
}
