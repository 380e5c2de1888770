// Package preference keeps who may not be written to: the preference register of a scrub run, the suppression lists of
// tenants, and what operators answered lately.
//
// # The register
//
// A Store has one file in force, a Plane: four bits for each of the 4,000,000,000 Indian mobile numbers, at the number's
// place, in a sparse file that is mapped into memory. A code is "not in the file", "fully blocked", "scrubbed and free",
// one of the twelve commonest other preferences, which the header's dictionary holds, or an escape to a table of numbers
// and preferences. So a look-up is one load that misses the caches, and a batch waits for all of its loads together. A bit
// for each page, 61 KB in all, keeps pages without a number from being read in.
//
// # The manners of files
//
// A file is written beside the one in force, with a checksum for each MiB, synced, and renamed into place. It is verified
// when it is opened. Readers hold a View, a count that keeps the memory mapped; a swap is one pointer, so that no reader
// waits and the old file is unmapped by the last one to let go. A file is never changed: the mapping is private, a change
// copies its page, and the journal holds it. Every state a crash can leave:
//
//	while a file is written         the old one is in force; the part is removed at the next start
//	between rename and swap         the new one is in force at the next start
//	while a change is written       it was not answered; the torn end of the journal is cut
//	between journal and memory      the change is replayed at the next start
//	changes while an import runs    are carried into the new file before it is renamed
//
// One process holds a directory; replicas get the file by Export and Receive, and changes by Changes and Update.
//
// # What is personal here
//
// Position is number: these files hold numbers in clear. Directory and files are readable by their owner only (0700,
// 0600), belong on a volume of their own, and in no backup; what Export writes has to be sealed before it leaves the host.
// No error and no log line of this room names a number.
package preference
