// Package portal reads what DLT portals export: CSV files of templates, headers, entities, telemarketers or calls to
// action. Which column means what at which portal is data, in portals/*.yaml; a portal is recognised by the header row
// of its file. It also carries an import through: read, compare with the registry, change all of it or nothing.
//
// An import that a crash interrupts is begun anew by any replica once its lease is over: what it changes, and that it is
// done, is one transaction.
package portal
