package route

import "time"

// PromoOpen tells whether promotional messages may be submitted now: [10:00:00, 21:00:00) IST (DLT rules 1.5). The window
// applies at the attempt, so it is asked at submit again.
func PromoOpen(now time.Time) bool {
	h := now.In(IST).Hour()
	return h >= 10 && h < 21
}

// NextPromoOpening is the next 10:00 IST after now.
func NextPromoOpening(now time.Time) time.Time {
	t := now.In(IST)
	open := time.Date(t.Year(), t.Month(), t.Day(), 10, 0, 0, 0, IST)
	if !open.After(now) {
		open = open.AddDate(0, 0, 1)
	}
	return open
}

// PromoClosing is today's 21:00 IST: a promotional message's validity ends by then.
func PromoClosing(now time.Time) time.Time {
	t := now.In(IST)
	return time.Date(t.Year(), t.Month(), t.Day(), 21, 0, 0, 0, IST)
}
