// Command bench measures the whole platform from outside: it starts one of its own from the production programs, with
// fsync on everywhere, sends over gRPC and TLS, waits until every receipt has come back and every audit entry is
// written, proves that the counts agree, and prints one JSON object as its last line. Progress goes to standard error.
//
// Phases, after a warm-up:
//
//	campaign  batches of 100, as fast as they are taken         e2e_msgs_per_s, cpu_us_per_msg, rss_mib
//	singles   unary sends, 256 in flight                        single_sends_per_s, accept_p50_ms, accept_p99_ms
//	paced     500 unary sends a second                          e2e_p50_ms, e2e_p99_ms, submit_p50_ms, submit_p99_ms
//	contended OTPs, 50 a second, while a campaign drains        otp_p99_under_campaign_ms
//
// A rate counts until the last message is through: e2e until its receipt is stored and audited, singles until the
// operator has it. e2e latency is from the call to the FEED event of the delivery, as a tenant's program sees it; submit
// and OTP latency are from ACCEPTED to SUBMITTED in the message's timeline. The simulator answers receipts at once.
//
// BENCH_MESSAGES sets the size of the campaign (default 200,000; the other phases scale with it). BASE=<git ref> builds
// that ref in a worktree, interleaves three runs of each and adds the medians' ratios.
package main
