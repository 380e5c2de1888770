package caller

import (
	"net/netip"
	"strings"
	"testing"
)

// Item 15 of the acceptance list: only the configured hop is believed, whatever stands to its left.
func TestItem15ForwardedAddress(t *testing.T) {
	tests := map[string]struct {
		hops      int
		remote    string
		forwarded []string
		want      string // empty: no address
	}{
		"socket":                     {0, "192.0.2.1:4000", nil, "192.0.2.1"},
		"socket, v6 with zone":       {0, "[fe80::1%eth0]:4000", nil, "fe80::1"},
		"mapped v4 is v4":            {0, "[::ffff:192.0.2.1]:4000", nil, "192.0.2.1"},
		"memory":                     {0, "bufconn", nil, ""},
		"header without trust":       {0, "192.0.2.1:4000", []string{"203.0.113.9"}, "192.0.2.1"},
		"one hop":                    {1, "10.0.0.1:4000", []string{"203.0.113.9"}, "203.0.113.9"},
		"spoofed on the left":        {1, "10.0.0.1:4000", []string{"127.0.0.1, 203.0.113.9"}, "203.0.113.9"},
		"duplicated header":          {1, "10.0.0.1:4000", []string{"127.0.0.1", "203.0.113.9"}, "203.0.113.9"},
		"two hops":                   {2, "10.0.0.1:4000", []string{"1.1.1.1, 203.0.113.9, 10.0.0.2"}, "203.0.113.9"},
		"too few hops":               {2, "10.0.0.1:4000", []string{"203.0.113.9"}, ""},
		"no header where one should": {1, "10.0.0.1:4000", nil, ""},
		"rubbish":                    {1, "10.0.0.1:4000", []string{"203.0.113.9, unknown"}, ""},
		"with port":                  {1, "10.0.0.1:4000", []string{"203.0.113.9:1234"}, "203.0.113.9"},
		"v6 in brackets":             {1, "10.0.0.1:4000", []string{"[2001:db8::7]:99"}, "2001:db8::7"},
		"too long":                   {1, "10.0.0.1:4000", []string{strings.Repeat("1.1.1.1,", 400) + "203.0.113.9"}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := Trust{test.hops}.Address(test.remote, test.forwarded)
			if want, _ := netip.ParseAddr(test.want); got != want {
				t.Errorf("%v, want %v", got, want)
			}
		})
	}
}

// Whatever a client writes to the left of the trusted hop changes nothing.
func FuzzForwarded(f *testing.F) {
	f.Add("127.0.0.1", "203.0.113.9")
	f.Add("for=\"[::1]\", x", "::ffff:1.2.3.4")
	f.Fuzz(func(t *testing.T, left, right string) {
		if strings.Contains(right, ",") || len(left)+len(right) > maxForwarded-2 {
			return
		}
		got := Trust{1}.Address("10.0.0.1:1", []string{left, right})
		if got != (Trust{1}.Address("10.0.0.1:1", []string{right})) {
			t.Errorf("%q before %q makes it %v", left, right, got)
		}
		if got.Is4In6() || got.Zone() != "" {
			t.Errorf("%v is not plain", got)
		}
	})
}
