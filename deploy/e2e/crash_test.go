//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
)

const (
	crashMessages      = 20_000
	crashMessagesShort = 4_000
	crashBatch         = 100
	// recovered bounds how long all of it may take to settle after the last crash: leases, acknowledgement timeouts
	// and in-doubt repair run into tens of seconds.
	recovered = 4 * time.Minute
)

// flood is what the tenants send while processes die.
type flood struct {
	accepted atomic.Int64 // all tenants
	mu       sync.Mutex
	ids      map[string][]string // by tenant
}

func (f *flood) add(tenant string, results ...*ingestv1.SendMessageResponse) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, result := range results {
		f.ids[tenant] = append(f.ids[tenant], result.GetMessageId())
	}
	f.accepted.Add(int64(len(results)))
}

// TestNothingIsLostOrDoubledWhenProcessesDie kills every process of the platform in turn while messages of four tenants
// flow, and then counts.
func TestNothingIsLostOrDoubledWhenProcessesDie(t *testing.T) {
	total := crashMessages
	if testing.Short() {
		total = crashMessagesShort
	}
	before := simulatorStats(t)
	existing := map[string]map[string]typev1.MessageState{}
	trails := map[string]trail{}
	for _, s := range senders() {
		existing[s.tenant] = listAll(t, messages(t, s.tenant))
		trails[s.tenant] = readTrail(t.Context(), t, auditor(t, s.tenant))
	}
	began := time.Now()
	sent := &flood{ids: map[string][]string{}}
	victims := victims()
	// A kill each time another share of the messages is accepted, and one share after the last kill.
	share := int64(total / (len(victims) + 1))
	var wg sync.WaitGroup
	gate := newGate()
	for n, s := range senders() {
		doors := doorsOf(t, s.tenant)
		wg.Go(func() { sendFlood(t, s, n, total/len(senders()), doors, sent, gate) })
	}
	for i, kill := range victims {
		gate.open(int64(i+1) * share / int64(len(senders())))
		eventually(t, 2*time.Minute, fmt.Sprintf("%d messages are accepted", int64(i+1)*share), func() bool {
			return sent.accepted.Load() >= int64(i+1)*share*9/10 || t.Failed()
		})
		t.Logf("%d accepted; killing %s", sent.accepted.Load(), kill.name)
		kill.now(t)
	}
	gate.open(int64(total))
	wg.Wait()
	t.Logf("%d accepted", sent.accepted.Load())
	if got := sent.accepted.Load(); got != int64(total) && !t.Failed() {
		t.Fatalf("%d accepted, want %d", got, total)
	}
	for _, s := range senders() {
		checkStates(t, s, sent.ids[s.tenant], existing[s.tenant])
		checkTrail(t, s, len(sent.ids[s.tenant]), trails[s.tenant])
		checkDecisions(t, s, sent.ids[s.tenant], began)
	}
	after := simulatorStats(t)
	if after.Duplicates != before.Duplicates {
		t.Errorf("the operator got %d messages twice", after.Duplicates-before.Duplicates)
	}
	if after.TLV.Missing != before.TLV.Missing || after.TLV.Malformed != before.TLV.Malformed {
		t.Errorf("%d segments lacked a parameter", after.TLV.Missing+after.TLV.Malformed)
	}
	t.Logf("operator: %d submits, %d distinct", after.Totals.Submits-before.Totals.Submits, after.Distinct-before.Distinct)
}

// gate lets each sender go up to a number of messages, so that the crashes fall into the flow and not behind it.
type gate struct {
	mu    sync.Mutex
	limit int64
	moved chan struct{}
}

func newGate() *gate { return &gate{moved: make(chan struct{})} }

// open raises the limit. The next share is let in while the process that was killed comes back.
func (g *gate) open(limit int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limit = limit
	close(g.moved)
	g.moved = make(chan struct{})
}

