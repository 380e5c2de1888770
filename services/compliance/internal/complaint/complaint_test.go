package complaint_test

import (
	"testing"
	"time"

	"github.com/onlinesms/onlinesms/services/compliance/internal/complaint"
)

const entity = "1701158019811140068"

// TestRequirement37: distinct complainants of ten days warn at 2, brake at 3, stop at 5.
func TestRequirement37(t *testing.T) {
	now := time.Date(2026, 10, 12, 12, 0, 0, 0, time.UTC)
	one := func(who byte, ago time.Duration, state complaint.State) complaint.Complaint {
		return complaint.Complaint{Recipient: [16]byte{who}, Entity: entity, Time: now.Add(-ago), State: state}
	}
	all := []complaint.Complaint{
		one(1, 0, complaint.Recorded), one(1, time.Hour, complaint.Recorded), // twice the same
		one(2, complaint.Window-1, complaint.Upheld),
		one(3, complaint.Window, complaint.Recorded), // ten days ago: no longer
		one(4, time.Hour, complaint.Rejected),
		one(5, -time.Hour, complaint.Recorded), // not yet
		{Recipient: [16]byte{6}, Entity: "1701158019811140099", Time: now},
	}
	if n := complaint.Complainants(all, entity, now); n != 2 {
		t.Errorf("%d complainants, want 2", n)
	}
	want := []string{"GOOD", "GOOD", "WARNED", "BRAKED", "BRAKED", "STOPPED", "STOPPED"}
	for n, standing := range want {
		if got := complaint.Of(n).String(); got != standing {
			t.Errorf("with %d: %s, want %s", n, got, standing)
		}
	}
}
