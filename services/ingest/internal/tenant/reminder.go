package tenant

import (
	"context"
	"log/slog"
	"time"
)

// Thresholds are the days before a key's end at which its tenant is told, largest first (ASVS 6.4.5).
var Thresholds = []int{30, 14, 7, 1}

// neverWarned stands for a key whose end nobody was told of: larger than any threshold.
const neverWarned = 1000

// WarnFrom is from when before its end every answer to a key says how long it has left.
const WarnFrom = 30 * 24 * time.Hour

// firstWarning is Detail.Warned of a key that lives for lifetime: thresholds it is born beyond are not alerted.
func firstWarning(lifetime time.Duration) int {
	warned := neverWarned
	for _, days := range Thresholds {
		if lifetime <= time.Duration(days)*24*time.Hour {
			warned = days
		}
	}
	return warned
}

// DaysLeft is how many days a key works from now, part of a day counting as one; ok is false while it is longer than
// WarnFrom.
func DaysLeft(expire, now time.Time) (days int, ok bool) {
	left := expire.Sub(now)
	if left > WarnFrom {
		return 0, false
	}
	return max(0, int((left+24*time.Hour-1)/(24*time.Hour))), true
}

// Expiring is a key that passed a threshold.
type Expiring struct {
	KID  string
	Days int
}

// ReminderStore notes which keys were alerted.
type ReminderStore interface {
	// WarnKeys appends an alert event for each key that has passed one of thresholds since it was last warned, at most
	// once for each key and threshold on all replicas together, and answers them. Rotated and revoked keys have none.
	WarnKeys(ctx context.Context, thresholds []int) ([]Expiring, error)
}

// Remind alerts the keys that passed a threshold; call it every few minutes.
func Remind(ctx context.Context, s ReminderStore, log *slog.Logger) error {
	keys, err := s.WarnKeys(ctx, Thresholds)
	for _, k := range keys {
		log.WarnContext(ctx, "an API key expires soon; rotate it", slog.String("kid", k.KID), slog.Int("days", k.Days))
	}
	return err
}
