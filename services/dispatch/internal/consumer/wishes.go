package consumer

import (
	"time"

	"google.golang.org/protobuf/proto"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

// WishesRecorded is the event by which compliance tells of consents revoked, opt-outs and suppressions.
const WishesRecorded = "onlinesms.compliance.v1.WishesRecorded"

// Hearer takes note that fewer messages may go to a recipient than before; all says that not only promotion is meant.
type Hearer interface {
	Heard(recipient [16]byte, all bool, now time.Time)
}

// Wishes takes note of every wish of an event that restricts. An event that cannot be read is errs.Invalid.
func Wishes(d eventbus.Delivery, to Hearer, now time.Time) error {
	var event compliancev1.WishesRecorded
	if err := proto.Unmarshal(d.Data, &event); err != nil {
		return errs.E(errs.Invalid, "EVENT_MALFORMED", "an event of wishes cannot be read", err)
	}
	for _, p := range event.GetParcels() {
		for _, w := range p.GetWishes() {
			if !w.GetRestricts() {
				continue
			}
			index := w.GetRecipientIndex()
			if len(index) != 16 {
				return errs.E(errs.Invalid, "EVENT_MALFORMED", "a wish names no recipient", nil)
			}
			to.Heard([16]byte(index), w.GetAllCategories(), now)
		}
	}
	return nil
}
