package api

import (
	"context"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/internal/gsm"
)

// Previewer decides messages that are not sent; *screening.Screener does.
type Previewer interface {
	// Preview decides drafts as messages would be decided, without any effect; a nil pack is the one in force at the time.
	Preview(ctx context.Context, tenant uuid.UUID, env string, drafts []screening.Draft, pack *policy.Pack, at time.Time) ([]screening.Preview, error)
	// Packs are the rule packs there are.
	Packs() policy.Packs
}

// Records are the recorded decisions.
type Records interface {
	Decisions
	// History gives the decisions on a tenant's messages accepted in [start, end) to visit, in the order of acceptance,
	// until visit answers false. What visit is given is its own only until it returns.
	History(ctx context.Context, tenant uuid.UUID, env string, start, end time.Time, visit func(*screening.Recorded) bool) error
}

// ScrubServer is onlinesms.compliance.v1.ScrubService.
type ScrubServer struct {
	compliancev1.UnimplementedScrubServiceServer

	previewer Previewer
	records   Records
	now       func() time.Time
}

// NewScrubServer makes it.
func NewScrubServer(p Previewer, r Records, now func() time.Time) *ScrubServer {
	return &ScrubServer{previewer: p, records: r, now: now}
}

// Scrub implements ScrubService.
func (s *ScrubServer) Scrub(ctx context.Context, req *compliancev1.ScrubRequest) (*compliancev1.ScrubResponse, error) {
	results, err := s.scrub(ctx, []*compliancev1.ScrubMessage{req.GetMessage()}, "message.", req.GetRulePack(), req.GetDecideTime())
	if err != nil {
		return nil, err
	}
	return &compliancev1.ScrubResponse{Result: results[0]}, nil
}

// BatchScrub implements ScrubService.
func (s *ScrubServer) BatchScrub(ctx context.Context, req *compliancev1.BatchScrubRequest) (*compliancev1.BatchScrubResponse, error) {
	results, err := s.scrub(ctx, req.GetMessages(), "", req.GetRulePack(), req.GetDecideTime())
	if err != nil {
		return nil, err
	}
	return &compliancev1.BatchScrubResponse{Results: results}, nil
}

// scrub tries messages; path is where the only one of a request stands, empty for those of a batch.
func (s *ScrubServer) scrub(ctx context.Context, messages []*compliancev1.ScrubMessage, path, version string, at *timestamppb.Timestamp) ([]*compliancev1.ScrubResult, error) {
	p, err := caller(ctx, scopeScrub)
	if err != nil {
		return nil, err
	}
	var wrong checker
	pack, decide := s.pack(&wrong, version), s.now()
	if at != nil {
		wrong.time("decide_time", at)
		decide = at.AsTime()
	}
	if n := len(messages); n == 0 || n > screening.MaxDrafts {
		wrong.add("messages", outOfRange, fmt.Sprintf("1 to %d messages", screening.MaxDrafts))
		return nil, violated(wrong.found...)
	}
	drafts := make([]screening.Draft, len(messages))
	for i, m := range messages {
		if wrong.path = path; path == "" {
			wrong.path = fmt.Sprintf("messages[%d].", i)
		}
		drafts[i] = wrong.draft(m, decide)
	}
	if len(wrong.found) > 0 {
		return nil, violated(wrong.found...)
	}
	previews, err := s.previewer.Preview(ctx, p.TenantID, p.Env, drafts, pack, decide)
	if err != nil {
		return nil, err
	}
	results := make([]*compliancev1.ScrubResult, len(previews))
	for i := range previews {
		results[i] = encodePreview(&previews[i])
	}
	return results, nil
}

// pack is the rule pack of a version; nil for none.
func (s *ScrubServer) pack(wrong *checker, version string) *policy.Pack {
	if version == "" {
		return nil
	}
	pack := s.previewer.Packs().Version(version)
	if pack == nil {
		wrong.add("rule_pack", "RULE_PACK_UNKNOWN", "there is no rule pack of this version; GET /v1/rule-packs lists them")
	}
	return pack
}

