//go:build e2e

package e2e

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
)

// ports answers every port of the platform by name, as `make up` has chosen them.
func ports(t *testing.T) map[string]int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(platform.Dir(), "ports.json"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]int{}
	if err := json.Unmarshal(data, &all); err != nil || len(all) == 0 {
		t.Fatalf("%d ports: %v", len(all), err)
	}
	return all
}

// plainPort tells which ports speak without TLS: those for the machine or the pod only, and the operator's.
func plainPort(name string) bool {
	return strings.Contains(name, "-admin") || strings.HasPrefix(name, "smsc")
}

// Item 8, on loopback: every port but those declared in plainPort speaks TLS of version 1.3 (the public ones 1.2 too) and
// answers nothing of ours to a client that does not; and everything is bound to loopback.
func TestItem8PortsSpeakTLSOnly(t *testing.T) {
	listening := listeners(t)
	for name, port := range ports(t) {
		addresses := listening[port]
		t.Run(name, func(t *testing.T) {
			if len(addresses) != 1 || addresses[0] != "0100007F" {
				t.Errorf("port %d is bound to %v, want 127.0.0.1 alone", port, addresses)
			}
			if plainPort(name) {
				return
			}
			public := strings.HasPrefix(name, "https") || strings.HasPrefix(name, "grpc")
			for version, ok := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: public, tls.VersionTLS13: true} {
				if err := handshake(t, name, port, version); (err == nil) != ok {
					t.Errorf("%s: %v", tls.VersionName(version), err)
				}
			}
			for _, words := range []string{"GET /jsz HTTP/1.1\r\nHost: x\r\n\r\n", "CONNECT {}\r\nPING\r\n", startupInClear} {
				if answer := inPlain(t, port, words); leaks.MatchString(answer) {
					t.Errorf("to %q in clear: %q", words, answer)
				}
			}
		})
	}
}

// leaks matches an answer that goes on without TLS: a page, NATS taking a client, PostgreSQL asking for a password.
var leaks = regexp.MustCompile(`HTTP/1\.[01] [23]|sync_always|PONG|\+OK|^R\x00\x00\x00|SCRAM`)

// startupInClear is PostgreSQL's StartupMessage, version 3.0, of user postgres.
const startupInClear = "\x00\x00\x00\x17\x00\x03\x00\x00user\x00postgres\x00\x00"

func inPlain(t *testing.T, port int, words string) string {
	t.Helper()
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second)) // a server may wait for more: what it says until then counts
	if _, err := io.WriteString(conn, words); err != nil {
		return ""
	}
	answer, _ := io.ReadAll(io.LimitReader(conn, 1<<16))
	return string(answer)
}

func handshake(t *testing.T, name string, port int, version uint16) error {
	t.Helper()
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if name == "postgres" { // asks for TLS first: SSLRequest, answered by one byte
		answer := make([]byte, 1)
		if _, err := io.WriteString(conn, "\x00\x00\x00\x08\x04\xd2\x16\x2f"); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, answer); err != nil || answer[0] != 'S' {
			return fmt.Errorf("SSLRequest is answered %q: %w", answer, err)
		}
	}
	client := tls.Client(conn, &tls.Config{RootCAs: trust(t), ServerName: "localhost", MinVersion: version, MaxVersion: version,
		NextProtos: []string{"h2", "http/1.1"}})
	return client.HandshakeContext(t.Context())
}

// listeners answers the addresses, in hexadecimal as the kernel shows them, that each port listens on.
func listeners(t *testing.T) map[int][]string {
	t.Helper()
	found := map[int][]string{}
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		data, err := os.ReadFile(file)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for _, line := range strings.Split(string(data), "\n") {
			fields := strings.Fields(line)
			if len(fields) < 4 || fields[3] != "0A" { // LISTEN
				continue
			}
			address, hex, _ := strings.Cut(fields[1], ":")
			var port int
			if _, err := fmt.Sscanf(hex, "%X", &port); err == nil {
				found[port] = append(found[port], address)
			}
		}
	}
	return found
}

