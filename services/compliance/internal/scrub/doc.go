// Package scrub brings preference registers from those who scrub to every replica.
//
// # The way of a file
//
// A Provider answers the result of a scrub run: a file, or an HTTP service. The Importer, a process of its own started by
// the operator, loads it into a directory of its own, so that every line is read and checked away from the replicas; seals
// the finished register into the object store; and records the run. A Follower in each replica sees the record, fetches
// the object, verifies it and puts it in force. Changes between two runs go the same way, sealed in the record itself.
//
// # Crashes
//
//   - The importer is killed: no run was recorded, every replica goes on with the file it has. What it left on disk is
//     removed by the next import; what it left in the object store belongs to no run, and goes with the next one.
//   - A replica is killed while it fetches: the file it had is in force at the next start, and it fetches again.
//   - The object store is lost: replicas go on with the files they have; a new replica has none, and promotion waits there
//     until the operator imports again.
package scrub
