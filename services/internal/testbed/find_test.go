package testbed

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestInspect(t *testing.T) {
	for said, want := range map[string]string{
		"postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)": "",
		"postgres (PostgreSQL) 18devel":                        "",
		"postgres (PostgreSQL) 9.6.24":                         "older than 14",
	} {
		dir := t.TempDir()
		script := fmt.Sprintf("#!/bin/sh\necho '%s'\n", said)
		for _, program := range []string{"postgres", "initdb"} {
			if err := os.WriteFile(filepath.Join(dir, program), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		found, err := Find(t.Context(), Search{BinDir: dir})
		switch {
		case want == "" && (err != nil || found.Version < oldest || found.Bin != dir):
			t.Errorf("%s: %+v, %v", said, found, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", said, err, want)
		}
	}
	if _, err := Find(t.Context(), Search{BinDir: t.TempDir()}); err == nil {
		t.Error("an empty directory is accepted")
	}
}

func TestNothingFoundSaysWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // no apt-get either
	_, err := Find(t.Context(), Search{IgnoreSystem: true, Log: t.Output()})
	if err == nil || !strings.Contains(err.Error(), "apt-get install postgresql") || !strings.Contains(err.Error(), "POSTGRES_URL") {
		t.Errorf("got %v", err)
	}
}

func TestAptAnswers(t *testing.T) {
	const depends = `postgresql-17
  Depends: libicu76
 |Depends: debconf
  Depends: <debconf-2.0>
  PreDepends: libssl3t64
  Depends: libc6
  Recommends: libfoo1
`
	var names []string
	for _, match := range dependency.FindAllStringSubmatch(depends, -1) {
		if library.MatchString(match[1]) && !never.MatchString(match[1]) {
			names = append(names, match[1])
		}
	}
	if got := strings.Join(names, " "); got != "libicu76 libssl3t64" {
		t.Errorf("dependencies: %s", got)
	}
	const ldd = "\tlibxml2.so.2 => not found\n\tlibz.so.1 => /lib/libz.so.1 (0x0)\n\tlibicuuc.so.72 => not found\n"
	missing := notFound.FindAllStringSubmatch(ldd, -1)
	if len(missing) != 2 || missing[0][1] != "libxml2.so.2" || missing[1][1] != "libicuuc.so.72" {
		t.Errorf("missing: %v", missing)
	}
	servers := serverPackage.FindAllStringSubmatch("postgresql-15\npostgresql-15-cron\npostgresql-client-15\npostgresql-17\n", -1)
	if len(servers) != 2 || servers[1][1] != "17" {
		t.Errorf("servers: %v", servers)
	}
}
