package smsc

import (
	"fmt"
	"strconv"
	"time"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/smpp"
)

// Stats is what GET /stats shows, counted since start or reset.
type Stats struct {
	Totals          Totals            `json:"totals"`
	PerSecond       Rate              `json:"per_second"` // accepted submits
	Distinct        uint64            `json:"distinct"`   // accepted submits not seen before
	Duplicates      uint64            `json:"duplicates"` // accepted submits seen before
	TLV             TLVCounts         `json:"tlv"`
	ByDataCoding    map[string]uint64 `json:"by_data_coding"`    // accepted submits by data_coding, decimal
	SegmentsByTotal map[string]uint64 `json:"segments_by_total"` // accepted submits by the parts of their message
	Receipts        DeliverCounts     `json:"receipts"`
	Inbound         DeliverCounts     `json:"inbound"` // messages from handsets
	Binds           BindCounts        `json:"binds"`
	Throttled       uint64            `json:"throttled"`         // submits refused with 0x58
	RefusedByStatus map[string]uint64 `json:"refused_by_status"` // by status such as "0x000000C3"
}

// Totals counts submit_sm PDUs.
type Totals struct {
	Received      uint64 `json:"received"`       // all
	Submits       uint64 `json:"submits"`        // accepted, each a segment
	Messages      uint64 `json:"messages"`       // accepted first segments
	Refused       uint64 `json:"refused"`        // answered with an error, throttled ones too
	LostResponses uint64 `json:"lost_responses"` // accepted and not answered on purpose
}

// Rate is a count by second.
type Rate struct {
	Last uint64 `json:"last"` // in the last full second
	Peak uint64 `json:"peak"` // in the best second
}

// TLVCounts counts the DLT parameters on submits that were looked at for them:
// received, and not refused before for another reason.
type TLVCounts struct {
	Entity    uint64 `json:"entity"`
	Template  uint64 `json:"template"`
	Hash      uint64 `json:"hash"`
	AllThree  uint64 `json:"all_three"` // present and well formed
	Missing   uint64 `json:"missing"`   // at least one absent
	Malformed uint64 `json:"malformed"` // all present, one malformed
}

// DeliverCounts counts deliver_sm of one sort.
type DeliverCounts struct {
	Sent         uint64 `json:"sent"`         // PDUs, repetitions too
	Acknowledged uint64 `json:"acknowledged"` // answered with success
	Resent       uint64 `json:"resent"`       // sent again after a refusal, a timeout or a lost bind
	Pending      uint64 `json:"pending"`      // due later, waiting for a bind, or not acknowledged
}

// BindCounts counts binds.
type BindCounts struct {
	Now   int    `json:"now"`
	Total uint64 `json:"total"`
}

// tally is what is counted as it happens. The owner guards it.
type tally struct {
	totals     Totals
	tlv        TLVCounts
	duplicates uint64
	coding     [256]uint64
	parts      [256]uint64
	refused    map[smpp.Status]uint64
	receipts   DeliverCounts
	inbound    DeliverCounts
	second     int64 // the running second, Unix
	running    uint64
	rate       Rate
}

// tick moves to the second of now.
func (t *tally) tick(now time.Time) {
	second := now.Unix()
	if second == t.second {
		return
	}
	t.rate.Last = 0
	if second == t.second+1 {
		t.rate.Last = t.running
	}
	t.rate.Peak = max(t.rate.Peak, t.running)
	t.second, t.running = second, 0
}

func (t *tally) accepted(now time.Time, dataCoding, part, parts byte) {
	t.tick(now)
	t.running++
	t.totals.Submits++
	if part == 1 {
		t.totals.Messages++
	}
	t.coding[dataCoding]++
	t.parts[parts]++
}

func (t *tally) refuse(status smpp.Status) {
	t.totals.Refused++
	t.refused[status]++
}

// reset begins anew, but for what is still on its way to the other side.
func (t *tally) reset() {
	pending := [2]uint64{t.receipts.Pending, t.inbound.Pending}
	*t = tally{refused: map[smpp.Status]uint64{}, second: t.second}
	t.receipts.Pending, t.inbound.Pending = pending[0], pending[1]
}

// show fills the parts of Stats that the tally holds.
func (t *tally) show(now time.Time) Stats {
	t.tick(now)
	s := Stats{
		Totals: t.totals, PerSecond: t.rate, TLV: t.tlv, Duplicates: t.duplicates,
		Distinct: t.totals.Submits - t.duplicates, Receipts: t.receipts, Inbound: t.inbound,
		Throttled:       t.refused[smpp.StatusThrottled],
		ByDataCoding:    nonZero(&t.coding),
		SegmentsByTotal: nonZero(&t.parts),
		RefusedByStatus: map[string]uint64{},
	}
	s.PerSecond.Peak = max(s.PerSecond.Peak, t.running)
	for status, n := range t.refused {
		s.RefusedByStatus[fmt.Sprintf("0x%08X", uint32(status))] = n
	}
	return s
}

func nonZero(counts *[256]uint64) map[string]uint64 {
	shown := map[string]uint64{}
	for i, n := range counts {
		if n > 0 {
			shown[strconv.Itoa(i)] = n
		}
	}
	return shown
}
