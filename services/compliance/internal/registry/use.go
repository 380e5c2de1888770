package registry

import (
	"sync/atomic"
	"time"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
)

// Use is the last day an object was used, in memory. All versions of the object share it.
type Use struct {
	day     atomic.Int32 // days since 1970 in IST; 0: not yet
	flushed atomic.Int32 // what the database has
}

func newUse(o *Object) *Use {
	u := &Use{}
	if !o.Used.IsZero() {
		day := Day(o.Used)
		u.day.Store(day)
		u.flushed.Store(day)
	}
	return u
}

// Day is the day of a time in IST, counted from 1970.
func Day(t time.Time) int32 {
	_, offset := t.In(policy.IST).Zone()
	return int32((t.Unix() + int64(offset)) / (24 * 60 * 60))
}

// Last is the day of the last use noted.
func (u *Use) Last() int32 { return u.day.Load() }

// Touch notes a use. It costs a load, but for the first of a day.
func (u *Use) Touch(day int32) {
	if u.day.Load() < day {
		u.day.Store(day)
	}
}

// Used is an object that was used on a day later than the database knows.
type Used struct {
	Key
	Day time.Time // midnight UTC of the day's date
	use *Use
	day int32
}

// Flushed notes that the database knows.
func (u *Used) Flushed() { u.use.flushed.Store(u.day) }

// Used lists what is to be flushed: an object at most once a day.
func (s *Snapshot) Used() (all []Used) {
	add := func(k Key, u *Use) {
		if day := u.day.Load(); day != u.flushed.Load() {
			all = append(all, Used{Key: k, Day: time.Unix(int64(day)*24*60*60, 0).UTC(), use: u, day: day})
		}
	}
	for h := range s.headers.all() {
		add(Key{Headers, h.Text}, h.Use)
	}
	for t := range s.templates.all() {
		add(Key{Templates, t.ID}, t.Use)
	}
	return all
}
