package delivery

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/encoding"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/route"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/smpp"
)

var noon = time.Date(2026, 10, 12, 12, 0, 0, 0, route.IST)

func testRoute(t testing.TB) *route.Route {
	t.Helper()
	routes, err := route.Parse([]byte(`routes: [{name: sim, env: [test], addr: "127.0.0.1:1", system_id: a, window: 20, tps: 1000}]`))
	if err != nil {
		t.Fatal(err)
	}
	return routes.All()[0]
}

func testMessage(segments int) *Message {
	m := &Message{Parcel: &Parcel{Env: "test", Lane: Bulk, Route: "sim"}, Header: "ABCBNK", To: "919800000000"}
	m.Text = encoding.Message{Segments: make([][]byte, segments), UDHI: segments > 1}
	return m
}

func answers(kinds ...smpp.Result) []smpp.Result { return kinds }

func ok(id string) smpp.Result {
	return smpp.Result{Outcome: smpp.Answered, Status: smpp.StatusOK, MessageID: id}
}

func status(s smpp.Status) smpp.Result { return smpp.Result{Outcome: smpp.Answered, Status: s} }

var (
	timedOut = smpp.Result{Outcome: smpp.TimedOut}
	lost     = smpp.Result{Outcome: smpp.Lost}
	notSent  = smpp.Result{Outcome: smpp.NotSent}
)

