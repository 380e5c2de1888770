package platform

import (
	"fmt"
	"io"
	"strings"

	"github.com/onlinesms/onlinesms/deploy/local/internal/rundir"
)

// writer collects text.
type writer = strings.Builder

// Describe prints the addresses of a running platform and a command that sends a message.
func Describe(dir rundir.Dir, out io.Writer) error {
	env, err := dir.ReadEnv()
	if err != nil {
		return fmt.Errorf("the platform has not said where it is yet: %w", err)
	}
	data := env["ONLINESMS_POSTGRES_DATA"]
	if data == "" {
		data = "the server of POSTGRES_URL"
	}
	_, err = fmt.Fprintf(out, `JSON API    %s  (/docs, /openapi.json)
gRPC        %s
NATS        %s
PostgreSQL  data in %s
simulator   SMPP %s, stats %s
logs        %s

All addresses, keys and files: . %s
Send a message:

  . %s
  curl --cacert "$ONLINESMS_CA_FILE" -H "Authorization: Bearer $ONLINESMS_TEST_KEY" "$ONLINESMS_API_URL/v1/messages" \
    -H 'Content-Type: application/json' -d '%s'

The live and test keys work from 127.0.0.1. One more test key has the address rule 127.0.0.2/32: from 127.0.0.1 it is
refused (ADDRESS_NOT_ALLOWED), with --interface 127.0.0.2 it is taken:

  curl --cacert "$ONLINESMS_CA_FILE" -H "Authorization: Bearer $ONLINESMS_RESTRICTED_KEY" "$ONLINESMS_API_URL/v1/messages"

WARNING: a key that is sent over plain http:// is REVOKED at once, on this machine as anywhere, and an alert is raised.
To try that out, make a key for it; "make keys" replaces demo keys that no longer work:

  curl --cacert "$ONLINESMS_CA_FILE" -H "Authorization: Bearer $ONLINESMS_TEST_KEY" "$ONLINESMS_API_URL/v1/api-keys" \
    -H 'Content-Type: application/json' -d '{"name":"to be burnt","scopes":["messages:read"]}'
`, env["ONLINESMS_API_URL"], env["ONLINESMS_GRPC_ADDR"], env["ONLINESMS_NATS_URL"], data,
		env["ONLINESMS_SMSC_ADDR"], env["ONLINESMS_SMSC_STATS_URL"], dir.Path("logs"), dir.Path("env"), dir.Path("env"), example)
	return err
}
