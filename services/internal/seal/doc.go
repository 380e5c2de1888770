// Package seal encrypts content: AES-256-GCM under random data keys, one per environment, tenant, IST day and class,
// wrapped by the environment's deployment key, which the key-encryption key (KEK) wraps in turn (design decision 4).
//
// Keys, from the outside in:
//
//	KEK                 from outside the process (file, Vault/OpenBao, KMS), in versions; wraps deployment keys
//	deployment key      one per environment and version, in the keyring, wrapped by the KEK
//	data key            one per environment, tenant, IST day and class, in ingest's PostgreSQL, wrapped by the
//	                    deployment key; destroying its row erases what it sealed, for good
//	sealed value        0x01 | key id (8, big endian) | nonce (12, random) | ciphertext | tag (16)
//
// A process unwraps a deployment key once an hour, whatever the number of tenants, so midnight (when every tenant gets
// a new data key) costs no call to the KEK. Each unwrapped key is held for an hour at most: a data key destroyed opens
// nothing an hour later, anywhere; a KEK taken away stops everything two hours later (a data key may be unwrapped in
// the last minute of its deployment key's hour). When the KEK is away, what is held goes on until its hour is over, and
// then fails with errs.Unavailable; nothing is ever written in clear.
//
// The KEK is rotated in four steps, each while everything runs: a new version is added where the KEK stands; the processes
// have it a second later; Rewrap writes the keyring anew under it; the old version is removed (RetireKEK). A process that
// gets a KEK and a keyring that do not fit goes on with those it has.
//
// GCM with random nonces is safe for 2^32 seals under one key (NIST SP 800-38D, 8.3). A data key is given up after 2^30
// in one process and the next is minted under class "content#2" and so on: four replicas, or lives, may share a key at
// a tenant's billion messages a day before the bound is reached.
//
// Opening checks the whole binding: a value that is moved to another row, tenant, environment or class, or changed by a
// bit, fails with reason CONTENT_UNREADABLE. After its data key is destroyed it fails with CONTENT_KEY_DESTROYED.
package seal
