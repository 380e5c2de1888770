// Package openapi holds the OpenAPI 3.1 document of the public API, made from the protos.
package openapi

import _ "embed"

// Document is the JSON document the door serves as /openapi.json.
//
//go:embed onlinesms.json
var Document []byte
