package door

import (
	"encoding/json"
	"net/http"
)

// Reason is one entry of the catalogue at /v1/reasons.
type Reason struct {
	Reason string `json:"reason"`
	Status int    `json:"status,omitempty"` // of HTTP, where a call is refused for it; none for reasons of messages
	Remedy string `json:"remedy"`
}

// catalogue lists the reasons a call can be refused for. Reasons of messages (dlt.md section 9) explain themselves in
// their detail.
var catalogue = []Reason{
	{"CANCELLED", 499, "The caller ended the call."},
	{"CONTENT_TYPE", 415, "Send the body as application/json."},
	{"DEADLINE_EXCEEDED", 504, "Repeat the call with the same idempotency key and a longer deadline."},
	{"IDEMPOTENCY_IN_PROGRESS", 503, "A call with this key is still under way; repeat it later."},
	{"IDEMPOTENCY_KEY_REUSED", 409, "The key came with another request within 24 hours; use a new one."},
	{"INTERNAL", 500, "The fault is ours; repeat the call, and name its request id when it persists."},
	{"KEY_EXPIRED", 401, "API keys last 90 days; make a new one."},
	{"KEY_INVALID", 401, "Send the whole key as `Authorization: Bearer osms_…`."},
	{"KEY_MISSING", 401, "Send an API key as `Authorization: Bearer osms_…`."},
	{"KEY_REVOKED", 401, "The key was withdrawn; use another."},
	{"MESSAGE_NOT_FOUND", 404, "Check the id, and that the key is of the environment the message was sent in."},
	{"METHOD_NOT_ALLOWED", 405, "Use a method named in the Allow header."},
	{"METHOD_NOT_OFFERED", 403, "This method is not part of the public API."},
	{"OVERLOADED", 503, "Nothing was accepted; repeat the call after the time in Retry-After."},
	{"REQUEST_INVALID", 400, "Mend the fields in violations; nothing was accepted."},
	{"REQUEST_TOO_LARGE", 413, "Send at most 1 MiB in a call, 4 MiB in a batch."},
	{"ROUTE_NOT_FOUND", 404, "See /openapi.json for the paths there are."},
	{"SCOPE_MISSING", 403, "Use a key that has the scope named in the metadata."},
	{"SERVICE_UNAVAILABLE", 503, "Repeat the call after the time in Retry-After, with the same idempotency key."},
}

// reasonsPage answers /v1/reasons.
var reasonsPage = func() http.HandlerFunc {
	body, err := json.Marshal(map[string]any{"version": "v1", "reasons": catalogue})
	if err != nil {
		panic(err) // a table of strings
	}
	return static("application/json", "", body)
}()
