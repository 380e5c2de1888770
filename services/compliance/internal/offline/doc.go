// Package offline decides messages of a file by a registry export: no database, no network, nothing recorded. The decider is
// the service's own, screening.Decide, so that a line has the outcome its message would have, as far as the registry, the
// text and the time decide it. What only the running service knows is not known here: consents, preferences, routes; by the
// rules promotion is then refused, unless its template says otherwise.
//
// Lines are read in batches, decided on all cores and written in their order; memory does not grow with the file.
package offline
