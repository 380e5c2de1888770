package policy_test

import (
	"testing"

	"github.com/onlinesms/onlinesms/services/compliance/internal/complaint"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
)

// TestTotalOverWishes (requirement 73): whatever recipients, tenants and complaints say, a decision is one of four things;
// nothing goes to a suppressed recipient, no promotion to one who opted out, revoked or (where it is required) has not
// consented, none of an entity that is braked; codes and government messages care for suppression alone.
func TestTotalOverWishes(t *testing.T) {
	seen := map[string]int{}
	for category := policy.Promotional; category <= policy.Government; category++ {
		for consent := policy.ConsentUnknown; consent <= policy.ConsentEnded; consent++ {
			for bits := range 16 {
				for standing := complaint.Good; standing <= complaint.Stopped; standing++ {
					f := inOrder(category)
					f.Consent, f.Complaints = consent, standing
					f.OptedOut, f.Suppressed, f.ConsentRequired = bits&1 != 0, bits&2 != 0, bits&4 != 0
					f.Template.PreferenceUnchecked = bits&8 != 0
					for _, now := range moments {
						pack := builtin(t).At(now)
						_, got := judge(t, pack, f, now)
						seen[got]++
						if got == "allow" && forbidden(f) {
							t.Fatalf("allowed: %+v at %v", f, now)
						}
						free := category == policy.Transactional || category == policy.Government
						if free && !f.Suppressed && got != "allow" {
							t.Fatalf("%s: %+v", got, f)
						}
					}
				}
			}
		}
	}
	for _, verdict := range []string{"allow", "deny", "defer"} {
		if seen[verdict] == 0 {
			t.Errorf("never %s", verdict)
		}
	}
}

// forbidden says what must never go out.
func forbidden(f *policy.Facts) bool {
	switch {
	case f.Suppressed:
		return true
	case f.Template.Category == policy.Service:
		return f.Consent == policy.ConsentEnded || f.Complaints == complaint.Stopped
	case f.Template.Category != policy.Promotional:
		return false
	}
	valid := f.Consent == policy.ConsentValid
	return f.OptedOut || f.Consent == policy.ConsentRevoked || f.Consent == policy.ConsentAway || f.Complaints >= complaint.Braked ||
		!valid && f.ConsentRequired && !f.Template.PreferenceUnchecked || f.Consent == policy.ConsentUnknown && !f.Template.PreferenceUnchecked
}
