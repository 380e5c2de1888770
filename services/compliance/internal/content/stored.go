package content

import (
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Stored is a tenant's policy as it is kept.
type Stored struct {
	Tenant  uuid.UUID
	Version int64 // only grows; 0 for a tenant without rules of its own
	Policy  Policy
	Actor   string // who changed it last
	Updated time.Time
}

// ParseAction reads an action's name.
func ParseAction(s string) (Action, error) {
	for a := Allow; a <= Block; a++ {
		if a.String() == s {
			return a, nil
		}
	}
	return Allow, fmt.Errorf("action %q is none of allow, warn, block", s)
}
