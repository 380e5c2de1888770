package api

import (
	"context"
	"encoding/base64"
	"strings"
	"time"

	"github.com/google/uuid"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/preference"
)

const scopePreferencesRead = "preferences:read"

// Register is the replica's preference register.
type Register interface {
	// View answers the register in force, to be closed once.
	View() preference.View
	// Answered is the code by which an operator refused promotion to a number lately; 0 for none.
	Answered(env string, n preference.Number, now time.Time) preference.Code
	// Sequence is how many changes were made to the file in force.
	Sequence() uint64
}

// Runs answers scrub runs before the one of this time and id, the latest first; from the latest on with a zero time.
type Runs interface {
	PreferenceRuns(ctx context.Context, before time.Time, id uuid.UUID, limit int) ([]preference.Record, error)
}

// PreferenceServer is onlinesms.compliance.v1.PreferenceService. The register is the platform's: tenants read, and only the
// operator's command writes.
type PreferenceServer struct {
	compliancev1.UnimplementedPreferenceServiceServer

	register Register
	runs     Runs
	now      func() time.Time
}

// NewPreferenceServer makes it.
func NewPreferenceServer(r Register, runs Runs, now func() time.Time) *PreferenceServer {
	return &PreferenceServer{register: r, runs: runs, now: now}
}

// Lookup implements PreferenceService.
func (s *PreferenceServer) Lookup(ctx context.Context, req *compliancev1.PreferenceServiceLookupRequest) (*compliancev1.PreferenceServiceLookupResponse, error) {
	p, err := caller(ctx, scopePreferencesRead)
	if err != nil {
		return nil, err
	}
	number, ok := preference.ParseNumber(req.GetTo())
	at := s.now()
	if req.GetDeliverTime() != nil {
		at = timeOf(req.GetDeliverTime())
	}
	switch {
	case !ok:
		return nil, invalid("to", "an Indian mobile number in E.164: +91 and ten digits of which the first is 6-9")
	case req.GetGoods() < 0 || req.GetGoods() > 8:
		return nil, invalid("goods", "a category of goods is 1-8, or 0 for others")
	case req.GetDeliverTime() != nil && !req.GetDeliverTime().IsValid():
		return nil, invalid("deliver_time", "not a time")
	}
	view := s.register.View()
	defer view.Close()
	run, found := view.Run(), view.Look(number)
	resp := &compliancev1.PreferenceServiceLookupResponse{Answer: "UNAVAILABLE"}
	if !run.Fresh(at) {
		return resp, nil
	}
	resp.RunId = run.ID.String()
	part := found.Preference.Blocks(preference.Message{Goods: int(req.GetGoods()), Mode: preference.SMS, At: at, Holiday: preference.NationalHoliday(at)})
	switch {
	case s.register.Answered(p.Env, number, s.now()) != 0:
		resp.Answer, resp.BlockedBy = "BLOCKED", "operator"
	case !found.Scrubbed:
		resp.Answer = "NOT_SCRUBBED"
	case part != preference.Free:
		resp.Answer, resp.BlockedBy = "BLOCKED", part.String()
	default:
		resp.Answer = "FREE"
	}
	return resp, nil
}

// GetFreshness implements PreferenceService.
func (s *PreferenceServer) GetFreshness(ctx context.Context, _ *compliancev1.GetFreshnessRequest) (*compliancev1.GetFreshnessResponse, error) {
	if _, err := caller(ctx, scopePreferencesRead); err != nil {
		return nil, err
	}
	view := s.register.View()
	defer view.Close()
	run := view.Run()
	if run.ID == uuid.Nil {
		return &compliancev1.GetFreshnessResponse{}, nil
	}
	return &compliancev1.GetFreshnessResponse{Fresh: run.Fresh(s.now()), Changes: int64(s.register.Sequence()),
		Run: encodeRun(preference.Record{Run: run})}, nil
}

// ListRuns implements PreferenceService.
func (s *PreferenceServer) ListRuns(ctx context.Context, req *compliancev1.ListRunsRequest) (*compliancev1.ListRunsResponse, error) {
	if _, err := caller(ctx, scopePreferencesRead); err != nil {
		return nil, err
	}
	size := int(req.GetPageSize())
	if size == 0 {
		size = 50
	}
	if size < 1 || size > 500 {
		return nil, invalid("page_size", "1-500, or 0 for 50")
	}
	before, id, ok := readRunToken(req.GetPageToken())
	if !ok {
		return nil, invalid("page_token", "not a token of this list")
	}
	runs, err := s.runs.PreferenceRuns(ctx, before, id, size+1)
	if err != nil {
		return nil, err
	}
	resp := &compliancev1.ListRunsResponse{}
	if len(runs) > size {
		runs = runs[:size]
		resp.NextPageToken = runToken(runs[size-1])
	}
	for _, r := range runs {
		resp.Runs = append(resp.Runs, encodeRun(r))
	}
	return resp, nil
}

func encodeRun(r preference.Record) *compliancev1.ScrubRun {
	return &compliancev1.ScrubRun{RunId: r.ID.String(), Provider: r.Provider, Reference: r.Reference, Coverage: r.Coverage.String(),
		ScrubTime: timestamp(r.At), ExpireTime: timestamp(r.Expires), Numbers: int64(r.Numbers), Suppressed: int64(r.Suppressed),
		Lines: int64(r.Lines), ImportTime: timestamp(r.Imported)}
}

func runToken(r preference.Record) string {
	return base64.RawURLEncoding.EncodeToString([]byte(r.Imported.UTC().Format(time.RFC3339Nano) + " " + r.ID.String()))
}

func readRunToken(token string) (at time.Time, id uuid.UUID, ok bool) {
	if token == "" {
		return at, id, true
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return at, id, false
	}
	when, name, _ := strings.Cut(string(raw), " ")
	if at, err = time.Parse(time.RFC3339Nano, when); err != nil {
		return at, id, false
	}
	id, err = uuid.Parse(name)
	return at, id, err == nil
}
