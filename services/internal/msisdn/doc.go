// Package msisdn reads Indian mobile numbers: E.164 with country code 91 and a national number of ten digits that begins
// with 6 to 9 (ITU-T E.164, National Numbering Plan 2003 of the Department of Telecommunications).
//
// The rule decides, not the table of series: series are opened faster than tables follow, and a fixed-line number of ten
// digits can begin with 6 to 8 as well. A number whose series is in no table is told apart by [Number.Known], for a
// warning.
package msisdn
