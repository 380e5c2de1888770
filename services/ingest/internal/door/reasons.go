package door

import (
	_ "embed"
	"encoding/json"
	"net/http"

	"go.yaml.in/yaml/v3"
)

// reasonsFile is the catalogue as it is written by hand.
//
//go:embed reasons.yaml
var reasonsFile []byte

// Reason is one entry of the catalogue at /v1/reasons.
type Reason struct {
	Reason string `json:"reason" yaml:"reason"`
	Scope  string `json:"scope" yaml:"scope"`                       // call, field, message; inner ones are not served
	Status int    `json:"status,omitempty" yaml:"status,omitempty"` // of HTTP, where a call is refused for it
	Code   string `json:"code,omitempty" yaml:"code,omitempty"`     // of gRPC, likewise
	Title  string `json:"title" yaml:"title"`
	Remedy string `json:"remedy" yaml:"remedy"`
	Since  int    `json:"since" yaml:"since"` // version of the catalogue

	// Of reasons of messages, in the words that the file explains.
	Severity string `json:"severity,omitempty" yaml:"severity,omitempty"`
	Owner    string `json:"owner,omitempty" yaml:"owner,omitempty"`
	Retry    string `json:"retry,omitempty" yaml:"retry,omitempty"`
}

// reasons is the catalogue with its version.
type reasons struct {
	Version int      `json:"version" yaml:"version"`
	Reasons []Reason `json:"reasons" yaml:"reasons"`
}

// catalogue is all of the file; served is what callers can meet.
var catalogue, served = func() (all, outside reasons) {
	if err := yaml.Unmarshal(reasonsFile, &all); err != nil {
		panic(err) // part of the binary
	}
	outside.Version = all.Version
	for _, r := range all.Reasons {
		if r.Scope != "inner" {
			outside.Reasons = append(outside.Reasons, r)
		}
	}
	return all, outside
}()

// titles are those of problems, by reason.
var titles = func() map[string]string {
	m := make(map[string]string, len(served.Reasons))
	for _, r := range served.Reasons {
		m[r.Reason] = r.Title
	}
	return m
}()

// reasonsPage answers /v1/reasons.
var reasonsPage = func() http.HandlerFunc {
	body, err := json.Marshal(served)
	if err != nil {
		panic(err) // a table of strings
	}
	return static("application/json", "", body)
}()
