package grants_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/eventbus/grants"
)

var (
	producers = []string{"ingest", "compliance", "dispatch", "audit"}
	allLanes  = []string{"otp", "interactive", "bulk", "control"}
	// consumers of a lane's events, as documented (design section 4): who works off whose streams, by which durable.
	documented = map[string]map[string]string{ // stream or its producer: durable -> service
		"INGEST":     {"compliance": "compliance", "audit": "audit", "feed": "dispatch", "webhook": "dispatch"},
		"COMPLIANCE": {"dispatch": "dispatch", "ingest": "ingest", "audit": "audit", "feed": "dispatch", "webhook": "dispatch"},
		"DISPATCH":   {"compliance": "compliance", "ingest": "ingest", "audit": "audit", "feed": "dispatch", "webhook": "dispatch"},
		"AUDIT":      {"audit": "audit"},
	}
	// streamVerbs and consumerVerbs are the whole of the JetStream API on a stream, and on a consumer of it.
	streamVerbs = []string{"STREAM.CREATE", "STREAM.UPDATE", "STREAM.INFO", "STREAM.PURGE", "STREAM.DELETE", "STREAM.RESTORE",
		"STREAM.SNAPSHOT", "STREAM.MSG.GET", "STREAM.MSG.DELETE", "STREAM.PEER.REMOVE", "STREAM.LEADER.STEPDOWN", "DIRECT.GET",
		"CONSUMER.NAMES", "CONSUMER.LIST", "CONSUMER.CREATE"}
	consumerVerbs = []string{"CONSUMER.CREATE", "CONSUMER.DURABLE.CREATE", "CONSUMER.INFO", "CONSUMER.MSG.NEXT", "CONSUMER.DELETE",
		"CONSUMER.PAUSE", "CONSUMER.UNPIN", "CONSUMER.LEADER.STEPDOWN"}
	elsewhere = []string{"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.ACCOUNT.PURGE.X", "$JS.API.META.LEADER.STEPDOWN",
		"$JS.API.SERVER.REMOVE", "$JS.FC.X", "$SYS.REQ.SERVER.PING", "$SYS.REQ.USER.INFO", "$KV.x.y", "$O.x.C.y", "anything"}
)

// streamsOfAll answers every stream with the service that owns it.
func streamsOfAll() map[string]string {
	owners := map[string]string{"FEED": "dispatch"}
	for _, producer := range producers {
		for _, lane := range allLanes {
			owners[eventbus.StreamName(producer, lane)] = producer
		}
	}
	return owners
}

// reads tells whether service works off the durable of a stream. Requests on lane control are told to audit only, kill
// switches to dispatch, opt-outs that reached dispatch to compliance.
func reads(service, stream, durable string) bool {
	producer, lane, _ := strings.Cut(stream, "_")
	return documented[producer][durable] == service && (lane != "CONTROL" || durable == "audit" || producer == "COMPLIANCE" && durable == "dispatch" ||
		producer == "DISPATCH" && durable == "compliance")
}

// publishing is every subject class with the services that may publish on it.
func publishing() map[string][]string {
	all := map[string][]string{}
	for stream, owner := range streamsOfAll() {
		for _, verb := range streamVerbs {
			all["$JS.API."+verb+"."+stream] = nil
		}
		for _, verb := range []string{"STREAM.CREATE", "STREAM.UPDATE", "STREAM.INFO", "STREAM.PURGE"} {
			all["$JS.API."+verb+"."+stream] = []string{owner}
		}
		for _, name := range []string{"ingest", "compliance", "dispatch", "audit", "feed", "webhook", "another"} {
			consuming(all, stream, owner, name)
		}
	}
	for _, producer := range producers {
		for _, lane := range allLanes {
			for _, env := range []string{"live", "test"} {
				all["onlinesms."+producer+".v1.Happened."+env+"."+lane] = []string{producer}
			}
		}
		all[eventbus.InboxPrefix(producer)+".x.y"] = nil // nobody forges an answer
	}
	for _, subject := range append(elsewhere, "_INBOX.x", "onlinesms.stranger.v1.Happened.live.otp") {
		all[subject] = nil
	}
	all["onlinesms.feed.v1.MessageDelivered.live."+uuid.NewString()] = []string{"dispatch"}
	return all
}

// consuming adds the subjects of one consumer of a stream.
func consuming(all map[string][]string, stream, owner, name string) {
	for _, verb := range consumerVerbs {
		all["$JS.API."+verb+"."+stream+"."+name] = nil
	}
	may := func(subject, service string) {
		if !slices.Contains(all[subject], service) {
			all[subject] = append(all[subject], service)
		}
	}
	may("$JS.API.CONSUMER.CREATE."+stream+"."+name, owner)
	may("$JS.API.CONSUMER.INFO."+stream+"."+name, owner)
	if stream == eventbus.StreamName(owner, "control") || stream == "FEED" { // its own broadcasts; what it streams to clients
		may("$JS.API.CONSUMER.MSG.NEXT."+stream+"."+name, owner)
	}
	if stream == "COMPLIANCE_CONTROL" { // dispatch hears what recipients wish
		may("$JS.API.CONSUMER.CREATE."+stream+"."+name, "dispatch")
		may("$JS.API.CONSUMER.MSG.NEXT."+stream+"."+name, "dispatch")
	}
	ack := "$JS.ACK." + stream + "." + name + ".1.1.1.1.0"
	all[ack] = nil
	for _, service := range producers {
		if reads(service, stream, name) {
			may("$JS.API.CONSUMER.INFO."+stream+"."+name, service)
			may("$JS.API.CONSUMER.MSG.NEXT."+stream+"."+name, service)
			may(ack, service)
		}
	}
}

