// Package grants lists what each service, and each outside consumer of the FEED stream, may publish and subscribe on
// NATS: the whole of the authority behind eventbus, one line an operation. Whoever writes the server's users (local
// platform, manifests) takes it from here, so that code and permissions cannot drift apart; a test runs every operation
// of the bus against a server with exactly these permissions.
package grants

import (
	"fmt"
	"slices"
	"strings"

	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

// Grant is a user's permissions: allowed subjects, nothing else. No grant deletes, restores or snapshots a stream.
type Grant struct {
	Publish   []string `json:"publish"`
	Subscribe []string `json:"subscribe"`
}

var (
	lanes    = []string{eventbus.LaneOTP, eventbus.LaneInteractive, eventbus.LaneBulk, eventbus.LaneControl}
	messages = lanes[:3]
)

// reads lists the durables of each consuming service: name of the durable, producers and lanes. The producers declare
// the same durables when they create their streams.
var reads = map[string][]struct {
	durable   string
	producers []string
	lanes     []string
}{
	"ingest": {{"ingest", []string{"compliance", "dispatch"}, messages}},
	"compliance": {{"compliance", []string{"ingest", "dispatch"}, messages},
		{"compliance", []string{"dispatch"}, []string{eventbus.LaneControl}}}, // opt-outs that reached dispatch
	"dispatch": {{"dispatch", []string{"compliance"}, lanes}, // kill switches come by lane control
		{"feed", []string{"ingest", "compliance", "dispatch"}, messages},
		{"webhook", []string{"ingest", "compliance", "dispatch"}, messages}},
	"audit": {{"audit", []string{"ingest", "compliance", "dispatch", "audit"}, lanes}},
}

// objects lists the object store of a service, where its replicas find large files.
var objects = map[string]string{"compliance": "COMPLIANCE"}

// hears lists whose broadcasts a service hears beside its own: dispatch must know at once of an opt-out.
var hears = map[string][]string{"dispatch": {"compliance"}}

// extra lists streams beside one a lane, with their subjects.
var extra = map[string]map[string]string{"dispatch": {"FEED": "onlinesms.feed.v1.>"}}

// All gives the grant of every service.
func All() map[string]Grant {
	all := map[string]Grant{}
	for service := range reads {
		all[service] = of(service)
	}
	return all
}

func of(service string) Grant {
	g := Grant{Publish: []string{"onlinesms." + service + ".v1.>"}, Subscribe: []string{eventbus.InboxPrefix(service) + ".>"}}
	for _, lane := range lanes {
		g.owns(eventbus.StreamName(service, lane))
	}
	for stream, subject := range extra[service] {
		g.owns(stream)
		g.hears(stream) // for readers that a service streams to
		g.Publish = append(g.Publish, subject)
	}
	if bucket := objects[service]; bucket != "" {
		g.keeps(bucket)
	}
	for _, producer := range append([]string{service}, hears[service]...) { // broadcasts, for every replica
		g.hears(eventbus.StreamName(producer, eventbus.LaneControl))
	}
	for _, r := range reads[service] {
		for _, producer := range r.producers {
			for _, lane := range r.lanes {
				g.reads(eventbus.StreamName(producer, lane), r.durable)
			}
		}
	}
	slices.Sort(g.Publish)
	g.Publish = slices.Compact(g.Publish)
	return g
}

// owns lets a service make, look at and purge a stream, and make and look at its durables.
func (g *Grant) owns(stream string) {
	for _, api := range []string{"STREAM.INFO.%s", "STREAM.CREATE.%s", "STREAM.UPDATE.%s", "STREAM.PURGE.%s",
		"CONSUMER.CREATE.%s.>", "CONSUMER.INFO.%s.*"} {
		g.api(api, stream)
	}
}

// reads lets a service work off one durable.
func (g *Grant) reads(stream, durable string) {
	g.api("CONSUMER.INFO.%s.%s", stream, durable)
	g.api("CONSUMER.MSG.NEXT.%s.%s", stream, durable)
	g.Publish = append(g.Publish, "$JS.ACK."+stream+"."+durable+".>")
}

// hears lets a service make ephemeral consumers, of any name, and pull from them without acks.
func (g *Grant) hears(stream string) {
	g.api("CONSUMER.CREATE.%s.>", stream)
	g.api("CONSUMER.MSG.NEXT.%s.*", stream)
}

// keeps lets a service put objects into a bucket of its own, read and delete them. A reader is an ephemeral push consumer
// with flow control.
func (g *Grant) keeps(bucket string) {
	stream := "OBJ_" + bucket
	for _, api := range []string{"STREAM.INFO.%s", "STREAM.CREATE.%s", "STREAM.UPDATE.%s", "STREAM.PURGE.%s", "DIRECT.GET.%s.>",
		"CONSUMER.CREATE.%s.>", "CONSUMER.DELETE.%s.*"} {
		g.api(api, stream)
	}
	g.Publish = append(g.Publish, "$O."+bucket+".>", "$JS.FC."+stream+".>")
}

func (g *Grant) api(format string, args ...any) {
	g.Publish = append(g.Publish, "$JS.API."+fmt.Sprintf(format, args...))
}

// Export is a service that the services' account exports and the outside account imports under the same subject.
type Export struct {
	Subject string `json:"subject"`
	Stream  bool   `json:"stream"` // one request may have several answers (response type Stream)
}

// Exports lists what the services' account exports to the account of outside consumers. Feed users MUST live in an
// account of their own, without JetStream, that imports exactly these: NATS checks the subject a client publishes on, not
// the reply it asks for, so within one account anyone who may pull has the server send empty statuses to
// $JS.API.STREAM.DELETE.<stream>, and the stream is gone (nats-server 2.15.2; TestFeedCannotReachTheAPI). Between accounts
// replies stay in the account that asked.
func Exports() []Export {
	return []Export{
		{Subject: "$JS.API.INFO"}, // granted to nobody; importing it keeps the server from answering "not enabled" itself
		{Subject: "$JS.API.STREAM.INFO.FEED"}, {Subject: "$JS.API.CONSUMER.CREATE.FEED.>"},
		{Subject: "$JS.API.CONSUMER.INFO.FEED.*"}, {Subject: "$JS.API.CONSUMER.MSG.NEXT.FEED.*", Stream: true},
		{Subject: "$JS.ACK.FEED.>"},
	}
}

// Feed gives the grant of an outside consumer: the events of one tenant (UUID) in one environment (live or test), by
// one durable whose name is FeedConsumer, with replies under FeedInbox (design section 5). Another consumer name, another
// filter, a core stream, direct get and publishing are refused by the server. Its user belongs into the outside account,
// see Exports.
func Feed(tenant, env string) Grant {
	consumer := FeedConsumer(tenant, env)
	g := Grant{Subscribe: []string{FeedInbox(tenant, env) + ".>"}}
	g.api("STREAM.INFO.FEED")
	g.api("CONSUMER.CREATE.FEED.%s.%s", consumer, FeedFilter(tenant, env))
	g.reads("FEED", consumer)
	return g
}

// FeedFilter is the subject filter of a tenant's events: onlinesms.feed.v1.*.<env>.<tenant>.
func FeedFilter(tenant, env string) string {
	return "onlinesms.feed.v1.*." + env + "." + strings.ToLower(tenant)
}

// FeedConsumer is the one consumer name a tenant may use in an environment: <env>-<tenant>.
func FeedConsumer(tenant, env string) string { return env + "-" + strings.ToLower(tenant) }

// FeedInbox is the reply prefix the tenant's client must set: _INBOX_<env>-<tenant>.
func FeedInbox(tenant, env string) string { return "_INBOX_" + FeedConsumer(tenant, env) }
