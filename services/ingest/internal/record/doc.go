// Package record is the audit record of one call at the door: who called what, from where, with which outcome, and for
// a configuration change the settings before and after it.
//
// The door begins a record for every call. A use case that changes settings notes the change and appends the record to
// the transaction of the change, so that neither exists without the other:
//
//	record.Change(ctx, "api_key/"+kid, before, after)
//	err := postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
//		… the change …
//		return record.Append(ctx, tx)
//	})
//	if err == nil {
//		record.Committed(ctx)
//	}
//
// What no use case has appended the door writes itself: changes and their refusals in a transaction of their own before
// the answer, reads and calls of unknown callers in batches within a second.
package record
