// Package template decides whether a text is what was registered: fixed parts equal to the letter, variables of their
// type and within their length, calls to action whitelisted (DLT rules 2, 6 and 7.3).
//
// The strict profile is the gate. A match costs one greedy pass (about 100 ns). Only when that fails, a complete
// dynamic program over (element, position) decides; it visits each pair once, so no input costs more than
// 3 x elements x bytes steps, and Parse and Match bound both. There is no backtracking and no regular expression.
//
// Which split of the text among the variables is reported is fixed: a variable before fixed text takes as little as
// possible, the first of adjacent variables as much as possible.
//
// Everything here is pure. A Template and a Whitelist are immutable and may be shared; a Matcher is the scratch memory
// of one goroutine.
package template
