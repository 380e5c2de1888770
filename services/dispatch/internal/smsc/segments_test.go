package smsc

import (
	"slices"
	"strings"
	"testing"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/encoding"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/smpp"
)

// What encoding makes arrives as such: every segment with all parameters, its
// own id and its own receipt, and the text whole.
func TestLongMessages(t *testing.T) {
	b := start(t, nil)
	c := b.bind(nil)
	for _, tc := range []struct {
		name, text string
		coding     byte
		segments   int
	}{
		{"Hindi of 71", strings.Repeat("न", 71), 8, 2},
		{"153 times euro", strings.Repeat("€", 153), 0, 3},
	} {
		b.Reset()
		m, err := encoding.Encode(tc.text, 42)
		if err != nil || len(m.Segments) != tc.segments {
			t.Fatalf("%s: %d segments, %v", tc.name, len(m.Segments), err)
		}
		ids := map[string]bool{}
		for i, segment := range m.Segments {
			sm := message("919876543210", string(segment))
			sm.DataCoding, sm.ESMClass = m.DataCoding, smpp.ESMClassUDHI
			c.submit(uint64(i), sm)
			ids[c.result().MessageID] = true
			if id := c.receipt().ID; !ids[id] {
				t.Errorf("%s: receipt of unknown id %s", tc.name, id)
			}
		}
		var text string
		for i, shown := range slices.Backward(b.Messages("", 10)) { // oldest first
			text += shown.Text
			if int(shown.Segment) != tc.segments-i || int(shown.Segments) != tc.segments || shown.DataCoding != tc.coding {
				t.Errorf("%s: %+v", tc.name, shown)
			}
		}
		if s := b.Stats(); s.TLV.AllThree != uint64(tc.segments) || len(ids) != tc.segments || s.Totals.Messages != 1 || text != tc.text {
			t.Errorf("%s: stats %+v, text %q", tc.name, s, text)
		}
	}
}
