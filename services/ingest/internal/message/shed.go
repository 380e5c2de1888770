package message

import (
	"time"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Backlog tells how far publishing is behind: parcels not yet on the bus, and the age of the oldest.
type Backlog func() (parcels int, oldest time.Duration)

// A lane sheds when its share of the bound is passed: bulk first, OTP last. Beyond it the outbox grows faster than it
// drains, and every accepted message would only wait; refused before acceptance, the sender knows and can go elsewhere.
const (
	shedParcels = 20000
	shedAge     = 30 * time.Second
)

var shedFactor = map[string]int{LaneBulk: 1, LaneInteractive: 2, LaneOTP: 4}

// pressure is how near lane is to its bound, which is 1.
func (b Backlog) pressure(lane string) float64 {
	parcels, oldest := b()
	factor := float64(shedFactor[lane])
	return max(float64(parcels)/(shedParcels*factor), float64(oldest)/(float64(shedAge)*factor))
}

// shed refuses with OVERLOADED when s's lane is past its bound; before that, those tenants that take more of it than
// their fair share.
func (a *Accepter) shed(lane string, s *submission) error {
	now, sent := a.Now(), a.shares[lane]
	pressure := max(a.Backlog.pressure(lane), a.lanes[lane].pressure())
	if pressure > 1 || pressure > sharePressure && sent.above(s.tenant, now) {
		return overloaded()
	}
	sent.note(s.tenant, len(s.messages), now)
	return nil
}

func overloaded() error {
	return &errs.Error{
		Kind: errs.Exhausted, Reason: "OVERLOADED",
		Message:  "too much is waiting in this lane; nothing was accepted, repeat the request later",
		Metadata: map[string]string{"retry_after": "5s"}, // rpc.RetryAfter
	}
}
