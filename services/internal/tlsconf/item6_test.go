package tlsconf

import (
	"crypto/tls"
	"math/big"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Item 6: certificates of a public and of an inner server, and of the inner client, are replaced on disk fifty times
// while connections are made without pause. None fails, and each new certificate is shown within one look at the files.
func TestItem6FiftyReplacementsUnderLoad(t *testing.T) {
	dir := authority(t, "ingest", "compliance")
	var late atomic.Int64 // by how much the clock runs ahead
	now := func() time.Time { return time.Now().Add(time.Duration(late.Load())) }
	public := listen(t, must(t)(public(Files{Cert: filesOf(dir, "public").Cert, Key: filesOf(dir, "public").Key}, now)))
	inner := listen(t, must(t)(server(filesOf(dir, "compliance"), now)))
	outside := &tls.Config{RootCAs: roots(t, dir), ServerName: "localhost"}
	inside := must(t)(client(filesOf(dir, "ingest"), "compliance", now))

	var made, failed atomic.Int64
	stop := make(chan struct{})
	var load sync.WaitGroup
	for _, visitor := range []func() error{
		func() error { _, err := visit(public, outside); return err },
		func() error { _, err := visit(inner, inside); return err },
	} {
		for range 2 {
			load.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if err := visitor(); err != nil {
						failed.Add(1)
						t.Errorf("a connection failed: %v", err)
						return
					}
					made.Add(1)
				}
			})
		}
	}
	serial := func(addr string, cfg *tls.Config) *big.Int {
		t.Helper()
		state, err := visit(addr, cfg)
		if err != nil {
			t.Fatal(err)
		}
		return state.PeerCertificates[0].SerialNumber
	}
	for range 50 {
		before := []*big.Int{serial(public, outside), serial(inner, inside)}
		for _, name := range []string{"ingest", "compliance"} {
			renew(t, dir, name)
		}
		renewServer(t, dir, "public")
		late.Add(int64(lookInterval))
		after := []*big.Int{serial(public, outside), serial(inner, inside)}
		for i := range before {
			if before[i].Cmp(after[i]) == 0 {
				t.Errorf("server %d shows serial %v still", i, after[i])
			}
		}
	}
	close(stop)
	load.Wait()
	t.Logf("50 replacements, %d connections, %d failed", made.Load(), failed.Load())
	if made.Load() < 100 {
		t.Errorf("only %d connections were made: no load", made.Load())
	}
}
