// Package ports chooses the loopback ports of a platform and remembers them, so that a restarted process is found where
// it was and so that addresses stay the same from one `make up` to the next.
package ports

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"

	"github.com/onlinesms/onlinesms/deploy/local/internal/rundir"
)

const file = "ports.json"

// Book holds the ports of a platform by name. It is not safe for concurrent use.
type Book struct {
	dir    rundir.Dir
	random bool
	ports  map[string]int
	taken  map[int]bool
}

// Open reads the ports of the last start, if any. With random no default port is tried: for platforms of tests, which
// must not stand in the way of the one people use.
func Open(dir rundir.Dir, random bool) (*Book, error) {
	book := &Book{dir: dir, random: random, ports: map[string]int{}, taken: map[int]bool{}}
	data, err := os.ReadFile(dir.Path(file))
	if os.IsNotExist(err) {
		return book, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &book.ports); err != nil {
		return nil, fmt.Errorf("read %s: %w", dir.Path(file), err)
	}
	return book, nil
}

// Below the range the kernel takes the ports of outgoing connections from (32768 and up, ip(7)): a port there could be
// taken while the process that listens on it is being restarted.
const firstRandom, lastRandom = 15000, 32000

// Choose settles the port of name: the one it had, else fallback, else any free one.
func (b *Book) Choose(name string, fallback int) (int, error) {
	tries := []int{b.ports[name]}
	if !b.random {
		tries = append(tries, fallback)
	}
	for range 200 {
		tries = append(tries, firstRandom+rand.IntN(lastRandom-firstRandom))
	}
	for _, port := range tries {
		if port != 0 && !b.taken[port] && free(port) {
			b.ports[name], b.taken[port] = port, true
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port for %s", name)
}

// Save writes the ports for the next start.
func (b *Book) Save() error {
	data, err := json.MarshalIndent(b.ports, "", "  ")
	if err != nil {
		return err
	}
	return b.dir.WriteFile(file, append(data, '\n'), 0o644)
}

// free listens for a moment.
func free(port int) bool {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp4", Addr(port))
	if err != nil {
		return false
	}
	return listener.Close() == nil
}

// Addr is the loopback address of a port.
func Addr(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
