// Command devca makes the development authority and certificates: it keeps what is there and still good.
//
//	devca -dir .run/tls -service ingest,compliance=compliance.local -server public=sms.example
//
// A -service is named by its SPIFFE id and may stand at both ends of mTLS; a -server only listens. Further hosts follow
// the name, joined by "=".
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/onlinesms/onlinesms/services/internal/tlsconf"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf/devca"
)

func main() {
	dir := flag.String("dir", "", "directory of the authority and the certificates")
	services := flag.String("service", "", "name[=host...],... of services: identities for mTLS")
	servers := flag.String("server", "", "name[=host...],... of servers without an inner identity")
	flag.Parse()
	if *dir == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := issue(*dir, *services, *servers); err != nil {
		fmt.Fprintln(os.Stderr, "devca:", err)
		os.Exit(1)
	}
}

func issue(dir, services, servers string) error {
	if err := devca.Create(dir); err != nil {
		return err
	}
	for name, hosts := range parse(services) {
		if err := devca.Issue(dir, name, hosts, tlsconf.SPIFFEID(name)); err != nil {
			return err
		}
	}
	for name, hosts := range parse(servers) {
		if err := devca.Issue(dir, name, hosts, ""); err != nil {
			return err
		}
	}
	return nil
}

// parse takes "a,b=host1=host2" apart.
func parse(list string) map[string][]string {
	leaves := map[string][]string{}
	for leaf := range strings.SplitSeq(list, ",") {
		if parts := strings.Split(leaf, "="); parts[0] != "" {
			leaves[parts[0]] = parts[1:]
		}
	}
	return leaves
}
