//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
)

// TestSecretsAreRotatedWhileServicesRun rotates the key-encryption key with the programs an operator has, sending at each
// step: compliance and dispatch open what ingest seals under the keys of before, between and after.
func TestSecretsAreRotatedWhileServicesRun(t *testing.T) {
	client := messages(t, demoTenant)
	var ids []string
	send := func() {
		t.Helper()
		request := &ingestv1.BatchSendMessagesRequest{}
		for i := range 50 {
			request.Messages = append(request.Messages, &ingestv1.OutgoingMessage{
				To: "+919876500000", EntityId: demoEntity, Header: demoHeader, TemplateId: anyTemplate,
				Text: "rotation " + strconv.Itoa(i) + " - ABCBNK",
			})
		}
		sent, err := client.BatchSendMessages(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range sent.GetMessages() {
			ids = append(ids, one.GetMessageId())
		}
	}
	send()
	for _, args := range [][]string{{"rotate-secret", "-name", "kek"}, {"rewrap-keyring"}, {"retire-secret", "-name", "kek"}} {
		cmd := exec.CommandContext(t.Context(), filepath.Join(platform.Dir(), "bin", "ingest"), args...)
		cmd.Env = append(os.Environ(), "KEK_FILE="+keyFile("kek"), "KEYRING_FILE="+keyFile("keyring.json"), "PEPPER_FILE="+keyFile("pepper"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
		send()
	}
	for _, id := range ids {
		awaitState(t, client, id, typev1.MessageState_DELIVERED)
	}
	kek, err := os.ReadFile(keyFile("kek"))
	if err != nil || !bytes.HasPrefix(kek, []byte("2 ")) {
		t.Errorf("the old key-encryption key is left: %v", err)
	}
}

func keyFile(name string) string { return filepath.Join(platform.Dir(), "keys", name) }

// TestSecretsAreShownNowhere looks for every secret of the platform in the arguments of every process and in every log,
// and for the settings as each service prints them at its start.
func TestSecretsAreShownNowhere(t *testing.T) {
	words := secretWords(t)
	processes, err := platform.Processes()
	if err != nil || len(processes) < 5 {
		t.Fatal(processes, err)
	}
	for _, process := range processes {
		args, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(platform.Pid(process)), "cmdline"))
		if err != nil || len(args) == 0 {
			t.Errorf("%s: %v", process, err)
		}
		noWord(t, "the arguments of "+process, args, words)
	}
	logs := 0
	err = filepath.WalkDir(filepath.Join(platform.Dir(), "logs"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		noWord(t, path, text, words)
		logs++
		return err
	})
	if err != nil || logs < 5 {
		t.Errorf("%d logs, %v", logs, err)
	}
	for _, service := range []string{"ingest", "compliance", "dispatch", "audit"} {
		startUpPrint(t, service)
	}
}

// secretWords are the secrets in the platform's key files, the passwords of its databases and the API keys.
func secretWords(t *testing.T) map[string]bool {
	t.Helper()
	words := map[string]bool{}
	word := regexp.MustCompile(`[A-Za-z0-9+/=_.-]{24,}`)
	id := regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`) // tenants', which are no secret
	entries, err := os.ReadDir(keyFile(""))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		text, err := os.ReadFile(keyFile(entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range word.FindAllString(string(text), -1) {
			if !id.MatchString(found) {
				words[found] = true
			}
		}
	}
	var passwords map[string]string
	text, err := os.ReadFile(keyFile("postgres.json"))
	if err == nil {
		err = json.Unmarshal(text, &passwords)
	}
	if err != nil || len(passwords) < 12 {
		t.Fatalf("%d passwords, %v", len(passwords), err)
	}
	for _, password := range passwords {
		words[password] = true
	}
	for _, key := range []string{"ONLINESMS_LIVE_KEY", "ONLINESMS_TEST_KEY"} {
		words[platform.Env(key)] = true
	}
	if len(words) < 20 {
		t.Errorf("only %d secrets to look for", len(words))
	}
	return words
}

func noWord(t *testing.T, where string, text []byte, words map[string]bool) {
	t.Helper()
	for word := range words {
		if bytes.Contains(text, []byte(word)) {
			t.Errorf("%s hold a secret that begins with %q", where, word[:4])
		}
	}
}

func startUpPrint(t *testing.T, service string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(platform.Dir(), "logs", service+".log"))
	if err != nil {
		t.Fatal(err)
	}
	wanted := []string{"POSTGRES_URL=set", "POSTGRES_TENANT_URL=set", "NATS_CREDS=set"}
	if service != "audit" {
		wanted = append(wanted, "KEK=set", "KEYRING=set")
	}
	if service == "ingest" {
		wanted = append(wanted, "PEPPER=set", "PINS_KEY=set")
	}
	for _, setting := range wanted {
		if !strings.Contains(string(text), `"`+setting+`"`) {
			t.Errorf("%s does not print %s at its start", service, setting)
		}
	}
}