// Item 8: what stands between the processes is TLS, seen from the servers.
func TestItem8ConnectionsAreTLS(t *testing.T) {
	conn, err := pgx.Connect(t.Context(), platform.Env("ONLINESMS_POSTGRES_URL"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var encrypted, plain int
	err = conn.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE ssl AND version = 'TLSv1.3'), count(*) FILTER (WHERE NOT ssl)
		FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE backend_type = 'client backend'`).Scan(&encrypted, &plain)
	if err != nil || encrypted < 8 || plain > 0 {
		t.Errorf("PostgreSQL: %d connections by TLS, %d in clear: %v", encrypted, plain, err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust(t)}}, Timeout: patience}
	response, err := client.Get(fmt.Sprintf("https://127.0.0.1:%d/connz", ports(t)["nats-monitor"]))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var connz struct {
		Connections []struct {
			Name string
			TLS  string `json:"tls_version"`
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&connz); err != nil || len(connz.Connections) < 8 {
		t.Fatalf("NATS: %d connections: %v", len(connz.Connections), err)
	}
	for _, c := range connz.Connections {
		if c.TLS != "1.3" {
			t.Errorf("NATS: connection %q by TLS %q", c.Name, c.TLS)
		}
	}
}

// Item 26 on the real configuration: what no credential may do, tried with each. The whole matrix, with what is allowed,
// is the test of services/internal/eventbus/grants.
func TestItem26NoCredentialReachesFurther(t *testing.T) {
	config, err := os.ReadFile(filepath.Join(platform.Dir(), "nats.conf"))
	if err != nil || strings.Contains(string(config), "no_auth_user") {
		t.Errorf("nats.conf names a user for those without a credential: %v", err)
	}
	address, roots := platform.Env("ONLINESMS_NATS_URL"), nats.RootCAs(platform.Env("ONLINESMS_CA_FILE"))
	if conn, err := nats.Connect(address, roots); err == nil {
		conn.Close()
		t.Error("connected without a credential")
	}
	services := []string{"ingest", "compliance", "dispatch", "audit"}
	for _, user := range append(services, "feed") {
		t.Run(user, func(t *testing.T) {
			refused := make(chan error, 2000)
			conn, err := nats.Connect(address, roots, nats.UserCredentials(filepath.Join(platform.Dir(), "keys", user+".creds")),
				nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			tries := forbidden(services, user)
			for _, subject := range tries {
				if err := conn.Publish(subject, []byte("not a request")); err != nil {
					t.Fatal(err)
				}
			}
			for _, subject := range []string{">", "onlinesms.>", "$JS.>", "$SYS.>", "_INBOX.>", "_INBOX_stranger.>"} {
				if _, err := conn.SubscribeSync(subject); err != nil {
					t.Fatal(err)
				}
				tries = append(tries, subject)
			}
			if err := conn.FlushTimeout(patience); err != nil {
				t.Fatal(err)
			}
			denied := map[string]bool{}
			defer func() {
				for _, subject := range tries {
					if t.Failed() && !denied[subject] {
						t.Errorf("not refused: %s", subject)
					}
				}
			}()
			eventually(t, patience, "every try is refused", func() bool {
				for len(refused) > 0 {
					if found := quotedSubject.FindStringSubmatch((<-refused).Error()); found != nil {
						denied[found[1]] = true
					}
				}
				return len(denied) >= len(tries)
			})
		})
	}
}

var quotedSubject = regexp.MustCompile(`"([^"]+)"`)

// hears are streams of others that every replica of a service reads whole, by a consumer of its own: wishes of people, for
// dispatch.
var hears = map[string]string{"dispatch": "COMPLIANCE_CONTROL"}

// forbidden lists subjects a user may not publish on: taking from, or writing into, what is not its own, and deleting,
// restoring or reading anything by the side.
func forbidden(services []string, user string) (subjects []string) {
	api := func(verbs []string, tail string) {
		for _, verb := range verbs {
			subjects = append(subjects, "$JS.API."+verb+"."+tail)
		}
	}
	owners := map[string]string{"FEED": "dispatch"}
	for _, owner := range services {
		for _, lane := range []string{"otp", "interactive", "bulk", "control"} {
			owners[strings.ToUpper(owner+"_"+lane)] = owner
			if owner != user {
				subjects = append(subjects, "onlinesms."+owner+".v1.Happened.live."+lane)
			}
		}
		if owner != user {
			subjects = append(subjects, "_INBOX_"+owner+".forged")
		}
	}
	for stream, owner := range owners {
		api([]string{"STREAM.DELETE", "STREAM.RESTORE", "STREAM.SNAPSHOT", "STREAM.MSG.GET", "STREAM.MSG.DELETE", "DIRECT.GET",
			"STREAM.LEADER.STEPDOWN", "CONSUMER.LIST"}, stream)
		api([]string{"CONSUMER.DELETE", "CONSUMER.DURABLE.CREATE", "CONSUMER.PAUSE"}, stream+".stranger")
		if owner != user {
			api([]string{"STREAM.CREATE", "STREAM.UPDATE", "STREAM.PURGE"}, stream)
			if stream != hears[user] {
				api([]string{"CONSUMER.CREATE", "CONSUMER.MSG.NEXT"}, stream+".stranger")
			}
		}
	}
	return subjects
}
