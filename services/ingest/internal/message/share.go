package message

import (
	"sync"
	"time"

	"github.com/google/uuid"
)

// shareWindow is how long what a tenant sent counts when a lane is short of room: this window and the one before.
const shareWindow = time.Second

// From this part of a lane's bound on, tenants above their fair share are refused, so that the others' messages still
// find room; shareSlack is how far above it counts as above.
const (
	sharePressure = 0.5
	shareSlack    = 1.25
)

// shares is what each tenant sent into a lane lately.
type shares struct {
	mu       sync.Mutex
	began    time.Time
	now, old map[uuid.UUID]int // messages
	sum      int
}

// note counts n messages of a tenant.
func (s *shares) note(tenant uuid.UUID, n int, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn(now)
	s.now[tenant] += n
	s.sum += n
}

// turn begins a new window when the last is over.
func (s *shares) turn(now time.Time) {
	age := now.Sub(s.began)
	if age < shareWindow && s.now != nil {
		return
	}
	s.old, s.now, s.began = s.now, map[uuid.UUID]int{}, now
	if age >= 2*shareWindow {
		s.old = nil
	}
	s.sum = 0
	for _, n := range s.old {
		s.sum += n
	}
}

// above tells whether a tenant sent more than its share: an equal part for each who sends. Who is alone is never above.
func (s *shares) above(tenant uuid.UUID, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn(now)
	senders := len(s.now)
	for id := range s.old {
		if _, both := s.now[id]; !both {
			senders++
		}
	}
	mine := s.now[tenant] + s.old[tenant]
	return senders > 1 && float64(mine) > shareSlack*float64(s.sum)/float64(senders)
}
