package door

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// static answers a fixed body; policy is its Content-Security-Policy, empty for none.
func static(kind, policy string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("Content-Length", itoa(int64(len(body))))
		h.Set("X-Content-Type-Options", "nosniff")
		if policy != "" {
			h.Set("Content-Security-Policy", policy)
		}
		_, _ = w.Write(body)
	}
}

// docsPolicy lets the page do nothing but show itself.
const docsPolicy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"

// docsTemplate is the page: plain HTML made once from the OpenAPI document, nothing loaded from anywhere.
var docsTemplate = template.Must(template.New("docs").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{.Title}}</title><style>
body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b}
code,pre{font:14px/1.4 ui-monospace,monospace;background:#f4f4f2;border-radius:4px}
code{padding:.1em .3em}pre{padding:.8em;overflow:auto}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.3em .6em .3em 0;border-bottom:1px solid #e4e4e0}
h2{margin-top:2.5rem}.m{display:inline-block;min-width:3.5em;font-weight:600}
</style></head><body><h1>{{.Title}}</h1><p>{{.Description}}</p>
<p>The same as a document: <a href="/openapi.json">/openapi.json</a>. Reasons of refusals: <a href="/v1/reasons">/v1/reasons</a>.</p>
<pre>curl "$ONLINESMS_API_URL/v1/messages" --cacert "$ONLINESMS_CA_FILE" \
  -H "Authorization: Bearer $ONLINESMS_TEST_KEY" -H "Content-Type: application/json" -H "Idempotency-Key: order-17" \
  -d '{"to": "+919876543210", "entityId": "1701158019811140068", "header": "ABCBNK",
       "templateId": "1107160000000000011", "text": "482913 is your OTP for ABC login. Do not share it. - ABCBNK"}'</pre>
{{range .Operations}}<h2><span class="m">{{.Method}}</span> <code>{{.Path}}</code></h2><p>{{.Summary}}</p><p>{{.Description}}</p>
{{if .Fields}}<table><tr><th>Name</th><th>In</th><th>What it is</th></tr>
{{range .Fields}}<tr><td><code>{{.Name}}</code>{{if .Required}} *{{end}}</td><td>{{.In}}</td><td>{{.Description}}</td></tr>
{{end}}</table>{{end}}{{end}}
<h2 id="reasons">Reasons</h2><p>Version {{.Reasons.Version}}. The same word stands in gRPC (<code>ErrorInfo.reason</code>), in JSON and in the audit log.</p>
<table><tr><th>Reason</th><th>Status</th><th>What mends it</th></tr>
{{range .Reasons.Reasons}}<tr><td><code>{{.Reason}}</code></td><td>{{if .Status}}{{.Status}} {{.Code}}{{else}}{{.Scope}}{{end}}</td><td>{{.Title}}. {{.Remedy}}</td></tr>
{{end}}</table></body></html>`))

// operation is what the page shows of a method.
type operation struct {
	Method, Path, Summary, Description string
	Fields                             []field
}

type field struct {
	Name, In, Description string
	Required              bool
}

// openAPI is the part of an OpenAPI 3 document that the page needs.
type openAPI struct {
	Info struct {
		Title, Description string
	}
	Paths map[string]map[string]struct {
		Summary, Description string
		Parameters           []field
		RequestBody          struct {
			Content map[string]struct {
				Schema struct {
					Properties map[string]struct{ Description string }
					Required   []string
				}
			}
		}
	}
}

// docsPage makes the page for document.
func docsPage(document []byte) (http.HandlerFunc, error) {
	var api openAPI
	if err := json.Unmarshal(document, &api); err != nil {
		return nil, fmt.Errorf("OpenAPI document: %w", err)
	}
	var all []operation
	for _, path := range slices.Sorted(maps.Keys(api.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(api.Paths[path])) {
			op := api.Paths[path][method]
			o := operation{strings.ToUpper(method), path, op.Summary, op.Description, op.Parameters}
			schema := op.RequestBody.Content["application/json"].Schema
			for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
				o.Fields = append(o.Fields, field{name, "body", schema.Properties[name].Description, slices.Contains(schema.Required, name)})
			}
			all = append(all, o)
		}
	}
	var page bytes.Buffer
	err := docsTemplate.Execute(&page, map[string]any{"Title": api.Info.Title, "Description": api.Info.Description, "Operations": all, "Reasons": served})
	if err != nil {
		return nil, fmt.Errorf("docs page: %w", err)
	}
	return static("text/html; charset=utf-8", docsPolicy, page.Bytes()), nil
}

// Undocumented tells which routes stand in document, an OpenAPI 3 document, or are offered, but not both.
func (d *Door) Undocumented(document []byte) (differing []string) {
	var api openAPI
	if err := json.Unmarshal(document, &api); err != nil {
		return []string{err.Error()}
	}
	documented := map[string]bool{}
	for path, methods := range api.Paths {
		for method := range methods {
			documented[strings.ToUpper(method)+" "+path] = true
		}
	}
	for _, r := range d.offer.routes {
		if !documented[r.String()] {
			differing = append(differing, r.String()+" is not documented")
		}
		delete(documented, r.String())
	}
	for route := range documented {
		differing = append(differing, route+" is not offered")
	}
	slices.Sort(differing)
	return differing
}
