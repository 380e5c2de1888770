package api

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

var now = time.Date(2026, 11, 22, 4, 30, 0, 0, time.UTC)

func TestTimeline(t *testing.T) {
	e := func(kind message.Kind, round uint32, after time.Duration) message.Event {
		return message.Event{Kind: kind, Round: round, Time: now.Add(after)}
	}
	for name, c := range map[string]struct {
		events []message.Event
		want   string
	}{
		"nothing": {nil, ""},
		"receipt with minutes only": {
			[]message.Event{e(message.KindDelivered, 0, -time.Minute), e(message.KindSubmitted, 0, 2), e(message.KindCleared, 0, 1)},
			"CLEARED SUBMITTED DELIVERED"},
		"given back": {
			[]message.Event{e(message.KindSubmitted, 1, 5), e(message.KindHeld, 1, 3), e(message.KindReturned, 0, 2), e(message.KindCleared, 0, 1), e(message.KindCleared, 1, 4)},
			"CLEARED RETURNED HELD CLEARED SUBMITTED"},
		"refused by both": {
			[]message.Event{e(message.KindRefused, 0, 2), e(message.KindRefused, 0, 1)}, "REFUSED"},
		"late answer": {
			[]message.Event{e(message.KindUnknown, 0, 1), e(message.KindSubmitted, 0, 2), e(message.KindUndelivered, 0, 3), e(message.KindDelivered, 0, 4)},
			"UNKNOWN SUBMITTED UNDELIVERED DELIVERED"},
	} {
		var words []string
		for _, x := range timeline(c.events) {
			words = append(words, x.Kind.Word())
		}
		if got := strings.Join(words, " "); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if got := timeline([]message.Event{e(message.KindRefused, 0, 2), e(message.KindRefused, 0, 1)}); !got[0].Time.Equal(now.Add(1)) {
		t.Error("of two refusals the earlier must stay")
	}
}

func TestGetResponseReasonsAreOfTheState(t *testing.T) {
	d := message.Detail{Summary: message.Summary{Standing: message.Standing{State: message.StateUndelivered}}, Events: []message.Event{
		{Kind: message.KindHeld, Reasons: []message.Reason{{Code: "PROMO_WINDOW"}}},
		{Kind: message.KindFailed, Reasons: []message.Reason{{Code: "OPERATOR_REFUSED"}}, OperatorCode: "0x0b", Encoding: "UCS2", Segments: 3},
	}}
	got := toGetResponse(&d)
	if len(got.GetReasons()) != 1 || got.GetReasons()[0].GetCode() != "OPERATOR_REFUSED" || got.GetSegmentCount() != 3 || got.GetEncoding() != "UCS2" || got.GetScheduleTime() != nil {
		t.Errorf("%v", got)
	}
}

func TestDraftsOfWildTimes(t *testing.T) {
	for name, req := range map[string]*ingestv1.SendMessageRequest{
		"endless validity":              {ValidityPeriod: &durationpb.Duration{Seconds: 1 << 60}},
		"negative validity":             {ValidityPeriod: &durationpb.Duration{Seconds: -1}},
		"contradictory":                 {ValidityPeriod: &durationpb.Duration{Seconds: 1, Nanos: -1}},
		"schedule after all":            {ScheduleTime: &timestamppb.Timestamp{Seconds: 1 << 60}},
		"schedule with odd nanoseconds": {ScheduleTime: &timestamppb.Timestamp{Seconds: 1, Nanos: -1}},
	} {
		_, violations := message.New(draftOf(req), "", now)
		found := false
		for _, v := range violations {
			found = found || v.Reason == "OUT_OF_RANGE"
		}
		if !found {
			t.Errorf("%s: %v", name, violations)
		}
	}
}

func TestPageTokens(t *testing.T) {
	p := principal.Principal{TenantID: uuid.Must(uuid.NewV7()), Env: "live"}
	req := &ingestv1.ListMessagesRequest{State: typev1.MessageState_HELD, ClientReference: "a", StartTime: timestamppb.New(now)}
	id := uuid.Must(uuid.NewV7())
	token := pageToken(req, p, id)
	if got, ok := parsePageToken(req, p, token); !ok || got != id {
		t.Errorf("token %s gives %s, %v", token, got, ok)
	}
	stranger, trial := p, p
	stranger.TenantID, trial.Env = uuid.Must(uuid.NewV7()), "test"
	for name, c := range map[string]struct {
		req   *ingestv1.ListMessagesRequest
		p     principal.Principal
		token string
	}{
		"another tenant":      {req, stranger, token},
		"another environment": {req, trial, token},
		"another state":       {&ingestv1.ListMessagesRequest{ClientReference: "a", StartTime: timestamppb.New(now)}, p, token},
		"another reference":   {&ingestv1.ListMessagesRequest{State: typev1.MessageState_HELD, StartTime: timestamppb.New(now)}, p, token},
		"another start":       {&ingestv1.ListMessagesRequest{State: typev1.MessageState_HELD, ClientReference: "a"}, p, token},
		"changed":             {req, p, "_" + token[1:]},
		"cut":                 {req, p, token[:len(token)-2]},
		"not base64":          {req, p, "!"},
	} {
		if _, ok := parsePageToken(c.req, c.p, c.token); ok {
			t.Errorf("%s: the token is taken", name)
		}
	}
	// The size of a page may change between pages.
	if _, ok := parsePageToken(&ingestv1.ListMessagesRequest{State: typev1.MessageState_HELD, ClientReference: "a", StartTime: timestamppb.New(now), PageSize: 7}, p, token); !ok {
		t.Error("a page of another size is refused")
	}
}

func TestQueries(t *testing.T) {
	p := principal.Principal{TenantID: uuid.Must(uuid.NewV7()), Env: "live"}
	q, err := queryOf(&ingestv1.ListMessagesRequest{}, p, now)
	want := message.Query{Tenant: p.TenantID, Env: "live", Start: now.AddDate(0, 0, -7), End: now, Limit: 50}
	if diff := cmp.Diff(want, q); diff != "" || err != nil {
		t.Error(diff, err)
	}
	for name, req := range map[string]*ingestv1.ListMessagesRequest{
		"page too large":   {PageSize: 501},
		"negative page":    {PageSize: -1},
		"unknown state":    {State: 11},
		"state that wraps": {State: 1<<16 + 10},
		"end before start": {StartTime: timestamppb.New(now), EndTime: timestamppb.New(now)},
		"no time":          {StartTime: &timestamppb.Timestamp{Seconds: 1 << 60}},
		"long reference":   {ClientReference: strings.Repeat("x", 65)},
	} {
		if _, err := queryOf(req, p, now); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
