// Package client sends messages through OnlineSMS from Go: a connection that shows an API key, tries again what may be
// tried again, names every send with an idempotency key, and, where it is asked to, accepts no server but those whose
// keys are pinned.
//
//	set, err := client.FetchPinSet(ctx, http.DefaultClient, "https://sms.example.in", signingKey, time.Now)
//	pinning, err := client.NewPinning(set.SPKIs())
//	c, err := client.New(client.Config{Address: "sms.example.in:9443", Key: apiKey, Pinning: pinning})
//	resp, err := c.Messages().SendMessage(ctx, &ingestv1.SendMessageRequest{…})
//
// It depends on the contracts in proto/ and on public libraries only.
package client
