package main

import (
	"testing"
	"time"
)

func TestPercentile(t *testing.T) {
	var all []time.Duration
	for i := range 100 {
		all = append(all, time.Duration(100-i)*time.Millisecond)
	}
	for p, want := range map[float64]float64{0.5: 50, 0.99: 99, 1: 100} {
		if got := percentile(all, p); got != want {
			t.Errorf("percentile %v is %v, want %v", p, got, want)
		}
	}
	if got := percentile(nil, 0.5); got != 0 {
		t.Errorf("percentile of nothing is %v", got)
	}
}

func TestReportAddsMediansAndRatios(t *testing.T) {
	run := func(rate, cpu float64) map[string]float64 {
		flat, err := flatten(&Figures{E2EPerSecond: rate, CPU: map[string]float64{"ingest": cpu}})
		if err != nil {
			t.Fatal(err)
		}
		return flat
	}
	got := report("main", []map[string]float64{run(300, 1), run(100, 3), run(200, 2)}, []map[string]float64{run(100, 4), run(100, 4), run(100, 4)})
	if got["e2e_msgs_per_s"] != 200.0 || got["base_ref"] != "main" {
		t.Errorf("report %v", got)
	}
	if cpu := got["cpu_us_per_msg"].(map[string]float64)["ingest"]; cpu != 2 {
		t.Errorf("cpu of ingest is %v, want the median 2", cpu)
	}
	if ratio := got["ratio"].(map[string]float64); ratio["e2e_msgs_per_s"] != 2 || ratio["cpu_us_per_msg.ingest"] != 0.5 {
		t.Errorf("ratios %v", ratio)
	}
}

func TestSizesScaleWithTheCampaign(t *testing.T) {
	if _, err := sizesOf("many"); err == nil {
		t.Error("a word is taken for a number")
	}
	got, err := sizesOf("200050")
	if err != nil || got.campaign != 200000 || got.singles != 50000 || got.paced != 10*time.Second {
		t.Errorf("sizes %+v, %v", got, err)
	}
}
