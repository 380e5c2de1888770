package grants_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/eventbus/eventbustest"
	"github.com/onlinesms/onlinesms/services/internal/eventbus/grants"
)

const (
	patience = 30 * time.Second
	password = "p"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// guarded is a server whose services have exactly their grants, in one account; outside users, in another that imports
// what Exports says; and an admin in each.
func guarded(t *testing.T, outside map[string]grants.Grant) *eventbustest.Server {
	t.Helper()
	return eventbustest.Start(t, func(o *natsserver.Options) {
		if err := o.ProcessConfigString(accounts(t, outside)); err != nil {
			t.Fatal(err)
		}
	})
}

func accounts(t *testing.T, outside map[string]grants.Grant) string {
	var exports, imports []string
	for _, e := range grants.Exports() {
		response := "Singleton"
		if e.Stream {
			response = "Stream"
		}
		exports = append(exports, fmt.Sprintf("{service: %q, response: %s}", e.Subject, response))
		imports = append(imports, fmt.Sprintf("{service: {account: CORE, subject: %q}}", e.Subject))
	}
	return fmt.Sprintf(`accounts {
		CORE { jetstream: enabled, users: [{user: admin, password: p}, %s], exports: [%s] }
		OUTSIDE { users: [{user: outadmin, password: p}, %s], imports: [%s] } }`, users(t, grants.All()),
		strings.Join(exports, ", "), users(t, outside), strings.Join(imports, ", "))
}

func users(t *testing.T, all map[string]grants.Grant) string {
	var users []string
	for name, g := range all {
		publish, err := json.Marshal(g.Publish)
		if err != nil {
			t.Fatal(err)
		}
		subscribe, err := json.Marshal(g.Subscribe)
		if err != nil {
			t.Fatal(err)
		}
		users = append(users, fmt.Sprintf("{user: %s, password: p, permissions: {publish: {allow: %s}, subscribe: {allow: %s}}}",
			name, publish, subscribe))
	}
	return strings.ReplaceAll(strings.Join(users, ", "), `\u003e`, ">")
}

// as connects a service with its own user.
func as(t *testing.T, s *eventbustest.Server, service string) *eventbus.Bus {
	t.Helper()
	cfg := s.Config
	cfg.URL = s.URL(service, password)
	b, err := eventbus.Connect(t.Context(), cfg, service)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// client is a plain NATS client; refused collects the server's permission errors.
func client(t *testing.T, s *eventbustest.Server, user, inbox string) (conn *nats.Conn, js jetstream.JetStream, refused chan error) {
	t.Helper()
	refused = make(chan error, 2000)
	conn, err := nats.Connect(s.URL(user, password), nats.RootCAs(s.Config.CAFile), nats.CustomInboxPrefix(inbox),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err = jetstream.New(conn, jetstream.WithDefaultTimeout(500*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	return conn, js, refused
}

func run(t *testing.T, loop func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = loop(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
}

func await[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatal("not in time: ", what)
	}
	return v
}

// Every operation of the bus works with the grants of a service: own, publish, purge, re-create, consume, broadcast.
func TestTheGrantsOfServicesAreEnough(t *testing.T) {
	s := guarded(t, nil)
	for service := range grants.All() {
		b := as(t, s, service)
		var streams []eventbus.Stream
		for _, stream := range eventbus.ServiceStreams(service, nil) {
			for _, name := range []string{"ingest", "compliance", "dispatch", "audit", "feed", "webhook"} {
				if strings.HasSuffix(stream.Name, "_CONTROL") == (name == "audit") || name == "audit" {
					stream.Durables = append(stream.Durables, eventbus.Durable{Name: name,
						Filters: []string{strings.Replace(stream.Subjects[0], ".*.*.", ".Happened.*.", 1)}})
				}
			}
			streams = append(streams, stream)
		}
		if service == "dispatch" {
			streams = append(streams, eventbus.Stream{Name: "FEED", Subjects: []string{"onlinesms.feed.v1.>"}, Share: 0.1})
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if err := b.Own(ctx, streams); err != nil {
			t.Fatalf("%s: Own: %v", service, err)
		}
		if err := b.Own(ctx, streams); err != nil {
			t.Fatalf("%s: Own again: %v", service, err)
		}
		cancel()
		run(t, b.RunPurge)
		heard := make(chan eventbus.Delivery, 100)
		run(t, b.Hear(eventbus.Broadcast{Stream: eventbus.StreamName(service, "control"),
			Handler: func(_ context.Context, d eventbus.Delivery) { heard <- d }}))
		published := make(chan struct{}, 100)
		p := b.NewPublisher(service, func(_ context.Context, done []eventbus.Parcel) { published <- struct{}{} })
		run(t, p.Run)
		for _, lane := range []string{"otp", "interactive", "bulk", "control"} {
			p.Publish(eventbus.Parcel{ID: uuid.Must(uuid.NewV7()), Subject: "onlinesms." + service + ".v1.Happened.live." + lane})
		}
		await(t, published, service+" publishes")
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for said := false; !said; {
			select {
			case <-heard:
				said = true
			case <-tick.C:
				p.Publish(eventbus.Parcel{ID: uuid.Must(uuid.NewV7()), Subject: "onlinesms." + service + ".v1.Happened.live.control"})
			case <-time.After(patience):
				t.Fatalf("%s hears no broadcast", service)
			}
		}
	}
	for stream, durables := range map[string]map[string]string{ // durable: service
		"INGEST_OTP":         {"compliance": "compliance", "audit": "audit", "feed": "dispatch", "webhook": "dispatch"},
		"COMPLIANCE_BULK":    {"dispatch": "dispatch", "ingest": "ingest", "audit": "audit", "feed": "dispatch", "webhook": "dispatch"},
		"DISPATCH_OTP":       {"ingest": "ingest", "compliance": "compliance", "audit": "audit", "feed": "dispatch", "webhook": "dispatch"},
		"COMPLIANCE_CONTROL": {"audit": "audit"}, "AUDIT_CONTROL": {"audit": "audit"},
	} {
		for durable, service := range durables {
			got := make(chan struct{}, 100)
			b := as(t, s, service)
			run(t, func(ctx context.Context) error {
				return b.Consume(ctx, eventbus.Subscription{Stream: stream, Durable: durable,
					Handler: func(context.Context, []eventbus.Delivery) error { got <- struct{}{}; return nil }})
			})
			await(t, got, service+" reads "+stream)
		}
	}
	_, js, _ := client(t, s, "admin", "_INBOX")
	deadline := time.After(patience)
	for { // the acks are allowed too
		c, err := js.Consumer(t.Context(), "INGEST_OTP", "compliance")
		if err != nil {
			t.Fatal(err)
		}
		if info := c.CachedInfo(); info.AckFloor.Stream > 0 && info.NumAckPending == 0 {
			break
		}
		select {
		case <-deadline:
			t.Fatal("acks do not arrive")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// A lost stream is made again, and a full one purged, with the grants alone.
func TestTheGrantsRepairAndPurge(t *testing.T) {
	s := guarded(t, nil)
	b := as(t, s, "ingest")
	if err := b.Own(t.Context(), eventbus.ServiceStreams("ingest", map[string][]string{"bulk": {"compliance"}})); err != nil {
		t.Fatal(err)
	}
	run(t, b.RunPurge)
	_, js, _ := client(t, s, "admin", "_INBOX")
	if err := js.DeleteStream(t.Context(), "INGEST_BULK"); err != nil {
		t.Fatal(err)
	}
	subject := "onlinesms.ingest.v1.MessagesAccepted.live.bulk"
	for range 60 { // of 102 MiB; the first needs the stream made again
		if err := publishRaw(t.Context(), b, subject, uuid.NewString(), make([]byte, 1<<20-1000)); err != nil {
			t.Fatal(err)
		}
	}
	reader := as(t, s, "compliance")
	run(t, func(ctx context.Context) error {
		return reader.Consume(ctx, eventbus.Subscription{Stream: "INGEST_BULK", Durable: "compliance",
			Handler: func(context.Context, []eventbus.Delivery) error { return nil }})
	})
	deadline := time.After(patience)
	for {
		stream, err := js.Stream(t.Context(), "INGEST_BULK")
		if err != nil {
			t.Fatal(err)
		}
		if stream.CachedInfo().State.FirstSeq > 1 {
			return
		}
		select {
		case <-deadline:
			t.Fatal("not purged")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// What no grant of a service allows.
func TestServicesAreRefused(t *testing.T) {
	s := guarded(t, nil)
	if err := as(t, s, "compliance").Own(t.Context(), eventbus.ServiceStreams("compliance", map[string][]string{"otp": {"dispatch"}})); err != nil {
		t.Fatal(err)
	}
	if err := as(t, s, "ingest").Own(t.Context(), eventbus.ServiceStreams("ingest", nil)); err != nil {
		t.Fatal(err)
	}
	conn, _, refused := client(t, s, "ingest", eventbus.InboxPrefix("ingest"))
	for _, subject := range []string{
		"onlinesms.compliance.v1.MessagesCleared.live.otp",
		"onlinesms.feed.v1.MessageDelivered.live.x",
		"$JS.API.STREAM.DELETE.INGEST_OTP",
		"$JS.API.STREAM.RESTORE.INGEST_OTP",
		"$JS.API.STREAM.SNAPSHOT.INGEST_OTP",
		"$JS.API.STREAM.MSG.GET.COMPLIANCE_OTP",
		"$JS.API.STREAM.MSG.DELETE.INGEST_OTP",
		"$JS.API.STREAM.CREATE.EVERYTHING",
		"$JS.API.STREAM.UPDATE.COMPLIANCE_OTP",
		"$JS.API.STREAM.PURGE.COMPLIANCE_OTP",
		"$JS.API.CONSUMER.CREATE.COMPLIANCE_OTP.mine",
		"$JS.API.CONSUMER.DELETE.COMPLIANCE_OTP.dispatch",
		"$JS.API.CONSUMER.MSG.NEXT.COMPLIANCE_OTP.dispatch",
		"$JS.API.DIRECT.GET.INGEST_OTP",
		"$JS.ACK.COMPLIANCE_OTP.dispatch.1.1.1.1.0",
	} {
		publishRefused(t, conn, refused, subject)
	}
	for _, subject := range []string{"onlinesms.>", "_INBOX.>", "_INBOX_compliance.>", ">", "$JS.>"} {
		subscribeRefused(t, conn, refused, subject)
	}
}

func publishRefused(t *testing.T, conn *nats.Conn, refused chan error, subject string) {
	t.Helper()
	if err := conn.PublishRequest(subject, conn.NewInbox(), nil); err != nil {
		t.Fatal(err)
	}
	wasRefused(t, conn, refused, subject)
}

func subscribeRefused(t *testing.T, conn *nats.Conn, refused chan error, subject string) {
	t.Helper()
	if _, err := conn.SubscribeSync(subject); err != nil {
		t.Fatal(err)
	}
	wasRefused(t, conn, refused, subject)
}

func wasRefused(t *testing.T, conn *nats.Conn, refused chan error, subject string) {
	t.Helper()
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-refused:
		if !strings.Contains(strings.ToLower(err.Error()), "permissions violation") || !strings.Contains(err.Error(), `"`+subject+`"`) {
			t.Errorf("%s: %v", subject, err)
		}
	case <-time.After(time.Second):
		t.Errorf("%s was not refused", subject)
	}
}

// An outside consumer of the FEED stream reads its tenant's events of one environment, and nothing else.
func TestFeed(t *testing.T) {
	tenant, other := uuid.NewString(), uuid.NewString()
	s := guarded(t, map[string]grants.Grant{"outside": grants.Feed(tenant, "live")})
	b := as(t, s, "dispatch")
	if err := b.Own(t.Context(), append(eventbus.ServiceStreams("dispatch", map[string][]string{"otp": {"audit"}}),
		eventbus.Stream{Name: "FEED", Subjects: []string{"onlinesms.feed.v1.>"}, Share: 0.1})); err != nil {
		t.Fatal(err)
	}
	for _, tail := range []string{"live." + other, "test." + tenant, "live." + tenant} {
		if err := publishRaw(t.Context(), b, "onlinesms.feed.v1.MessageDelivered."+tail, uuid.NewString(), []byte(tail)); err != nil {
			t.Fatal(err)
		}
	}
	conn, js, refused := client(t, s, "outside", grants.FeedInbox(tenant, "live"))
	name := grants.FeedConsumer(tenant, "live")
	feed, err := js.Stream(t.Context(), "FEED")
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := feed.CreateOrUpdateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: name,
		FilterSubject: grants.FeedFilter(tenant, "live"), AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	msg, err := consumer.Next(jetstream.FetchMaxWait(patience))
	if err != nil {
		t.Fatal(err)
	}
	if string(msg.Data()) != "live."+tenant {
		t.Errorf("read %s", msg.Data())
	}
	if err := msg.DoubleAck(t.Context()); err != nil {
		t.Errorf("ack: %v", err)
	}
	if info, err := consumer.Info(t.Context()); err != nil || info.NumPending != 0 || info.NumAckPending != 0 {
		t.Errorf("info: %+v, %v", info, err)
	}
	for _, filter := range []string{grants.FeedFilter(other, "live"), grants.FeedFilter(tenant, "test"), "onlinesms.feed.v1.>", ""} {
		if _, err := js.CreateOrUpdateConsumer(t.Context(), "FEED", jetstream.ConsumerConfig{Durable: name, FilterSubject: filter}); err == nil {
			t.Errorf("a consumer with filter %q was made", filter)
		}
		t.Log(await(t, refused, "refusal of "+filter))
	}
	for len(refused) > 0 {
		t.Log(<-refused)
	}
	// The filter inside the request must be the one in the subject.
	lie := `{"stream_name":"FEED","config":{"durable_name":"` + name + `","ack_policy":"explicit","filter_subject":"onlinesms.feed.v1.>"}}`
	answer, err := conn.Request("$JS.API.CONSUMER.CREATE.FEED."+name+"."+grants.FeedFilter(tenant, "live"), []byte(lie), time.Second)
	if err != nil || !strings.Contains(string(answer.Data), `"error"`) {
		t.Errorf("a filter beside the subject's was taken: %s, %v", answer.Data, err)
	}
	for _, subject := range []string{
		"$JS.API.CONSUMER.CREATE.FEED.another." + grants.FeedFilter(tenant, "live"),
		"$JS.API.CONSUMER.CREATE.DISPATCH_OTP." + name + "." + grants.FeedFilter(tenant, "live"),
		"$JS.API.CONSUMER.INFO.FEED." + grants.FeedConsumer(other, "live"),
		"$JS.API.CONSUMER.MSG.NEXT.FEED." + grants.FeedConsumer(other, "live"),
		"$JS.API.CONSUMER.MSG.NEXT.DISPATCH_OTP.audit",
		"$JS.API.CONSUMER.DELETE.FEED." + name,
		"$JS.API.STREAM.INFO.DISPATCH_OTP",
		"$JS.API.STREAM.MSG.GET.FEED",
		"$JS.API.DIRECT.GET.FEED",
		"$JS.API.DIRECT.GET.FEED.onlinesms.feed.v1.MessageDelivered.live." + other,
		"$JS.API.STREAM.PURGE.FEED",
		"onlinesms.feed.v1.MessageDelivered.live." + tenant,
		"onlinesms.dispatch.v1.MessagesDelivered.live.otp",
	} {
		publishRefused(t, conn, refused, subject)
	}
	for _, subject := range []string{"onlinesms.feed.v1.>", grants.FeedFilter(tenant, "live"), "_INBOX.>", ">"} {
		subscribeRefused(t, conn, refused, subject)
	}
}

// outsider is the FEED consumer of one tenant on a server with streams of dispatch, with an empty durable of its own.
func outsider(t *testing.T) (dispatch *eventbus.Bus, admin jetstream.JetStream, conn *nats.Conn, tenant string) {
	t.Helper()
	tenant = uuid.NewString()
	s := guarded(t, map[string]grants.Grant{"outside": grants.Feed(tenant, "live")})
	dispatch = as(t, s, "dispatch")
	if err := dispatch.Own(t.Context(), append(eventbus.ServiceStreams("dispatch", map[string][]string{"otp": {"audit"}}),
		eventbus.Stream{Name: "FEED", Subjects: []string{"onlinesms.feed.v1.>"}, Share: 0.1})); err != nil {
		t.Fatal(err)
	}
	conn, _, _ = client(t, s, "outside", grants.FeedInbox(tenant, "live"))
	_, admin, _ = client(t, s, "admin", "_INBOX")
	return dispatch, admin, conn, tenant
}

// makeConsumer makes the tenant's durable anew, as the tenant, with more settings.
func makeConsumer(t *testing.T, admin jetstream.JetStream, conn *nats.Conn, tenant, more string) {
	t.Helper()
	name, filter := grants.FeedConsumer(tenant, "live"), grants.FeedFilter(tenant, "live")
	_ = admin.DeleteConsumer(t.Context(), "FEED", name)
	cfg := `{"stream_name":"FEED","config":{"durable_name":"` + name + `","ack_policy":"none","filter_subject":"` + filter + `"` + more + `}}`
	answer, err := conn.Request("$JS.API.CONSUMER.CREATE.FEED."+name+"."+filter, []byte(cfg), patience)
	if err != nil || strings.Contains(string(answer.Data), `"error"`) {
		t.Fatalf("consumer: %s, %v", answer.Data, err)
	}
}

// An outside consumer chooses where the server sends statuses; none of its choices may reach the JetStream API. With
// users of one account every line of this test deletes or purges the stream.
func TestFeedCannotReachTheAPI(t *testing.T) {
	dispatch, admin, conn, tenant := outsider(t)
	if err := publishRaw(t.Context(), dispatch, "onlinesms.dispatch.v1.MessagesDelivered.live.otp", "1", []byte("x")); err != nil {
		t.Fatal(err)
	}
	makeConsumer(t, admin, conn, tenant, "")
	next := "$JS.API.CONSUMER.MSG.NEXT.FEED." + grants.FeedConsumer(tenant, "live")
	for _, api := range []string{"STREAM.DELETE.DISPATCH_OTP", "STREAM.PURGE.DISPATCH_OTP", "CONSUMER.DELETE.DISPATCH_OTP.audit"} {
		for _, request := range []string{`{"batch":1,"no_wait":true}`, `{"batch":1,"expires":1000000}`, `{not a request`} {
			if err := conn.PublishRequest(next, "$JS.API."+api, []byte(request)); err != nil {
				t.Fatal(err)
			}
		}
	}
	// A pull with an answer of its own comes after all of them: the server has treated them by then.
	answer, err := conn.Request(next, []byte(`{"batch":1,"no_wait":true}`), patience)
	if err != nil || answer.Header.Get("Status") != "404" {
		t.Fatalf("pull: %v, %v", answer, err)
	}
	for range 20 { // the API works on a queue of its own: some round trips through the same queue
		stream, err := admin.Stream(t.Context(), "DISPATCH_OTP")
		if err != nil {
			t.Fatalf("the stream is gone: %v", err)
		}
		if stream.CachedInfo().State.Msgs != 1 {
			t.Fatal("the stream was purged")
		}
		if _, err := admin.Consumer(t.Context(), "DISPATCH_OTP", "audit"); err != nil {
			t.Fatalf("the durable is gone: %v", err)
		}
	}
}

// publishRaw stores one event as the FEED's are stored.
func publishRaw(ctx context.Context, b *eventbus.Bus, subject, id string, data []byte) error {
	return b.PublishRawBatch(ctx, []eventbus.Raw{{Subject: subject, ID: id, Data: data}})
}
