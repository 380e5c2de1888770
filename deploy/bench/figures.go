package main

import (
	"math"
	"slices"
	"time"
)

// Figures is the result of one run. Rates are messages per second, times milliseconds.
type Figures struct {
	E2EPerSecond     float64 `json:"e2e_msgs_per_s"`
	SinglesPerSecond float64 `json:"single_sends_per_s"`
	AcceptP50        float64 `json:"accept_p50_ms"`
	AcceptP99        float64 `json:"accept_p99_ms"`
	E2EP50           float64 `json:"e2e_p50_ms"`
	E2EP99           float64 `json:"e2e_p99_ms"`
	SubmitP50        float64 `json:"submit_p50_ms"`
	SubmitP99        float64 `json:"submit_p99_ms"`
	OTPP99           float64 `json:"otp_p99_under_campaign_ms"`
	// CPU is microseconds of processor time per message of the campaign, by process; bench is this program.
	CPU map[string]float64 `json:"cpu_us_per_msg"`
	// RSS is the highest resident memory seen during the campaign, by process.
	RSS        map[string]float64 `json:"rss_mib"`
	Lost       int                `json:"lost"`
	Duplicates int                `json:"duplicates"`
	Messages   int                `json:"messages"`
}

// rounded keeps what is significant.
func rounded(v float64) float64 { return math.Round(v*100) / 100 }

// percentile of latencies in milliseconds; 0 without any.
func percentile(all []time.Duration, p float64) float64 {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	at := min(len(all)-1, int(math.Ceil(p*float64(len(all))))-1)
	return rounded(float64(all[max(0, at)].Microseconds()) / 1000)
}
