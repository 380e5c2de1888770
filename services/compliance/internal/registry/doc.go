// Package registry is what DLT knows of a tenant: principal entities and their chains of telemarketers, headers,
// content templates, calls to action, each with its status.
//
// Rows are the registry as data: of a file to import, of the database. A Snapshot is built from them once and never
// changes; look-ups are one map access without allocation. Registry holds the newest snapshot of every tenant and swaps
// it whole, so that a batch of messages is decided by one version.
package registry
