package smsc

import (
	"fmt"
	"slices"
	"strings"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/smpp"
)

// Rule gives destinations with a suffix an outcome of their own. Zero fields
// leave the knobs' behaviour.
type Rule struct {
	Suffix        string      `json:"suffix"`                    // digits, at least one
	Stat          string      `json:"stat,omitempty"`            // DELIVRD, UNDELIV, EXPIRED, REJECTD, DELETED, ACCEPTD, UNKNOWN; default DELIVRD
	Err           string      `json:"err,omitempty"`             // code in the receipt; default 000
	DelayMS       int         `json:"delay_ms,omitempty"`        // before the receipt
	Status        smpp.Status `json:"status,omitempty"`          // refuse the submit
	Segment       byte        `json:"segment,omitempty"`         // refuse only this segment
	Attempts      int         `json:"attempts,omitempty"`        // refuse only so many submits of a destination, counted until reset
	LoseResponse  bool        `json:"lose_response,omitempty"`   // accept, never answer
	LoseReceipt   bool        `json:"lose_receipt,omitempty"`    // never a receipt
	ReceiptFirst  bool        `json:"receipt_first,omitempty"`   // receipt before the response
	Duplicate     bool        `json:"duplicate,omitempty"`       // receipt twice
	ThenStat      string      `json:"then_stat,omitempty"`       // a second, other receipt after one second
	ReplyFromUser string      `json:"reply_from_user,omitempty"` // text the handset sends back after the receipt
}

// SandboxRules are the numbers of the package documentation.
func SandboxRules() []Rule {
	number := func(n int, r Rule) Rule {
		r.Suffix = fmt.Sprintf("999555%02d", n)
		return r
	}
	return []Rule{
		number(0, Rule{Stat: "DELIVRD"}),
		number(1, Rule{Stat: "UNDELIV", Err: "001"}),
		number(2, Rule{Stat: "EXPIRED", Err: "002"}),
		number(3, Rule{Stat: "REJECTD", Err: "003"}),
		number(4, Rule{DelayMS: 30_000}),
		number(5, Rule{ReceiptFirst: true}),
		number(6, Rule{LoseResponse: true}),
		number(7, Rule{LoseResponse: true, LoseReceipt: true}),
		number(8, Rule{Status: smpp.StatusThrottled, Attempts: 3}),
		number(9, Rule{Status: smpp.StatusSysErr}),
		number(10, Rule{Stat: "REJECTD", Err: "633"}),
		number(11, Rule{Duplicate: true}),
		number(12, Rule{Stat: "UNDELIV", Err: "650"}),
		number(13, Rule{Status: smpp.StatusInvDstAdr}),
		number(14, Rule{LoseReceipt: true}),
		number(15, Rule{Stat: "EXPIRED", Err: "002", ThenStat: "DELIVRD"}),
		number(16, Rule{Status: smpp.StatusSubmitFail, Segment: 2}),
		number(17, Rule{ReplyFromUser: "STOP"}),
		number(18, Rule{ReplyFromUser: "बंद करें"}),
		number(19, Rule{Stat: "REJECTD", Err: "9999"}),
	}
}

// stateOf maps the words a receipt can say to their message_state.
var stateOf = func() map[string]smpp.MessageState {
	words := map[string]smpp.MessageState{}
	for s := smpp.StateEnroute; s <= smpp.StateRejected; s++ {
		words[s.String()] = s
	}
	return words
}()

func (r *Rule) validate() error {
	switch {
	case r.Suffix == "" || strings.Trim(r.Suffix, "0123456789") != "":
		return fmt.Errorf("rule suffix is not made of digits")
	case r.Stat != "" && stateOf[r.Stat] == 0, r.ThenStat != "" && stateOf[r.ThenStat] == 0:
		return fmt.Errorf("rule of suffix %s: unknown stat", r.Suffix)
	case len(r.Err) > 16 || r.DelayMS < 0 || r.Attempts < 0:
		return fmt.Errorf("rule of suffix %s: value out of range", r.Suffix)
	}
	return nil
}

// ruleTable finds a destination's rule by one look-up for each length of suffix.
type ruleTable struct {
	lengths  []int // longest first
	bySuffix map[string]*Rule
}

func newRuleTable(rules []Rule) ruleTable {
	t := ruleTable{bySuffix: make(map[string]*Rule, len(rules))}
	for i := range rules {
		t.bySuffix[rules[i].Suffix] = &rules[i]
		t.lengths = append(t.lengths, len(rules[i].Suffix))
	}
	slices.Sort(t.lengths)
	t.lengths = slices.Compact(t.lengths)
	slices.Reverse(t.lengths)
	return t
}

// noRule is the rule of every other number.
var noRule Rule

func (t *ruleTable) find(destination string) *Rule {
	for _, n := range t.lengths {
		if n <= len(destination) {
			if r, ok := t.bySuffix[destination[len(destination)-n:]]; ok {
				return r
			}
		}
	}
	return &noRule
}
