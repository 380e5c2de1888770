package provision

import "testing"

func TestTransport(t *testing.T) {
	for address, want := range map[string][2]bool{ // verified, near
		"postgres://u@127.0.0.1/db":                                   {false, true},
		"postgres://u@localhost/db?sslmode=disable":                   {false, true},
		"postgres://u@[::1]/db?sslmode=require":                       {false, true},
		"postgres://u@db.example/db?sslmode=verify-full":              {true, false},
		"postgres://u@db.example/db?sslmode=require":                  {false, false},
		"postgres://u@127.0.0.1,db.example/db?sslmode=disable":        {false, false},
		"postgres://u@/db?host=/var/run/postgresql":                   {true, true},
		"postgres://u@localhost,db.example/db?sslmode=verify-full":    {true, false},
		"host=localhost user=u dbname=db sslmode=verify-full port=77": {true, true},
	} {
		verified, near, err := Transport(address)
		if got := [2]bool{verified, near}; err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", address, got, err, want)
		}
	}
	if _, _, err := Transport("postgres://u:secret@:x y/"); err == nil || err.Error() == "" {
		t.Error("not an address is taken")
	}
}
