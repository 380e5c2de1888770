// Package person knows the people of a tenant: who they are, what their role allows, and how they prove it is them.
//
// # What it promises
//
//   - A password is kept as argon2id with its parameters and hashed anew when these rise (OWASP password storage: 19 MiB,
//     2 passes, 1 lane). No more than a few are computed at a time, so that logins cannot use up the memory.
//   - Whoever tries to log in learns nothing of who is a user: unknown addresses cost the same statements, the same
//     argon2id run and the same answer (ASVS 5.0, 6.3.8).
//   - A try is counted, and the count committed, before anything is compared: a crash, a rolled-back login or a race
//     can lose a try, never win one. Wrong tries delay the next ones from the same network (IPv4 /24, IPv6 /48) for
//     longer and longer; no account is ever locked, and its owner gets in from elsewhere (ASVS 5.0, 6.3.1).
//   - A code of an authenticator works once, whatever comes in parallel (RFC 6238, 5.2); so do recovery codes, links and
//     the state of a federated login.
//   - A session is a random token of which only an HMAC is stored. It gets another token at login and at the second
//     factor, ends 15 minutes after its last use and 12 hours after the login, and is gone on every replica within a
//     second of logout, change of role, password or authenticator, disabling and removal.
//   - Owners and admins can do nothing but set up an authenticator until they have one.
//   - Addresses, seeds and client secrets are stored sealed, under the tenant's lasting key.
//
// # Stages of a session
//
//	password   the password was right, or the identity provider said so; the user has no authenticator
//	pending    the same, and the user has one: a code is to be shown
//	complete   both factors were shown, or the identity provider says that it asked for both (amr "mfa", RFC 8176)
package person
