package consumer

import (
	"fmt"
	"strings"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/audit/internal/ledger"
)

// authorOfWishes: what recipients wish, a line each with the hash of its receipt: so a receipt somebody kept is proven by
// the log. The parcel's bytes, which have the recipients' hashes, are behind a commitment of their own.
func authorOfWishes(p *compliancev1.WishParcel) author {
	lines := []string{p.GetAction() + ": " + p.GetReason()}
	for _, w := range p.GetWishes() {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %x", w.GetKind(), w.GetEntityId()+w.GetObjectId(), w.GetReceiptHash())))
	}
	a := author{actor: p.GetActor(), resource: "wishes"}
	a.add(ledger.FieldAfter, strings.Join(lines, "\n"))
	return a
}

// authorOfComplaints: complaints with the standing they lead to.
func authorOfComplaints(p *compliancev1.ComplaintParcel) author {
	lines := []string{p.GetAction() + ": " + p.GetReason()}
	for _, c := range p.GetComplaints() {
		lines = append(lines, fmt.Sprintf("%x %s %s %s", c.GetComplaintId(), c.GetEntityId(), c.GetState(), c.GetStanding()))
	}
	a := author{actor: p.GetActor(), resource: "complaints"}
	a.add(ledger.FieldAfter, strings.Join(lines, "\n"))
	return a
}
