// Package registry is what DLT knows of a tenant: principal entities and their chains of telemarketers, headers,
// content templates, calls to action, each with its status portal-wide and with single operators; and the tenant's kill
// switches.
//
// Objects are the registry as data: of a file, of the database, of the API. Check, Plan and Compare say what may be
// registered, what it changes and how a portal's export differs; they have no effect themselves.
//
// A Snapshot is one version of it all, ready for decisions. It never changes; Apply makes the next version from the objects
// that have changed and shares the rest, so that a change among 100,000 templates costs microseconds. Registry holds the
// newest snapshot of every tenant: reading it takes no lock, and a batch of messages is decided by one version. It follows
// the database by versions: what is read is always "changed since the version held", so a broadcast that was missed, or
// several that came at once, cost nothing but the wait for the next one or for the poll. Kill switches have a version of
// their own and are followed beside, so that they wait for no import. A change that is announced while what a large import
// has changed is still being read overtakes it (Hasten); objects are whole, so their order does not matter.
//
// Which template a text is of is looked up in an index of all bodies, which is built when somebody first asks and taken
// along from version to version (Find, Nearest). Decisions never need it.
package registry
