// Command openapi finishes the merged OpenAPI document read from standard input: title, bearer security, and the one
// problem body (RFC 9457) that every refusal has.
package main

import (
	"encoding/json"
	"log"
	"os"
)

type object = map[string]any

func main() {
	var doc object
	if err := json.NewDecoder(os.Stdin).Decode(&doc); err != nil {
		log.Fatalf("openapi: read the merged document: %v", err)
	}
	finish(doc)
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	if err := out.Encode(doc); err != nil {
		log.Fatalf("openapi: write: %v", err)
	}
}

// finish adds what the generator cannot know.
func finish(doc object) {
	doc["info"] = object{
		"title":       "OnlineSMS API",
		"version":     "v1",
		"description": "Lawful A2P SMS in India. Every request carries `Authorization: Bearer osms_<live|test>_…`; the key decides tenant and environment.",
	}
	doc["security"] = []any{object{"bearer": []any{}}}
	components := doc["components"].(object)
	components["securitySchemes"] = object{"bearer": object{"type": "http", "scheme": "bearer"}}
	schemas := components["schemas"].(object)
	schemas["Problem"] = problemSchema()
	refusal := object{
		"description": "Refused; `reason` is the canonical code, the same as in gRPC's ErrorInfo.",
		"content":     object{"application/problem+json": object{"schema": object{"$ref": "#/components/schemas/Problem"}}},
	}
	for _, path := range doc["paths"].(object) {
		for _, operation := range path.(object) {
			if op, ok := operation.(object); ok {
				op["responses"].(object)["default"] = refusal
			}
		}
	}
}

func problemSchema() object {
	text := object{"type": "string"}
	violation := object{"type": "object", "properties": object{"field": text, "reason": text, "detail": text}}
	return object{"type": "object", "properties": object{
		"type": text, "title": text, "status": object{"type": "integer"}, "detail": text, "reason": text,
		"requestId":  text,
		"metadata":   object{"type": "object", "additionalProperties": text},
		"violations": object{"type": "array", "items": violation},
	}}
}