func encodePreview(p *screening.Preview) *compliancev1.ScrubResult {
	out := &compliancev1.ScrubResult{Outcome: p.Outcome.String(), RulePack: p.Pack, DecideTime: timestamppb.New(p.At),
		Category: typev1.Category(p.Category), To: p.To, Checks: encodeReport(p.Report())}
	if p.Checked.Has(policy.TextCheck) {
		out.Text = p.Text
	}
	if !p.Due.IsZero() {
		out.DueTime = timestamppb.New(p.Due)
	}
	if p.TextCount == 1 {
		out.LenientOperatorsPass = p.Reasons[p.TextAt].Metadata["lenient"] == "true"
	}
	if p.Text == "" {
		return out
	}
	size := gsm.Measure(p.Text)
	out.Encoding, out.UnitCount, out.SegmentCount = size.Alphabet.String(), uint32(size.Units), uint32(size.Segments)
	if r, offset, forced := gsm.Unencodable(p.Text); forced {
		out.ForcedBy = &compliancev1.ForcingCharacter{Character: string(r), CodePoint: fmt.Sprintf("U+%04X", r),
			Position: uint32(utf8.RuneCountInString(p.Text[:offset]) + 1)}
	}
	return out
}

var standings = [...]compliancev1.CheckStanding{
	policy.NotEvaluated: compliancev1.CheckStanding_CHECK_STANDING_NOT_EVALUATED,
	policy.Passed:       compliancev1.CheckStanding_CHECK_STANDING_PASSED,
	policy.Advises:      compliancev1.CheckStanding_CHECK_STANDING_ADVISES,
	policy.Holds:        compliancev1.CheckStanding_CHECK_STANDING_HOLDS,
	policy.Fails:        compliancev1.CheckStanding_CHECK_STANDING_FAILS,
}

func encodeReport(report []policy.Finding) []*compliancev1.CheckResult {
	out := make([]*compliancev1.CheckResult, len(report))
	for i, f := range report {
		out[i] = &compliancev1.CheckResult{Check: f.Check.String(), Standing: standings[f.Standing]}
		for _, r := range f.Reasons {
			out[i].Reasons = append(out[i].Reasons, encodeReason(r))
		}
	}
	return out
}

func encodeReason(r policy.Reason) *compliancev1.ExplainedReason {
	out := &compliancev1.ExplainedReason{Code: r.Code, Detail: r.Detail, Metadata: r.Metadata}
	if e, ok := policy.Explain(r.Code); ok {
		out.Title, out.Severity, out.Owner, out.Retry, out.Remedy = e.Title, e.Severity, e.Owner, e.Retry, e.Remedy
	}
	for _, c := range policy.OperatorCodes(r) {
		out.OperatorCodes = append(out.OperatorCodes, &compliancev1.OperatorCode{Table: c.Table, Code: c.Code})
	}
	return out
}

// ListRulePacks implements ScrubService.
func (s *ScrubServer) ListRulePacks(ctx context.Context, _ *compliancev1.ListRulePacksRequest) (*compliancev1.ListRulePacksResponse, error) {
	if _, err := caller(ctx, scopeRead); err != nil {
		return nil, err
	}
	packs := s.previewer.Packs()
	inForce, resp := packs.At(s.now()), &compliancev1.ListRulePacksResponse{}
	var drafts []*compliancev1.RulePack
	for i := len(packs) - 1; i >= 0; i-- { // the latest comes first there
		pack := packs[i]
		out := &compliancev1.RulePack{Version: pack.Version, EffectiveTime: timestamppb.New(pack.EffectiveFrom), Draft: pack.Draft,
			Regulation: pack.Regulation, Source: pack.Source, InForce: pack == inForce}
		if pack.Draft {
			drafts = append(drafts, out)
			continue
		}
		resp.RulePacks = append(resp.RulePacks, out)
	}
	resp.RulePacks = append(resp.RulePacks, drafts...)
	return resp, nil
}
