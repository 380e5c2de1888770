// Package tenant knows the tenants and their API keys: the form of a key, what is stored of it, and who holds it.
//
// A key is shown once, when it is made. What is stored is an HMAC of its secret under a pepper that is not in the
// database. Verifying costs no query for a malformed key or one used within the last 30 seconds; expiry is checked on
// every use.
package tenant
