package policy_test

import (
	"path/filepath"
	"testing"
)

// TestRequirements: every requirement on the decision itself is named by a case that runs, but for those that have a test
// of their own: 38 TestPackInForce, 39 and 43 registry's chain tests, 50 and 52-53 the packages msisdn and gsm, 58
// TestCodesAgreeWithDispatch, 73 TestTotalOverRules, 75 screening's TestSmoothRelease, 76 TestPublicCatalogue.
func TestRequirements(t *testing.T) {
	files, err := filepath.Glob("testdata/cases/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	named := map[int]bool{}
	for _, file := range files {
		var f caseFile
		decode(t, file, &f)
		for _, c := range f.Cases {
			for _, n := range c.Requirement {
				named[n] = true
			}
		}
	}
	for _, n := range []int{1, 2, 3, 4, 5, 6, 7, 8, 22, 23, 24, 26, 27, 29, 31, 33, 34, 35, 36, 37, 40, 43, 69, 72} {
		if !named[n] {
			t.Errorf("no case names requirement %d", n)
		}
	}
}
