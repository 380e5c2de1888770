// Package policy is the heart of compliance: Evaluate, a pure and total function from rules, facts and time to a decision.
//
// Facts say what is known of one message: kill switches, statuses in the registry and with the route's operator, what the
// text's comparison found, consent and preference, times. Packs are the rules as dated data with their source; law changes
// by adding one, and a draft is there for simulations only. Reasons are those of a catalogue, reasons.yaml, with remedy,
// owner, retry and the codes of operators.
//
// The checks run in this order; every reason is listed, the first one decides: kill switches, content, entity, recipient,
// chain of telemarketers, header, template, text, the category's rules, consent, preference, validity. Refusal wins over
// waiting: only a message without any denial is held, for its schedule, for an answer that cannot be had now, or for the
// promotional time band. A doubt that decides nothing is a warning.
// Which checks were made stands in the decision; Decision.Report tells how each came out.
//
// A fact that depends on another is judged only where the other is known: of an unknown entity it is not said that the
// header does not belong to it. A fact that nobody has gathered denies promotion (consent, preference) and says nothing of
// the other categories, which are never scrubbed.
package policy
