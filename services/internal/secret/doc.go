// Package secret knows where secrets are and hands them out, also when they change while the process runs.
//
// A secret is named by a reference (Ref), the value of an environment variable NAME:
//
//	vault:<mount>/<path>#<field>   a field of a secret in a KV version 2 engine of HashiCorp Vault or OpenBao
//	file:<path>                    the content of a file; NAME_FILE=<path> says the same
//	anything else                  the secret itself
//
// A reference shows itself as "set" or "unset" wherever it is printed, logged or encoded.
//
// Follow hands out a secret at once and again when it changes: files are read every second, Vault as often as
// VAULT_POLL_INTERVAL says. Whoever takes it may refuse a new value; then the one before stays in force, the failure
// stands in the log, in the metric onlinesms.secret.stale and in the body of /readyz, and the value is tried again until
// it is taken. So a secret that is half written, or that comes before the one it belongs to, does no harm.
package secret
