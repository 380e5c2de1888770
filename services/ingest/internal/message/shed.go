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

// shed refuses with OVERLOADED when lane is past its bound.
func (b Backlog) shed(lane string) error {
	parcels, oldest := b()
	factor := shedFactor[lane]
	if parcels <= shedParcels*factor && oldest <= shedAge*time.Duration(factor) {
		return nil
	}
	return overloaded()
}

func overloaded() error {
	return &errs.Error{
		Kind: errs.Exhausted, Reason: "OVERLOADED",
		Message:  "too much is waiting in this lane; nothing was accepted, repeat the request later",
		Metadata: map[string]string{"retry_after": "5s"}, // rpc.RetryAfter
	}
}
