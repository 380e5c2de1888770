package platform

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/onlinesms/onlinesms/deploy/local/internal/rundir"
)

// example is the message that is sent through, also in the curl line: template 1107160000000000011 of the demo registry.
const example = `{"to":"+919876543210","entityId":"1701158019811140068","header":"ABCBNK",` +
	`"templateId":"1107160000000000011","text":"482913 is your OTP for ABC login. Do not share it. - ABCBNK"}`

// deliveredWithin bounds the way of the first message; it takes some ten milliseconds when all is well.
const deliveredWithin = 30 * time.Second

// message is what we read of the API's answers.
type message struct {
	MessageID string `json:"messageId"`
	State     string `json:"state"`
	Timeline  []struct {
		Event string    `json:"event"`
		Time  time.Time `json:"time"`
	} `json:"timeline"`
	Reasons []struct {
		Code string `json:"code"`
	} `json:"reasons"`
}

// firstMessage sends one message with the test key, waits for its receipt and prints its timeline.
func (p *Platform) firstMessage(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, deliveredWithin)
	defer cancel()
	api, err := newAPI(p.dir)
	if err != nil {
		return err
	}
	var sent message
	if err := api.call(ctx, http.MethodPost, "/v1/messages", example, &sent); err != nil {
		return &Failure{Process: "ingest", Err: err, Remedy: "the log of ingest says why"}
	}
	last, err := api.await(ctx, sent.MessageID)
	if err != nil {
		return err
	}
	p.report.Say("\nmessage %s", last.MessageID)
	began := last.Timeline[0].Time
	for _, entry := range last.Timeline {
		p.report.Say("  %-10s %s  +%d ms", entry.Event, entry.Time.Local().Format("15:04:05.000"), entry.Time.Sub(began).Milliseconds())
	}
	p.report.Say("")
	return nil
}

// api is the public API with the demo tenant's test key.
type api struct {
	base, key string
	client    *http.Client
}

func newAPI(dir rundir.Dir) (*api, error) {
	env, err := dir.ReadEnv()
	if err != nil {
		return nil, err
	}
	client, err := trusting(env["ONLINESMS_CA_FILE"])
	if err != nil {
		return nil, err
	}
	return &api{base: env["ONLINESMS_API_URL"], key: env["ONLINESMS_TEST_KEY"], client: client}, nil
}

// trusting makes an HTTPS client that believes the authority of a file, and no other.
func trusting(caFile string) (*http.Client, error) {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("the CA file holds no certificate")
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}, nil
}

func (a *api) call(ctx context.Context, method, path, body string, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, a.base+path, bytes.NewBufferString(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+a.key)
	request.Header.Set("Content-Type", "application/json")
	response, err := a.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s answers %s: %s", method, path, response.Status, answer)
	}
	return json.Unmarshal(answer, into)
}

// await polls until the message is delivered; any other final state is an error.
func (a *api) await(ctx context.Context, id string) (message, error) {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		var now message
		if err := a.call(ctx, http.MethodGet, "/v1/messages/"+id, "", &now); err != nil {
			return now, err
		}
		switch now.State {
		case "DELIVERED":
			return now, nil
		case "REFUSED", "UNDELIVERED", "EXPIRED", "CANCELLED":
			return now, fmt.Errorf("message %s is %s %v", id, now.State, now.Reasons)
		}
		select {
		case <-ctx.Done():
			return now, &Failure{Process: "dispatch", Remedy: "logs/compliance.log and logs/dispatch.log say where it stands",
				Err: fmt.Errorf("message %s is still %s after %v", id, now.State, deliveredWithin)}
		case <-ticker.C:
		}
	}
}