func (g *gate) wait(ctx context.Context, sent int64) error {
	for {
		g.mu.Lock()
		limit, moved := g.limit, g.moved
		g.mu.Unlock()
		if sent < limit {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sendFlood sends count messages of one tenant: of every 200 one batch of 100 under one idempotency key, and 100 single
// sends, each repeated under its key until it is accepted; at both doors in turn.
func sendFlood(t *testing.T, s sender, n, count int, doors []ingestv1.MessageServiceClient, sent *flood, gate *gate) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	run := nextNumber()
	for at := 0; at < count; at += crashBatch {
		if err := gate.wait(ctx, int64(at)); err != nil {
			t.Errorf("tenant %s: %v", s.tenant, err)
			return
		}
		var err error
		if (at/crashBatch)%2 == 0 {
			err = sendBatch(ctx, s, n, at, run, doors, sent)
		} else {
			err = sendSingles(ctx, s, n, at, run, doors, sent)
		}
		if err != nil {
			t.Errorf("tenant %s: %v", s.tenant, err)
			return
		}
	}
}

// doorsOf connects to both replicas of the door with a tenant's test key.
func doorsOf(t *testing.T, tenant string) []ingestv1.MessageServiceClient {
	t.Helper()
	var doors []ingestv1.MessageServiceClient
	for _, addr := range []string{platform.Env("ONLINESMS_GRPC_ADDR"), platform.Env("ONLINESMS_GRPC_ADDR_2")} {
		doors = append(doors, ingestv1.NewMessageServiceClient(dial(t, addr, keyOf(t, tenant, "test"))))
	}
	return doors
}

// unique makes a message no other equals: tenant and place stand in number and code.
func (s sender) unique(n, at int) *ingestv1.OutgoingMessage {
	return &ingestv1.OutgoingMessage{To: fmt.Sprintf("+9197%d%07d", n, at), EntityId: s.entity, Header: s.header,
		TemplateId: s.template, Text: fmt.Sprintf(s.format, fmt.Sprintf("%d%07d", n+1, at))}
}

func sendBatch(ctx context.Context, s sender, n, at int, run string, doors []ingestv1.MessageServiceClient, sent *flood) error {
	request := &ingestv1.BatchSendMessagesRequest{}
	for i := range crashBatch {
		request.Messages = append(request.Messages, s.unique(n, at+i))
	}
	key := fmt.Sprintf("crash-%s-%d-%d", run, n, at)
	return insist(ctx, doors, func(ctx context.Context, door ingestv1.MessageServiceClient) error {
		answer, err := door.BatchSendMessages(idempotent(ctx, key), request, grpc.WaitForReady(false))
		if err == nil {
			sent.add(s.tenant, answer.GetMessages()...)
		}
		return err
	})
}

func sendSingles(ctx context.Context, s sender, n, at int, run string, doors []ingestv1.MessageServiceClient, sent *flood) error {
	failures := make(chan error, crashBatch)
	var wg sync.WaitGroup
	for i := range crashBatch {
		wg.Go(func() {
			m := s.unique(n, at+i)
			request := &ingestv1.SendMessageRequest{To: m.To, EntityId: m.EntityId, Header: m.Header, TemplateId: m.TemplateId, Text: m.Text}
			key := fmt.Sprintf("crash-%s-%d-%d", run, n, at+i)
			failures <- insist(ctx, doors, func(ctx context.Context, door ingestv1.MessageServiceClient) error {
				answer, err := door.SendMessage(idempotent(ctx, key), request)
				if err == nil {
					sent.add(s.tenant, answer)
				}
				return err
			})
		})
	}
	wg.Wait()
	close(failures)
	for err := range failures {
		if err != nil {
			return err
		}
	}
	return nil
}

// insist repeats a call, at the doors in turn, while the platform is unwell. A refusal for any other cause is an error:
// a crash must not look like the sender's fault.
func insist(ctx context.Context, doors []ingestv1.MessageServiceClient, once func(context.Context, ingestv1.MessageServiceClient) error) error {
	pause := time.NewTicker(pollEvery)
	defer pause.Stop()
	for try := 0; ; try++ {
		attempt, cancel := context.WithTimeout(ctx, 15*time.Second)
		err := once(attempt, doors[try%len(doors)])
		cancel()
		switch status.Code(err) {
		case codes.OK:
			return nil
		case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Aborted, codes.Canceled:
		default:
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-pause.C:
		}
	}
}

// victim is a process and how it is made to die.
type victim struct {
	name string
	now  func(t *testing.T)
}

// victims: both replicas of the services share the work, so one dies at a time, the first of some and the second of
// others; NATS and PostgreSQL there is one of.
func victims() []victim {
	var all []victim
	for _, name := range []string{"ingest", "compliance-2", "dispatch", "audit-2", "nats-server", "dispatch-2", "compliance", "audit", "ingest-2"} {
		all = append(all, victim{name, func(t *testing.T) { kill(t, name) }})
	}
	return append(all[:5:5], append([]victim{{"PostgreSQL (immediate stop)", stopPostgres}}, all[5:]...)...)
}

func kill(t *testing.T, process string) {
	t.Helper()
	var old int
	eventually(t, patience, process+" runs", func() bool { old = platform.Pid(process); return old != 0 })
	if err := platform.Signal(old, syscall.SIGKILL); err != nil {
		t.Fatalf("kill %s: %v", process, err)
	}
	eventually(t, patience, process+" is started again", func() bool { now := platform.Pid(process); return now != 0 && now != old })
}

// stopPostgres is `pg_ctl stop -m immediate`: no checkpoint, recovery from the log at the next start.
func stopPostgres(t *testing.T) {
	t.Helper()
	old := platform.Postmaster()
	if err := platform.Signal(old, syscall.SIGQUIT); err != nil {
		t.Fatalf("stop PostgreSQL: %v", err)
	}
	eventually(t, patience, "PostgreSQL is started again", func() bool { now := platform.Postmaster(); return now != 0 && now != old })
}

// settled are the states a message may stay in.
func settled(state typev1.MessageState) bool {
	switch state {
	case typev1.MessageState_DELIVERED, typev1.MessageState_UNDELIVERED, typev1.MessageState_EXPIRED,
		typev1.MessageState_REFUSED, typev1.MessageState_CANCELLED, typev1.MessageState_UNKNOWN:
		return true
	}
	return false
}

// mostInDoubt is how many of a tenant's messages may end UNKNOWN: a dispatcher that dies leaves at most 500 results that
// are not written down. A fifth, where a short run gives a tenant few messages.
const mostInDoubt = 500

// checkStates: every accepted message is there, settled, and there is none that was not accepted.
func checkStates(t *testing.T, s sender, accepted []string, existing map[string]typev1.MessageState) {
	t.Helper()
	client := messages(t, s.tenant)
	counts := map[string]int{}
	eventually(t, recovered, "all messages of tenant "+s.tenant+" are settled", func() bool {
		states := listAll(t, client)
		clear(counts)
		open := 0
		for _, id := range accepted {
			state, ok := states[id]
			if !ok {
				t.Fatalf("message %s was accepted and is gone", id)
			}
			counts[state.String()]++
			if !settled(state) {
				open++
			}
		}
		if len(states)-len(existing) != len(accepted) {
			t.Fatalf("%d new messages, but %d were accepted", len(states)-len(existing), len(accepted))
		}
		return open == 0
	})
	t.Logf("tenant %s: %v", s.tenant, counts)
	if doubt := len(accepted) - counts["DELIVERED"]; doubt > min(mostInDoubt, len(accepted)/5) {
		t.Errorf("tenant %s: only %d of %d are DELIVERED", s.tenant, counts["DELIVERED"], len(accepted))
	}
}

// checkTrail: audit's log is contiguous and speaks of every accepted message once.
func checkTrail(t *testing.T, s sender, accepted int, before trail) {
	t.Helper()
	client := auditor(t, s.tenant)
	eventually(t, recovered, "audit has an entry of every accepted message of tenant "+s.tenant, func() bool {
		now := readTrail(t.Context(), t, client)
		if now.accepted-before.accepted > accepted {
			t.Fatalf("audit speaks of %d accepted messages, %d were", now.accepted-before.accepted, accepted)
		}
		return now.accepted-before.accepted == accepted
	})
}

// listAll pages through all messages of a tenant.
func listAll(t *testing.T, client ingestv1.MessageServiceClient) map[string]typev1.MessageState {
	t.Helper()
	states := map[string]typev1.MessageState{}
	for token := ""; ; {
		page, err := client.ListMessages(t.Context(), &ingestv1.ListMessagesRequest{PageSize: 500, PageToken: token})
		if err != nil {
			t.Fatalf("ListMessages: %v", err)
		}
		for _, m := range page.GetMessages() {
			states[m.GetMessageId()] = m.GetState()
		}
		if token = page.GetNextPageToken(); token == "" {
			return states
		}
	}
}
