//go:build e2e

package e2e

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "github.com/onlinesms/onlinesms/proto/gen/onlinesms/feed/v1" // registers the events' types
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
)

// outsider connects as the demo tenant's own program does; refusals arrive in the channel.
func outsider(t *testing.T) (*nats.Conn, jetstream.JetStream, <-chan error) {
	t.Helper()
	refusals := make(chan error, 100)
	conn, err := nats.Connect(platform.Env("ONLINESMS_NATS_URL"),
		nats.RootCAs(platform.Env("ONLINESMS_CA_FILE")),
		nats.UserCredentials(platform.Env("ONLINESMS_NATS_CREDS")),
		nats.CustomInboxPrefix(platform.Env("ONLINESMS_NATS_INBOX_PREFIX")),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refusals <- err }))
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return conn, js, refusals
}

func ownFilter() string { return platform.Env("ONLINESMS_NATS_FILTER") }

// feed makes the tenant's consumer. The stream may not be there yet in the platform's first second.
func feed(t *testing.T, js jetstream.JetStream) jetstream.Consumer {
	t.Helper()
	var consumer jetstream.Consumer
	eventually(t, patience, "a consumer of the own subjects can be made", func() bool {
		var err error
		consumer, err = js.CreateOrUpdateConsumer(t.Context(), "FEED", jetstream.ConsumerConfig{
			Durable: platform.Env("ONLINESMS_NATS_CONSUMER"), FilterSubject: ownFilter(), AckPolicy: jetstream.AckExplicitPolicy,
		})
		if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			t.Fatalf("consumer of the own subjects: %v", err)
		}
		return err == nil
	})
	return consumer
}

func TestFeedTellsATenantItsNews(t *testing.T) {
	_, js, _ := outsider(t)
	consumer := feed(t, js)
	client := messages(t, demoTenant)
	number := nextNumber()
	id := send(t, client, otp(number, "605117"))
	seen := map[string]bool{}
	eventually(t, patience, "the feed tells of the delivery", func() bool {
		batch, err := consumer.Fetch(100, jetstream.FetchMaxWait(time.Second))
		if err != nil {
			t.Fatalf("fetch: %v", err)
		}
		for msg := range batch.Messages() {
			for _, state := range newsOf(t, msg, id) {
				seen[state] = true
			}
			if err := msg.Ack(); err != nil {
				t.Fatalf("ack: %v", err)
			}
		}
		return seen["DELIVERED"]
	})
	for _, state := range []string{"ACCEPTED", "SUBMITTED"} {
		if !seen[state] {
			t.Errorf("the feed did not tell of %s, only %v", state, seen)
		}
	}
}

// newsOf decodes an event by the type its subject names and answers the states it tells of the message.
func newsOf(t *testing.T, msg jetstream.Msg, id string) []string {
	t.Helper()
	tokens := strings.Split(msg.Subject(), ".") // onlinesms.feed.v1.<Event>.<env>.<tenant>
	if len(tokens) != 6 || tokens[5] != demoTenant {
		t.Fatalf("subject %s is not the tenant's", msg.Subject())
	}
	kind, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(strings.Join(tokens[:4], ".")))
	if err != nil {
		t.Fatalf("type of %s: %v", msg.Subject(), err)
	}
	event := kind.New().Interface()
	if err := proto.Unmarshal(msg.Data(), event); err != nil {
		t.Fatalf("decode %s: %v", msg.Subject(), err)
	}
	fields := event.ProtoReflect()
	if tenant := fields.Get(fields.Descriptor().Fields().ByName("tenant_id")).String(); tenant != demoTenant {
		t.Errorf("event of tenant %s", tenant)
	}
	var states []string
	list := fields.Get(fields.Descriptor().Fields().ByName("messages")).List()
	for i := range list.Len() {
		news := list.Get(i).Message()
		if news.Get(news.Descriptor().Fields().ByName("message_id")).String() == id {
			number := news.Get(news.Descriptor().Fields().ByName("state")).Enum()
			states = append(states, typev1.MessageState(number).String())
		}
	}
	return states
}

func TestFeedCredentialsReachNothingElse(t *testing.T) {
	conn, _, refusals := outsider(t)
	other := otherSender(2).tenant
	name := platform.Env("ONLINESMS_NATS_CONSUMER")
	for what, subject := range map[string]string{
		"another tenant's filter":             "$JS.API.CONSUMER.CREATE.FEED." + name + ".onlinesms.feed.v1.*.test." + other,
		"a consumer without a filter":         "$JS.API.CONSUMER.CREATE.FEED." + name,
		"a consumer of another name":          "$JS.API.CONSUMER.CREATE.FEED.other." + ownFilter(),
		"a consumer by the old way":           "$JS.API.CONSUMER.DURABLE.CREATE.FEED." + name,
		"another tenant's consumer":           "$JS.API.CONSUMER.MSG.NEXT.FEED.test-" + other,
		"a core stream":                       "$JS.API.STREAM.INFO.INGEST_OTP",
		"a consumer of a core stream":         "$JS.API.CONSUMER.CREATE.INGEST_OTP." + name,
		"the list of streams":                 "$JS.API.STREAM.NAMES",
		"direct get":                          "$JS.API.DIRECT.GET.FEED",
		"a stored message":                    "$JS.API.STREAM.MSG.GET.FEED",
		"purging":                             "$JS.API.STREAM.PURGE.FEED",
		"publishing to the feed":              "onlinesms.feed.v1.MessagesDelivered.test." + demoTenant,
		"publishing to a core stream":         "onlinesms.ingest.v1.MessagesAccepted.test.otp",
		"answering somebody's request":        "_INBOX.somebody",
		"answering a service's request":       "_INBOX_ingest.x",
		"a bare publish":                      "anything",
		"the account's information is closed": "$JS.API.INFO",
	} {
		t.Run(what, func(t *testing.T) {
			if err := conn.PublishRequest(subject, platform.Env("ONLINESMS_NATS_INBOX_PREFIX")+".x", []byte("{}")); err != nil {
				t.Fatal(err)
			}
			expectRefusal(t, conn, refusals, subject)
		})
	}
	for what, subject := range map[string]string{
		"everything": ">", "core events": "onlinesms.>", "others' inboxes": "_INBOX.>", "its own subjects outside the stream": ownFilter(),
	} {
		t.Run("listening to "+what, func(t *testing.T) {
			if _, err := conn.SubscribeSync(subject); err != nil {
				t.Fatal(err)
			}
			expectRefusal(t, conn, refusals, subject)
		})
	}
}

// expectRefusal waits for the server's word that the subject is not allowed.
func expectRefusal(t *testing.T, conn *nats.Conn, refusals <-chan error, subject string) {
	t.Helper()
	if err := conn.FlushTimeout(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(10 * time.Second)
	for {
		select {
		case err := <-refusals:
			if strings.Contains(err.Error(), "Permissions Violation") && strings.Contains(err.Error(), `"`+subject+`"`) {
				return
			}
			t.Logf("other refusal: %v", err)
		case <-deadline:
			t.Fatalf("%s is not refused", subject)
		}
	}
}
