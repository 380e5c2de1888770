// Package testbed finds and runs a private PostgreSQL server: for `make up`, the crash tests and the database tests.
//
// The server is found on the machine (PATH, /usr/lib/postgresql); else the Debian packages are downloaded and unpacked
// into a cache, without installing anything or starting a cluster. It never runs as root: started by root, it runs as
// postgres or nobody, on a data directory that user can reach.
//
// # Crashes
//
// The server dies with the process that serves it: the kernel sends it SIGQUIT (PostgreSQL's immediate stop) when that
// process is killed, and it recovers from its write-ahead log at the next start. A server that outlived its parent all
// the same (its parent was killed between fork and the arming of that signal) is found at the next start by its working
// directory, and stopped before a new one starts. A lock beside the data directory, held while serving, keeps a second
// process from taking a served directory for an orphan's. initdb works aside and is renamed into place: a kill in the
// middle leaves no half cluster.
package testbed
