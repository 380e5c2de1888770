package ledger_test

import (
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/audit/internal/ledger"
	"github.com/onlinesms/onlinesms/services/audit/internal/ledger/ledgertest"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

func TestMemoryStore(t *testing.T) {
	ledgertest.RunStoreTests(t, func(*testing.T) ledgertest.Subject { return ledgertest.NewStore() })
}

func TestAppenderStoresEveryRequest(t *testing.T) {
	store := ledgertest.NewStore()
	appender := ledger.NewAppender(store)
	go func() { _ = appender.Run(t.Context()) }()
	tenant := uuid.New()
	var consumers sync.WaitGroup
	for range 20 {
		consumers.Go(func() {
			if err := appender.Append(t.Context(), ledgertest.Records(tenant, "live", 3)); err != nil {
				t.Error(err)
			}
		})
	}
	consumers.Wait()
	if n := len(ledgertest.CheckLog(t, store, tenant, "live")); n != 60 {
		t.Errorf("60 records became %d entries", n)
	}
}

func TestAppenderTellsOfFailure(t *testing.T) {
	store := ledgertest.NewStore()
	appender := ledger.NewAppender(store)
	go func() { _ = appender.Run(t.Context()) }()
	store.Fail(errs.E(errs.Unavailable, "DATABASE_AWAY", "the database is away", nil))
	records := ledgertest.Records(uuid.New(), "live", 1)
	if err := appender.Append(t.Context(), records); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("a failed commit was reported as %v", err)
	}
	store.Fail(nil)
	if err := appender.Append(t.Context(), records); err != nil {
		t.Errorf("the next try failed: %v", err)
	}
}
