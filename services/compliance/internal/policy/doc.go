// Package policy is the heart of compliance: Evaluate, a pure and total function from rules, facts and time to a
// decision (design decision 5).
//
// Facts say what is known of one message: statuses in the registry, what the text's comparison found, times. Packs
// are the rules as dated data. The checks run in the order of DLT rules 11; every reason is listed, the first
// one decides. Refusal wins over waiting: only a message without any denial is held, for its schedule or for the
// promotional time band.
//
// A fact that depends on another is judged only where the other is known: of an unknown entity it is not said that the
// header does not belong to it.
package policy
