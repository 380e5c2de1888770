package app

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onlinesms/onlinesms/services/internal/service"
)

const demoFile = "../../../../deploy/local/demo.yaml"

// scrubbed runs the command over a file of messages.
func scrubbed(t *testing.T, name, content string, args ...string) (out, told string, err error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(file, []byte(content), 0o600))
	var help, o, e bytes.Buffer
	run, err := parseScrub(append(append([]string{"-registry", demoFile, "-now", "2026-02-01T12:00:00+05:30"}, args...), file), &help)
	if err != nil {
		return "", help.String(), err
	}
	err = run.do(t.Context(), strings.NewReader(""), &o, &e)
	return o.String(), e.String(), err
}

// TestScrubExitCodes: 0, 1 and 2 are no error, an error, and one of usage.
func TestScrubExitCodes(t *testing.T) {
	defaults := []string{"-entity", entity, "-header", "ABCBNK", "-template", otp}
	clear := "to,text\n9876543210,\"" + otpText + "\"\n"
	out, told, err := scrubbed(t, "m.csv", clear, defaults...)
	if err != nil || !strings.Contains(out, `"outcome":"CLEARED"`) || !strings.Contains(told, "1 cleared, 0 held, 0 refused, 0 invalid; 1 segments") {
		t.Errorf("all clear: %v\n%s%s", err, out, told)
	}
	out, told, err = scrubbed(t, "m.ndjson", `{"to":"9876543210","text":"x"}`, append(defaults, "-out-format", "csv")...)
	if err == nil || errors.Is(err, service.ErrUsage) || !strings.Contains(out, "REFUSED,TEMPLATE_NOT_MATCHED") || !strings.Contains(told, "1  TEMPLATE_NOT_MATCHED") {
		t.Errorf("refused: %v\n%s%s", err, out, told)
	}
	out, told, err = scrubbed(t, "m.csv", clear+"1,2,3\n", defaults...)
	if !errors.Is(err, service.ErrUsage) || !strings.Contains(told, "line 3: ") || strings.Count(out, "\n") != 2 {
		t.Errorf("bad line: %v\n%s%s", err, out, told)
	}
	for name, args := range map[string][]string{
		"pack": {"-pack", "1999-01-01"}, "time": {"-now", "noon"}, "env": {"-env", "prod"}, "format": {"-format", "xml"}, "operator": {"-operators", "NOKIA"},
		"column": {"-col", "to"}, "no column": {"-col", "text=Body"}, "unknown flag": {"-x"}, "telemarketer": {"-telemarketer", "7"},
		"registry": {"-registry", "/nowhere"},
	} {
		if _, _, err := scrubbed(t, "m.csv", clear, args...); !errors.Is(err, service.ErrUsage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := scrubbed(t, "m.csv", "to,text\n"); !errors.Is(err, service.ErrUsage) {
		t.Errorf("no messages: %v", err)
	}
	if _, help, err := scrubbed(t, "m.csv", "", "--help"); !errors.Is(err, flag.ErrHelp) || !strings.Contains(help, "Exit code: 0") {
		t.Errorf("help: %v\n%s", err, help)
	}
}

// TestScrubTakesPacksAndEnvironments: another pack decides otherwise; an override counts in test.
func TestScrubTakesPacksAndEnvironments(t *testing.T) {
	line := `{"to":"9876543210","entityId":"` + entity + `","header":"ABCBNK","templateId":"1107160000000000055","text":"Anything - ABCBNK"}`
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"the pack in force refuses untyped variables": {nil, `"code":"TEMPLATE_INACTIVE"`},
		"the one before did not":                      {[]string{"-pack", "2025-05-06"}, `"outcome":"CLEARED"`},
		"in test the override counts":                 {[]string{"-env", "test"}, `"outcome":"CLEARED"`},
	} {
		if out, told, _ := scrubbed(t, "m.ndjson", line, c.args...); !strings.Contains(out, c.want) {
			t.Errorf("%s: %s%s", name, out, told)
		}
	}
}

// TestScrubDecidesAsTheService: the export of the running registry, the same messages, the same outcomes and reasons.
func TestScrubDecidesAsTheService(t *testing.T) {
	w := newWorld(t, today(12))
	w.start()
	var exported strings.Builder
	must(t, export(t.Context(), importConfig{Postgres: w.cfg.Postgres}, w.demo.Tenant, "ndjson", &exported))
	file := filepath.Join(t.TempDir(), "export.ndjson")
	must(t, os.WriteFile(file, []byte(exported.String()), 0o600))
	texts := []string{otpText, "482913 is your otp for ABC login. Do not share it. - ABCBNK", "nothing of the kind"}
	for _, text := range texts {
		parcel, _ := w.accept("live", "otp", w.text(otp, "ABCBNK", text))
		w.ingest.Publish(parcel)
		want := w.next1()
		out, told, _ := scrubbed(t, "m.csv", "to,entity_id,header,template_id,text\n+919876543210,"+entity+",ABCBNK,"+otp+",\""+text+"\"\n", "-registry", file)
		for _, code := range want.codes {
			if !strings.Contains(out, code) {
				t.Errorf("%q: the service says %v, the command %s%s", text, want, out, told)
			}
		}
		if cleared := strings.Contains(out, "CLEARED"); cleared != (want.event == "MessagesCleared") {
			t.Errorf("%q: the service says %v, the command %s%s", text, want, out, told)
		}
	}
}
