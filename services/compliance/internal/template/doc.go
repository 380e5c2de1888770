// Package template decides whether a text is what was registered: fixed parts equal to the letter, variables of their
// type and within their length, calls to action whitelisted; and finds the template of a text among many.
//
// # Promises
//
// The strict profile is the gate: NFC, line ends as LF, no trimming, every value of 1 to its limit in UTF-16 units. The
// lenient one, which ignores white space and punctuation in fixed text as some operators do, is advice only: it lets an
// empty variable pass.
//
// A match costs one greedy pass (about 100 ns). Only when that cannot tell, a complete dynamic program decides. It goes
// once over the text and holds in one word which of the at most 64 elements can match the rest from here, and in a few
// more, bit by bit, how much of its limit every variable has left; so a character costs the same few operations however
// many variables there are, and beside them one comparison for each fixed part that begins with its byte. Nothing
// backtracks. MaxElements and MaxUnits bound the work of one match, Matcher.Find takes a budget for all together.
//
// # Which value is whose
//
// When several splits of the text match, the one that is reported is fixed: going from left to right, a variable before
// fixed text, or at the end, takes the least that lets the rest match, the first of adjacent variables the most.
//
// # Which difference is named
//
// The first element that cannot be passed, over all splits; within it the place that agrees furthest. What is found
// there is named by its class (a digit, a space), never by its value, which may be personal.
//
// Everything here is pure. A Template, a Whitelist, a Profile and an Index are immutable and may be shared; a Matcher is
// the scratch memory of one goroutine.
package template
