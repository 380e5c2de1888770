package screening

import (
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/preference"
)

// Preferences is the register of preferences, with what operators answered lately.
type Preferences interface {
	// View answers the register in force, to be closed once. It must not wait.
	View() preference.View
	// Answered is the code by which an operator refused promotion of an environment to a number lately; 0 for none.
	Answered(env string, n preference.Number, now time.Time) preference.Code
}

// Answer is what an operator said of a message.
type Answer struct {
	ID      uuid.UUID // UUIDv7, in the order of recording
	Tenant  uuid.UUID
	Env     string
	Message uuid.UUID
	Code    preference.Code
	At      time.Time
}

// wish is what the register says of one message.
type wish struct {
	asked    bool
	operator bool // an operator has said lately that promotion is blocked
	preference.Result
}

// openPreferences has the register stand still for one Decide: a file that is swapped meanwhile counts for the next.
func (d *decider) openPreferences(p Preferences) {
	if d.preferences = p; p != nil {
		d.view = p.View()
		d.fresh = d.view.Run().Fresh(d.now)
	}
}

// wishes looks up the recipients of up to lookAhead messages that need it, all at once: their loads from memory do not
// wait for each other.
func (d *decider) wishes(messages []Message) {
	clear(d.wished[:len(messages)])
	if d.preferences == nil {
		return
	}
	var numbers [lookAhead]preference.Number
	var places [lookAhead]uint8
	n := 0
	for i := range messages {
		t := d.looked[i].template
		if t == nil || !scrubbed(d.pack, t.Category) || t.Unchecked {
			continue
		}
		if number, ok := preference.ParseNumber(d.contents[i].To); ok && !d.unreadable[i] {
			numbers[n], places[n] = number, uint8(i)
			n++
		}
	}
	if n == 0 {
		return
	}
	var results [lookAhead]preference.Result
	d.view.LookAll(results[:n], numbers[:n])
	for i, place := range places[:n] {
		d.wished[place] = wish{asked: true, operator: d.preferences.Answered(d.parcel.Env, numbers[i], d.now) != 0, Result: results[i]}
	}
}

// scrubbed tells whether messages of a category are scrubbed against the register: promotion, and service explicit while
// there was such a thing. Service, transactional and government messages never are (TCCCPR 2018, Schedule II).
func scrubbed(pack *policy.Pack, c policy.Category) bool {
	c = pack.Effective(c)
	return c == policy.Promotional || c == policy.ServiceExplicit
}

// prefer fills in what the register says. Without a run that is valid now the answer is away: promotion waits. A number
// that the run does not speak of was not scrubbed.
func (d *decider) prefer(w *wish) {
	f := &d.facts
	switch {
	case !w.asked:
	case !d.fresh:
		f.Preference = policy.PreferenceAway
	case w.operator:
		f.Preference, f.BlockedBy = policy.Blocked, "operator"
	case !w.Scrubbed:
		f.Preference = policy.PreferenceUnknown
	default:
		part := w.Preference.Blocks(preference.Message{Goods: goods(f), Mode: preference.SMS, At: d.now, Holiday: preference.NationalHoliday(d.now)})
		if f.Preference = policy.NotBlocked; part != preference.Free {
			f.Preference, f.BlockedBy = policy.Blocked, part.String()
		}
	}
}

// goods is the category of goods of a promotion: the template's or, where none is registered, the one its header begins
// with (the first digit of a promotional header names it).
func goods(f *policy.Facts) int {
	if f.Template.Goods < 0 && f.Header.Kind == policy.PromotionalHeader && f.Header.Text != "" {
		return int(f.Header.Text[0] - '0')
	}
	return f.Template.Goods
}
