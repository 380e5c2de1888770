package app

import (
	"time"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/consumer"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

// Durables of this service.
const (
	durable        = "dispatch" // takes cleared messages
	feedDurable    = "feed"     // repeats everything for outside consumers
	webhookDurable = "webhook"  // tells the endpoints of tenants
)

var lanes = []string{eventbus.LaneOTP, eventbus.LaneInteractive, eventbus.LaneBulk}

const (
	feedShare  = 0.2                   // FEED's part of the budget
	feedLinger = 20 * time.Millisecond // news for outside may wait so long for more of it
)

// streams are the streams dispatch owns: its events, and FEED.
func streams() []eventbus.Stream {
	durables := map[string][]string{eventbus.LaneControl: {"audit",
		"compliance=" + eventbus.Subject("onlinesms.dispatch.v1.OptOutReceived", "*", eventbus.LaneControl)}}
	for _, lane := range lanes {
		durables[lane] = []string{
			"ingest", "compliance=" + eventbus.Subject("onlinesms.dispatch.v1.MessagesReturned", "*", lane) +
				"," + eventbus.Subject("onlinesms.dispatch.v1.MessagesFailed", "*", lane) +
				"," + eventbus.Subject("onlinesms.dispatch.v1.MessagesUndelivered", "*", lane), "audit", feedDurable, webhookDurable,
		}
	}
	owned := eventbus.ServiceStreams("dispatch", durables)
	for i := range owned {
		owned[i].Share *= 1 - feedShare
	}
	return append(owned, eventbus.Stream{Name: "FEED", Subjects: []string{"onlinesms.feed.v1.>"}, Share: feedShare})
}

// subscriptions are what dispatch consumes. The gates hold cleared messages back while no bind can take them.
func (d *dispatch) subscriptions() []eventbus.Subscription {
	var list []eventbus.Subscription
	cleared := consumer.NewHandler(d.engine)
	for i, lane := range lanes {
		list = append(list, eventbus.Subscription{
			Stream: eventbus.StreamName("compliance", lane), Durable: durable, Gate: d.engine.Gate(lanesInOrder[i]),
			Handler: cleared.Handle, DeadLetters: d.letters,
		})
	}
	list = append(list, d.stopsSubscription())
	for _, producer := range []string{"ingest", "compliance", "dispatch"} {
		for _, lane := range lanes {
			list = append(list, eventbus.Subscription{
				Stream: eventbus.StreamName(producer, lane), Durable: feedDurable, MaxEvents: 32, Linger: feedLinger,
				Handler: d.feed.Handle, DeadLetters: d.letters,
			})
		}
	}
	return append(list, d.webhooks.subscriptions(d.letters)...)
}
