package preference_test

import (
	"testing"

	"github.com/onlinesms/onlinesms/services/compliance/internal/preference"
	"github.com/onlinesms/onlinesms/services/compliance/internal/preference/preferencetest"
)

func open(t testing.TB, dir string) *preference.Store {
	t.Helper()
	s, err := preference.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// The register in memory and the real one are held to the same.
func TestRegisters(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		preferencetest.RunRegisterTests(t, func(*testing.T) preferencetest.Register { return &preferencetest.Memory{} })
	})
	t.Run("store", func(t *testing.T) {
		preferencetest.RunRegisterTests(t, func(t *testing.T) preferencetest.Register { return open(t, t.TempDir()) })
	})
}
