package door

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"time"
)

// webhookIPsPath is where receivers of webhooks find the addresses that deliveries come from.
const webhookIPsPath = "/v1/webhook-ips"

// WebhookIPs are the addresses that webhooks are sent from: those in use, and those that will be from a time on.
type WebhookIPs struct {
	Prefixes []netip.Prefix // in use
	Next     []netip.Prefix // from NextFrom on; announce them a week ahead
	NextFrom time.Time
}

// page serves them.
func (w WebhookIPs) page() (http.HandlerFunc, error) {
	type entry struct {
		Prefix        netip.Prefix `json:"prefix"`
		EffectiveFrom *time.Time   `json:"effectiveFrom,omitempty"` // absent: in use
	}
	list := []entry{} // an empty list says that none are published, not that there are none
	for _, p := range w.Prefixes {
		list = append(list, entry{Prefix: p.Masked()})
	}
	for _, p := range w.Next {
		if w.NextFrom.IsZero() {
			return nil, fmt.Errorf("%s: addresses that come need the time they come at", webhookIPsPath)
		}
		if !slices.Contains(w.Prefixes, p) {
			at := w.NextFrom.UTC()
			list = append(list, entry{Prefix: p.Masked(), EffectiveFrom: &at})
		}
	}
	body, err := json.Marshal(map[string]any{"prefixes": list})
	if err != nil {
		return nil, err
	}
	return static("application/json", "", body), nil
}