// subscribing is every subject class with those who may listen on it: to answers of their own, and to nothing else.
func subscribing(tenant string) map[string][]string {
	all := map[string][]string{}
	for _, subject := range []string{">", "*", "*.>", "onlinesms.>", "onlinesms.feed.v1.>", "$JS.>", "$JS.API.>", "$JS.ACK.>",
		"$JS.EVENT.ADVISORY.>", "$SYS.>", "_INBOX.>", "_INBOX_*.>", "_INBOX_other.>"} {
		all[subject] = nil
	}
	for _, producer := range producers {
		all["onlinesms."+producer+".v1.*.*.otp"] = nil
		all[eventbus.InboxPrefix(producer)+".x.*"] = []string{producer}
	}
	all[grants.FeedInbox(tenant, "live")+".x.*"] = []string{"outside"}
	all[grants.FeedInbox(tenant, "test")+".x.*"] = nil
	return all
}

// Item 26: every credential on every class of subject: a service makes, changes and purges its own streams, works off
// the durables it is documented to read, and does nothing else; nobody deletes, restores or reads a stream by the side.
func TestItem26EveryCredentialOnEverySubject(t *testing.T) {
	tenant := uuid.NewString()
	s := guarded(t, map[string]grants.Grant{"outside": grants.Feed(tenant, "live")})
	publish, subscribe := publishing(), subscribing(tenant)
	feed := grants.FeedConsumer(tenant, "live")
	for _, subject := range []string{"$JS.API.STREAM.INFO.FEED", "$JS.API.CONSUMER.CREATE.FEED." + feed + "." + grants.FeedFilter(tenant, "live"),
		"$JS.API.CONSUMER.INFO.FEED." + feed, "$JS.API.CONSUMER.MSG.NEXT.FEED." + feed, "$JS.ACK.FEED." + feed + ".1.1.1.1.0"} {
		publish[subject] = append(publish[subject], "outside")
		if strings.Contains(subject, ".CONSUMER.") {
			publish[subject] = append(publish[subject], "dispatch") // owns FEED
		}
	}
	if got := slices.Sorted(maps.Keys(grants.All())); !slices.Equal(got, slices.Sorted(slices.Values(producers))) {
		t.Fatalf("services with a grant: %v", got)
	}
	for _, user := range append(slices.Clone(producers), "outside") {
		inbox := eventbus.InboxPrefix(user)
		if user == "outside" {
			inbox = grants.FeedInbox(tenant, "live")
		}
		conn, _, refused := client(t, s, user, inbox)
		compare(t, user+" publishes on", publish, user, attempts(t, conn, refused, publish, func(subject string) error {
			return conn.Publish(subject, nil)
		}))
		compare(t, user+" subscribes to", subscribe, user, attempts(t, conn, refused, subscribe, func(subject string) error {
			_, err := conn.SubscribeSync(subject)
			return err
		}))
		compare(t, user+" subscribes in a group to", subscribe, user, attempts(t, conn, refused, subscribe, func(subject string) error {
			_, err := conn.QueueSubscribeSync(subject, "group")
			return err
		}))
	}
	t.Logf("%d subjects to publish on, %d to subscribe to, %d users", len(publish), len(subscribe), len(producers)+1)
}

var quotedSubject = regexp.MustCompile(`"([^"]+)"`)

// attempts tries every subject and answers those the server refused. The server answers in order: the refusal of the last
// one, which nobody may use, shows that all others have been told.
func attempts(t *testing.T, conn *nats.Conn, refused <-chan error, subjects map[string][]string, try func(string) error) map[string]bool {
	t.Helper()
	const last = "$SYS.nobody"
	for _, subject := range append(slices.Sorted(maps.Keys(subjects)), last) {
		if err := try(subject); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.FlushTimeout(patience); err != nil {
		t.Fatal(err)
	}
	denied := map[string]bool{}
	for deadline := time.After(patience); !denied[last]; {
		select {
		case err := <-refused:
			if found := quotedSubject.FindStringSubmatch(err.Error()); found != nil {
				denied[found[1]] = true
			}
		case <-deadline:
			t.Fatal("the server does not answer")
		}
	}
	return denied
}

func compare(t *testing.T, what string, subjects map[string][]string, user string, denied map[string]bool) {
	t.Helper()
	for subject, allowed := range subjects {
		if may := slices.Contains(allowed, user); may == denied[subject] {
			t.Errorf("%s %s: documented %v, refused %v", what, subject, may, denied[subject])
		}
	}
}

// Nobody gets in without a credential, or with a wrong one.
func TestItem26NobodyWithoutACredential(t *testing.T) {
	s := guarded(t, nil)
	for name, url := range map[string]string{"none": s.URL("", ""), "unknown user": s.URL("stranger", password), "wrong password": s.URL("ingest", "x")} {
		if conn, err := nats.Connect(url, nats.RootCAs(s.Config.CAFile)); err == nil {
			conn.Close()
			t.Errorf("%s: connected", name)
		}
	}
}
