package door

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// Every class of refusal has HSTS, a request id and one problem body, over HTTP/1.1 and HTTP/2.
func TestRefusals(t *testing.T) {
	w := newWorld(t)
	big := `{"text": "` + strings.Repeat("x", maxBodyBytes) + `"}`
	for name, c := range map[string]struct {
		method, path, body, key string
		headers                 []string
		status                  int
		reason, field           string
	}{
		"no key":             {"POST", "/v1/messages", body, "", nil, 401, "KEY_MISSING", ""},
		"wrong key":          {"POST", "/v1/messages", body, "wrong", nil, 401, "KEY_INVALID", ""},
		"key before body":    {"POST", "/v1/messages", "{", "wrong", nil, 401, "KEY_INVALID", ""},
		"no scope":           {"POST", "/v1/messages", body, "none", nil, 403, "SCOPE_MISSING", ""},
		"no such path":       {"GET", "/v1/nothing", "", "all", nil, 404, "ROUTE_NOT_FOUND", ""},
		"root":               {"GET", "/", "", "", nil, 404, "ROUTE_NOT_FOUND", ""},
		"wrong method":       {"DELETE", "/v1/messages", "", "all", nil, 405, "METHOD_NOT_ALLOWED", ""},
		"wrong page method":  {"POST", "/openapi.json", body, "", nil, 405, "METHOD_NOT_ALLOWED", ""},
		"method override":    {"POST", "/v1/messages/x", body, "all", []string{"X-HTTP-Method-Override", "GET"}, 405, "METHOD_NOT_ALLOWED", ""},
		"inner method":       {"POST", "/onlinesms.compliance.v1.ComplianceService/GetTemplateCategory", body, "all", nil, 404, "ROUTE_NOT_FOUND", ""},
		"conflict":           {"POST", "/v1/messages", with("EXISTS"), "all", nil, 409, "IDEMPOTENCY_KEY_REUSED", ""},
		"too large":          {"POST", "/v1/messages", big, "all", nil, 413, "REQUEST_TOO_LARGE", ""},
		"text":               {"POST", "/v1/messages", body, "all", []string{"Content-Type", "text/plain"}, 415, "CONTENT_TYPE", ""},
		"multipart":          {"POST", "/v1/messages", body, "all", []string{"Content-Type", "multipart/form-data; boundary=x"}, 415, "CONTENT_TYPE", ""},
		"malformed type":     {"POST", "/v1/messages", body, "all", []string{"Content-Type", "json;="}, 415, "CONTENT_TYPE", ""},
		"form fields":        {"POST", "/v1/messages", "to=919876543210", "all", []string{"Content-Type", "application/x-www-form-urlencoded"}, 400, "REQUEST_INVALID", ""},
		"empty id":           {"GET", "/v1/messages/", "", "all", nil, 404, "ROUTE_NOT_FOUND", ""},
		"empty id inside":    {"GET", "/v1/messages//decision", "", "all", nil, 404, "ROUTE_NOT_FOUND", ""},
		"trailing slash":     {"GET", "/v1/audit/events/", "", "wrong", nil, 404, "ROUTE_NOT_FOUND", ""},
		"trailing slash 2":   {"POST", "/v1/messages/", body, "all", nil, 404, "ROUTE_NOT_FOUND", ""},
		"wrong key, some id": {"GET", "/v1/messages/x", "", "wrong", nil, 401, "KEY_INVALID", ""},
		"large header":       {"GET", "/v1/messages", "", "all", []string{"X-Filler", strings.Repeat("x", 20<<10)}, 431, "REQUEST_TOO_LARGE", ""},
		"panic":              {"POST", "/v1/messages", with("PANIC"), "all", nil, 500, "INTERNAL", ""},
		"internal":           {"POST", "/v1/messages", with("INTERNAL"), "all", nil, 500, "INTERNAL", ""},
		"away":               {"POST", "/v1/messages", with("AWAY"), "all", nil, 503, "SERVICE_UNAVAILABLE", ""},
		"overloaded":         {"POST", "/v1/messages", with("OVERLOADED"), "all", nil, 503, "OVERLOADED", ""},
		"violation":          {"POST", "/v1/messages", with("FIELDS"), "all", nil, 400, "REQUEST_INVALID", "messages[3].entityId"},
		"unknown field":      {"POST", "/v1/messages", strings.Replace(body, "entityId", "entityIdx", 1), "all", nil, 400, "REQUEST_INVALID", "entityIdx"},
		"number for an id":   {"POST", "/v1/messages", strings.Replace(body, `"1701158019811140068"`, "1701158019811140068", 1), "all", nil, 400, "REQUEST_INVALID", "entityId"},
		"number for a phone": {"POST", "/v1/messages", strings.Replace(body, `"+919876543210"`, "919876543210", 1), "all", nil, 400, "REQUEST_INVALID", "to"},
		"given twice":        {"POST", "/v1/messages", strings.Replace(body, `"text": "x"`, `"text": "x", "text": "y"`, 1), "all", nil, 400, "REQUEST_INVALID", "text"},
		"not JSON":           {"POST", "/v1/messages", "{", "all", nil, 400, "REQUEST_INVALID", ""},
		"two documents":      {"POST", "/v1/messages", body + body, "all", nil, 400, "REQUEST_INVALID", ""},
		"unknown parameter":  {"GET", "/v1/messages?stat=DELIVERED", "", "all", nil, 400, "REQUEST_INVALID", "stat"},
		"not implemented":    {"GET", "/v1/messages", "", "all", nil, 501, "METHOD_NOT_OFFERED", ""},
		"not connected":      {"GET", "/v1/audit/events", "", "all", nil, 503, "SERVICE_UNAVAILABLE", ""},
		"forwarded refusal":  {"GET", "/v1/messages/unknown/decision", "", "all", nil, 404, "MESSAGE_NOT_FOUND", ""},
	} {
		for _, h2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/h2=%v", name, h2), func(t *testing.T) {
				headers := c.headers
				if c.key != "" {
					headers = append(headers, "Authorization", "Bearer "+c.key)
				}
				resp, content := w.do(t, h2, c.method, c.path, c.body, headers...)
				var p problem
				if err := json.Unmarshal(content, &p); err != nil || resp.Header.Get("Content-Type") != "application/problem+json" {
					t.Fatalf("%d %s", resp.StatusCode, content)
				}
				if resp.StatusCode != c.status || p.Status != c.status || p.Reason != c.reason || p.RequestID == "" || p.RequestID != resp.Header.Get("X-Request-Id") {
					t.Errorf("%d %s", resp.StatusCode, content)
				}
				if c.field != "" && (len(p.Violations) != 1 || p.Violations[0].Field != c.field) {
					t.Errorf("violations %v, want %s", p.Violations, c.field)
				}
				if h := resp.Header; (c.status == 401) != (h.Get("WWW-Authenticate") != "") || (c.status == 405) != (h.Get("Allow") != "") || (c.status == 503) != (h.Get("Retry-After") != "") {
					t.Errorf("headers %v", h)
				}
				if strings.Contains(string(content), "secret") || strings.Contains(string(content), "9876543210") || strings.Contains(string(content), "1701158019811140068") {
					t.Errorf("the answer repeats a value: %s", content)
				}
			})
		}
	}
	w.stop()
	if strings.Contains(w.logs.String(), "9876543210") {
		t.Error("the log holds the number")
	}
	for _, want := range []string{"call panicked", "secret cause", "SCOPE_MISSING", "request_id"} {
		if !strings.Contains(w.logs.String(), want) {
			t.Errorf("the log does not hold %s", want)
		}
	}
}
