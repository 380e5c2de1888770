package delivery

// Mark is a stored intent or result: which messages of a parcel it names.
type Mark struct {
	Kind    Kind // zero for an intent
	Indexes []uint16
}

// Repair decides what to do with the messages of a parcel whose owner is gone, from the intents and results that stand
// for them (see the package comment). requeue has no intent without a result; doubt has one, and is UNKNOWN. Messages
// with a lasting result are in neither. attempts counts refusals for a passing reason.
func Repair(messages int, intents, results []Mark) (requeue, doubt []uint16, attempts []int) {
	open := make([]int, messages) // intents without a result
	attempts = make([]int, messages)
	done := make([]bool, messages)
	each := func(marks []Mark, f func(i uint16, k Kind)) {
		for _, m := range marks {
			for _, i := range m.Indexes {
				if int(i) < messages {
					f(i, m.Kind)
				}
			}
		}
	}
	each(intents, func(i uint16, _ Kind) { open[i]++ })
	each(results, func(i uint16, k Kind) {
		switch k {
		case Released:
			open[i]--
		case Retried:
			open[i]--
			attempts[i]++
		default:
			done[i] = true
		}
	})
	for i := range messages {
		switch {
		case done[i]:
		case open[i] > 0:
			doubt = append(doubt, uint16(i))
		default:
			requeue = append(requeue, uint16(i))
		}
	}
	return requeue, doubt, attempts
}