func TestFlight(t *testing.T) {
	type want struct {
		Kind     Kind
		Reason   string
		Code     string
		Segment  int
		Accepted []Accepted
		Record   bool
		Again    bool
	}
	for name, c := range map[string]struct {
		answers []smpp.Result
		want    want
	}{
		"taken":                  {answers(ok("7")), want{Kind: Submitted, Accepted: []Accepted{{1, "7"}}, Record: true}},
		"throttled X01":          {answers(status(0x58)), want{Kind: Released, Record: true, Again: true}},
		"queue full":             {answers(status(0x14)), want{Kind: Released, Record: true, Again: true}},
		"never written":          {answers(notSent), want{Kind: Released, Record: true, Again: true}},
		"system error":           {answers(status(0x08)), want{Kind: Retried, Reason: ReasonUnavailable, Code: "0x08", Record: true, Again: true}},
		"no answer":              {answers(timedOut), want{Kind: Unknown, Reason: ReasonUnanswered, Record: true}},
		"connection lost":        {answers(lost), want{Kind: Unknown, Reason: ReasonUnanswered, Record: true}},
		"taken without an id":    {answers(ok("")), want{Kind: Unknown, Reason: ReasonUnanswered, Record: true}},
		"template not matched":   {answers(status(633)), want{Kind: Failed, Reason: "TEMPLATE_NOT_MATCHED", Code: "633", Record: true}},
		"unknown code":           {answers(status(9999)), want{Kind: Failed, Reason: "OPERATOR_REFUSED", Code: "9999", Record: true}},
		"promotional hours":      {answers(status(651)), want{Kind: Returned, Reason: "PROMO_WINDOW", Code: "651", Record: true}},
		"one of three refused":   {answers(ok("1"), status(0x0B), ok("3")), want{Kind: Failed, Reason: "RECIPIENT_INVALID", Code: "0x0B", Segment: 2, Accepted: []Accepted{{1, "1"}, {3, "3"}}, Record: true}},
		"one of two unanswered":  {answers(ok("1"), timedOut), want{Kind: Unknown, Reason: ReasonUnanswered, Segment: 2, Accepted: []Accepted{{1, "1"}}, Record: true}},
		"one of two throttled":   {answers(ok("1"), status(0x58)), want{Again: true}}, // the rest is sent under the same doubt
		"refused beats lost":     {answers(lost, status(0x0A)), want{Kind: Failed, Reason: "HEADER_NOT_FOUND", Code: "0x0A", Segment: 2, Record: true}},
		"both of two taken":      {answers(ok("1"), ok("2")), want{Kind: Submitted, Accepted: []Accepted{{1, "1"}, {2, "2"}}, Record: true}},
		"partly out of its hour": {answers(ok("1"), status(651)), want{Kind: Failed, Reason: "PROMO_WINDOW", Code: "651", Segment: 2, Accepted: []Accepted{{1, "1"}}, Record: true}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFlight(testMessage(len(c.answers)))
			var v verdict
			for i := range c.answers {
				if v = f.judge(noon); v.record || v.again {
					t.Fatalf("verdict with %d segments awaited", f.awaited)
				}
				f.answer(i, &c.answers[i], testRoute(t))
			}
			v = f.judge(noon)
			got := want{v.result.Kind, v.result.Reason, v.result.Code, v.result.Segment, v.result.Accepted, v.record, v.again}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFlightLateAnswer(t *testing.T) {
	rt := testRoute(t)
	f := newFlight(testMessage(2))
	f.answer(0, &timedOut, rt)
	f.answer(1, &timedOut, rt)
	if v := f.judge(noon); v.result.Kind != Unknown || v.result.Late {
		t.Fatalf("%+v", v)
	}
	late := ok("11")
	f.answer(0, &late, rt)
	v := f.judge(noon)
	if !v.record || v.result.Kind != 0 || !v.result.Late || len(v.result.Accepted) != 1 || v.result.lasting() {
		t.Fatalf("an id alone: %+v", v)
	}
	if f.closed() {
		t.Fatal("closed with an answer missing")
	}
	late = ok("12")
	f.answer(1, &late, rt)
	v = f.judge(noon)
	if v.result.Kind != Submitted || !v.result.Late || !cmp.Equal(v.result.Accepted, []Accepted{{2, "12"}}) || !f.closed() {
		t.Fatalf("all known: %+v", v)
	}
}

func TestFlightLateRefusalIsNeverSubmittedAgain(t *testing.T) {
	for _, s := range []smpp.Status{0x58, 0x08, 651} {
		f := newFlight(testMessage(1))
		f.answer(0, &timedOut, testRoute(t))
		f.judge(noon)
		late := status(s)
		f.answer(0, &late, testRoute(t))
		if v := f.judge(noon); v.result.Kind != Failed || v.again {
			t.Errorf("status %v: %+v", s, v)
		}
	}
}

func TestFlightBoundsAttempts(t *testing.T) {
	m := testMessage(1)
	bad := status(0x45)
	for i, wait := range []time.Duration{30 * time.Second, 2 * time.Minute, 10 * time.Minute} {
		f := newFlight(m)
		f.answer(0, &bad, testRoute(t))
		if v := f.judge(noon); v.result.Kind != Retried || !m.notDue.Equal(noon.Add(wait)) {
			t.Fatalf("attempt %d: %+v, due %v", i, v, m.notDue)
		}
	}
	f := newFlight(m)
	f.answer(0, &bad, testRoute(t))
	if v := f.judge(noon); v.result.Kind != Failed || v.again {
		t.Fatalf("last attempt: %+v", v)
	}
}

func TestRestOfAPartlyTakenMessage(t *testing.T) {
	m := testMessage(3)
	rt := testRoute(t)
	f := newFlight(m)
	for i, a := range answers(ok("1"), status(0x58), ok("3")) {
		f.answer(i, &a, rt)
	}
	if v := f.judge(noon); v.record || !v.again {
		t.Fatalf("%+v", v)
	}
	f = newFlight(m)
	if len(f.segments) != 1 || f.segments[0].number != 1 {
		t.Fatalf("segments %+v", f.segments)
	}
	late := ok("2")
	f.answer(0, &late, rt)
	if v := f.judge(noon); v.result.Kind != Submitted || !cmp.Equal(v.result.Accepted, []Accepted{{1, "1"}, {2, "2"}, {3, "3"}}) {
		t.Fatalf("%+v", v)
	}
}

func TestRepair(t *testing.T) {
	all := []uint16{0, 1, 2, 3, 4, 5}
	requeue, doubt, attempts := Repair(7,
		[]Mark{{0, all}, {0, []uint16{4, 5}}, {0, []uint16{99}}},
		[]Mark{{Submitted, []uint16{0}}, {Failed, []uint16{1}}, {Released, []uint16{3, 4}}, {Retried, []uint16{5}}, {Retried, []uint16{5}}})
	if diff := cmp.Diff([]uint16{3, 5, 6}, requeue); diff != "" {
		t.Error("requeue", diff) // 3 released, 5 refused twice for a passing reason, 6 never intended
	}
	if diff := cmp.Diff([]uint16{2, 4}, doubt); diff != "" {
		t.Error("doubt", diff) // 2 without a result, 4 intended again after its release
	}
	if attempts[5] != 2 || attempts[4] != 0 {
		t.Errorf("attempts %v", attempts)
	}
}

func TestAggregate(t *testing.T) {
	for name, c := range map[string]struct {
		segments int
		heard    []Heard
		want     Kind
	}{
		"one":                         {1, []Heard{{1, StateDelivered}}, Delivered},
		"none":                        {2, nil, 0},
		"part":                        {2, []Heard{{1, StateDelivered}}, 0},
		"all":                         {2, []Heard{{2, StateDelivered}, {1, StateDelivered}}, Delivered},
		"one failed":                  {2, []Heard{{1, StateDelivered}, {2, StateUndeliverable}}, Undelivered},
		"expired, then refused":       {2, []Heard{{1, StateExpired}, {2, StateRejected}}, Undelivered},
		"expired":                     {2, []Heard{{1, StateExpired}}, Expired},
		"delivered after expired X05": {1, []Heard{{1, StateExpired}, {1, StateDelivered}}, Delivered},
		"on the way":                  {1, []Heard{{1, 1}, {1, 6}}, 0},
		"no such segment":             {1, []Heard{{3, StateDelivered}}, 0},
	} {
		if got := Aggregate(c.segments, c.heard); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestBacklogOrder(t *testing.T) {
	b := newBacklog()
	var all []*Message
	for i := range 200 {
		m := testMessage(1)
		m.Index = uint16(i)
		all = append(all, m)
	}
	b.push(all...)
	first := b.pop(Bulk, 10, nil)
	b.unpop(first)
	all[199].notDue = time.Time{}
	waiting := testMessage(1)
	waiting.notDue, waiting.Index = noon.Add(time.Minute), 500
	b.push(waiting)
	if next := b.due(noon); !next.Equal(noon.Add(time.Minute)) {
		t.Errorf("next due %v", next)
	}
	if got := b.pop(Bulk, 300, nil); !cmp.Equal(all, got, cmpopts.EquateComparable(), cmp.Comparer(func(a, b *Message) bool { return a == b })) {
		t.Errorf("order changed: %d messages", len(got))
	}
	b.due(noon.Add(time.Minute))
	if got := b.pop(Bulk, 1, nil); len(got) != 1 || got[0] != waiting {
		t.Errorf("what was due did not come")
	}
}

func TestBacklogFull(t *testing.T) {
	b := newBacklog()
	for range backlogLimits[OTP] {
		m := testMessage(1)
		m.Parcel.Lane = OTP
		b.push(m)
	}
	room := b.full(OTP)
	if room == nil || b.full(Bulk) != nil {
		t.Fatal("limits")
	}
	b.pop(OTP, 1, nil)
	select {
	case <-room:
	default:
		t.Error("room not told")
	}
}

func TestValidity(t *testing.T) {
	m := testMessage(1)
	if got := validity(m, noon); got != "" {
		t.Errorf("without an end: %q", got)
	}
	m.Expire = noon.Add(26*time.Hour + 3*time.Minute + 4*time.Second)
	if got := validity(m, noon); got != "000001020304000R" {
		t.Errorf("relative: %q", got)
	}
	m.Promotional = true
	if got := validity(m, noon); got != "000000090000000R" {
		t.Errorf("until 21:00: %q", got)
	}
	m.Expire = noon.Add(time.Millisecond)
	if got := validity(m, noon); got != "000000000001000R" {
		t.Errorf("at least a second: %q", got)
	}
}

func BenchmarkFlight(b *testing.B) {
	rt := testRoute(b)
	m := testMessage(1)
	answer := ok("1234567890")
	b.ReportAllocs()
	for b.Loop() {
		m.ids = nil
		f := newFlight(m)
		f.answer(0, &answer, rt)
		if v := f.judge(noon); v.result.Kind != Submitted {
			b.Fatal(v)
		}
	}
}
