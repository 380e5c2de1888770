package app

import (
	"path/filepath"
	"testing"
	"time"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/internal/rpc/rpctest"
)

// Item 7: the inner port, as every service and as nobody.
func TestItem7EveryCallerOfEveryMethod(t *testing.T) {
	w := newWorld(t, time.Now())
	c, _ := w.start()
	rpctest.CheckCallers(t, c.addr.String(), name, filepath.Dir(w.files[name].CA), map[string][]string{
		compliancev1.ComplianceService_GetTemplateCategory_FullMethodName: {"ingest"},
		compliancev1.ComplianceService_CancelMessage_FullMethodName:       {"ingest"},
		compliancev1.ComplianceService_CancelScheduled_FullMethodName:     {"ingest"},
	})
}
