package registry

import (
	"encoding/hex"
	"fmt"
	"time"
)

// When reminders are raised: a header or template unused for 30 days is suspended by its operator, so it is told after
// 25 (direction of 16 Feb 2023); certification is due every year (TCCCPR Second Amendment 2025) and told 30 days ahead,
// as is the end of a validity, and again 7 days ahead.
const (
	unusedFor      = 25 * 24 * time.Hour
	suspendedAfter = 30 * 24 * time.Hour
	certifyEvery   = 365 * 24 * time.Hour
	ahead          = 30 * 24 * time.Hour
	shortlyAhead   = 7 * 24 * time.Hour
)

// Reminder is something to be done for an object before a time.
type Reminder struct {
	Key
	Reason string
	Due    time.Time // when it takes effect unless something is done
	Detail string
}

// Remind tells what is to be done for an object. The same need gives the same reminder every day, so that each is
// raised once.
func Remind(o *Object, now time.Time) (all []Reminder) {
	if o.Status != "" && o.Status != "active" {
		return nil
	}
	add := func(reason string, due time.Time, detail string) {
		all = append(all, Reminder{o.Key(), reason, due.UTC().Truncate(time.Second), detail})
	}
	if o.Kind == Headers || o.Kind == Templates {
		since := o.Created
		if o.Used.After(since) {
			since = o.Used
		}
		if !since.IsZero() && now.Sub(since) >= unusedFor {
			add("UNUSED_25_DAYS", since.Add(suspendedAfter), "It was not used for 25 days and will be suspended after 30; use it, or reactivate it at its portal.")
		}
		if !o.Certified.IsZero() {
			if due := o.Certified.Add(certifyEvery); due.Sub(now) <= ahead {
				add("CERTIFICATION_DUE", due, "The sender's yearly certification is due; certify it at its portal and note it here.")
			}
		}
	}
	if left := o.ValidUntil.Sub(now); !o.ValidUntil.IsZero() && left <= ahead && left > 0 {
		days := 30
		if left <= shortlyAhead {
			days = 7
		}
		add(fmt.Sprintf("VALIDITY_ENDING_%d_DAYS", days), o.ValidUntil, "Its validity ends; renew it at its portal.")
	}
	return all
}

// ChainDiffers is the alarm for a chain whose hash, as the portal shows it, is not what its ids give: operators would
// refuse every message.
func ChainDiffers(o *Object, now time.Time) (r Reminder, differs bool) {
	if o.Kind != Entities || o.PortalHash == "" || len(o.Chain) == 0 {
		return r, false
	}
	hash, err := ChainHash(o.ID, o.Chain)
	if err != nil || hex.EncodeToString(hash[:]) == o.PortalHash {
		return r, false
	}
	return Reminder{o.Key(), reasonChainHash, now, "The portal's hash of the chain is not the one its ids give: check their order; nothing is sent until they agree."}, true
}
