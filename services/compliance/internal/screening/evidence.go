package screening

import (
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/consent"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
)

// Evidence is what can be proven of one message that was cleared.
type Evidence struct {
	Message                  uuid.UUID
	Entity, Header, Template string
	Cleared                  time.Time
	Revision                 registry.Revision // of the template, in force when it was cleared; Number is 0 when it is not known
	Decisions                []Decided         // the latest first
	Wishes                   consent.Standing  // of the recipient towards the entity, as known when it was cleared
}
