//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// stats is what the simulator tells of itself.
type stats struct {
	Totals struct {
		Received, Submits, Messages, Refused uint64
	}
	Distinct, Duplicates uint64
	TLV                  struct {
		AllThree  uint64 `json:"all_three"`
		Missing   uint64
		Malformed uint64
	}
}

// segment is one accepted submit_sm as the simulator keeps it.
type segment struct {
	Destination string            `json:"destination"`
	DataCoding  byte              `json:"data_coding"`
	Segment     byte              `json:"segment"`
	Segments    byte              `json:"segments"`
	Text        string            `json:"text"`
	TLVs        map[string]string `json:"tlvs"`
}

func simulator(t *testing.T, path string, into any) {
	t.Helper()
	base := strings.TrimSuffix(platform.Env("ONLINESMS_SMSC_STATS_URL"), "/stats")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatalf("simulator: %v", err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		t.Fatalf("simulator %s: %v", path, err)
	}
}

// simulatorInbound lets a handset write.
func simulatorInbound(t *testing.T, message map[string]string) {
	t.Helper()
	body, err := json.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	base := strings.TrimSuffix(platform.Env("ONLINESMS_SMSC_STATS_URL"), "/stats")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/mo", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatalf("simulator: %v", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("simulator /mo: %d", response.StatusCode)
	}
}

func simulatorStats(t *testing.T) stats {
	t.Helper()
	var now stats
	simulator(t, "/stats", &now)
	return now
}

// segmentsTo answers the accepted segments to a number, in their order.
func segmentsTo(t *testing.T, number string) []segment {
	t.Helper()
	var newestFirst []segment
	simulator(t, "/messages?limit=50&to="+strings.TrimPrefix(number, "+"), &newestFirst)
	ordered := make([]segment, len(newestFirst))
	for _, s := range newestFirst {
		if int(s.Segment) < 1 || int(s.Segment) > len(ordered) {
			t.Fatalf("segment %d of %d among %d", s.Segment, s.Segments, len(ordered))
		}
		ordered[s.Segment-1] = s
	}
	return ordered
}
