// Package door is the only public way in: two TLS listeners, one for HTTPS with JSON and one for gRPC, before one gRPC
// server. JSON is translated and enters that server over a connection in memory, so that every call, whatever it came
// as, passes the same interceptors: request id, API key, scope, deadline, error mapping. Calls for other services are
// forwarded over mTLS with the verified principal.
//
// What is not listed in rules is refused; each RPC stands there with the scope it needs.
package door
