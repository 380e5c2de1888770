package platform

import (
	"strconv"

	"github.com/onlinesms/onlinesms/deploy/local/internal/ports"
)

// addresses are the loopback ports of a platform.
type addresses struct {
	nats, monitor, postgres, smsc, stats int
	// replicas[i] are those of replica i+1 of every service.
	replicas []replica
}

// replica are the ports of one replica of every service: inner gRPC and admin by service, and the two public doors.
type replica struct {
	https, grpc  int
	inner, admin map[string]int
}

// chooseAddresses settles all ports and keeps them for the next start.
func (p *Platform) chooseAddresses() error {
	book, err := ports.Open(p.dir, p.options.RandomPorts)
	if err != nil {
		return err
	}
	var failure error
	choose := func(name string, fallback int) int {
		port, err := book.Choose(name, fallback)
		if err != nil {
			failure = err
		}
		return port
	}
	p.at = addresses{
		nats: choose("nats", 4222), monitor: choose("nats-monitor", 8222), postgres: choose("postgres", 55432),
		smsc: choose("smsc", 2775), stats: choose("smsc-stats", 2780),
	}
	for i := range p.options.Replicas {
		suffix, offset := suffix(i), 100*i
		doors := replica{inner: map[string]int{}, admin: map[string]int{}}
		doors.https, doors.grpc = choose("https"+suffix, 8443+offset), choose("grpc"+suffix, 9443+offset)
		for n, service := range services {
			doors.inner[service] = choose(service+"-inner"+suffix, 9101+n+offset)
			doors.admin[service] = choose(service+"-admin"+suffix, 9301+n+offset)
		}
		p.at.replicas = append(p.at.replicas, doors)
	}
	if failure != nil {
		return failure
	}
	return book.Save()
}

// suffix tells the processes of a replica apart: nothing for the first, "-2" for the second.
func suffix(i int) string {
	if i == 0 {
		return ""
	}
	return "-" + strconv.Itoa(i+1)
}

func loopback(port int) string { return ports.Addr(port) }
