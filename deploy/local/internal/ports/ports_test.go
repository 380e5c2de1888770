package ports

import (
	"net"
	"testing"

	"github.com/onlinesms/onlinesms/deploy/local/internal/rundir"
)

func open(t *testing.T, dir rundir.Dir, random bool) *Book {
	t.Helper()
	book, err := Open(dir, random)
	if err != nil {
		t.Fatal(err)
	}
	return book
}

func choose(t *testing.T, book *Book, name string, fallback int) int {
	t.Helper()
	port, err := book.Choose(name, fallback)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func TestPortsAreKeptWhileTheyAreFree(t *testing.T) {
	dir, err := rundir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	taken := listener.Addr().(*net.TCPAddr).Port

	first := open(t, dir, false)
	a := choose(t, first, "a", taken)
	if a == taken {
		t.Fatalf("port %d is taken, and chosen", taken)
	}
	if b := choose(t, first, "b", a); b == a {
		t.Errorf("a and b share port %d", a)
	}
	if err := first.Save(); err != nil {
		t.Fatal(err)
	}
	if again := choose(t, open(t, dir, false), "a", 0); again != a {
		t.Errorf("second start chose %d for a, the first %d", again, a)
	}
	holder, err := net.Listen("tcp4", Addr(a))
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	if moved := choose(t, open(t, dir, true), "a", 0); moved == a {
		t.Errorf("a kept port %d, which is taken", a)
	}
}
