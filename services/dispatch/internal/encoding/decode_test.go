package encoding

import (
	"errors"
	"testing"
)

func TestDecode(t *testing.T) {
	for _, c := range []struct {
		name   string
		coding byte
		data   string
		want   string
	}{
		{"gsm", 0, "\x00 \x1b\x65 \x11", "@ € _"},
		{"unknown extension shows its default character", 0, "\x1bA", "A"},
		{"escape at the end", 0, "A\x1b", "A"},
		{"octet beyond seven bits", 0, "A\x80", "A\ufffd"},
		{"latin-1", 3, "caf\xe9", "café"},
		{"ucs-2 with a pair", 8, "\x09\x28\xd8\x3d\xde\x00", "न😀"},
		{"ucs-2 with a lone surrogate and an odd octet", 8, "\xd8\x3d\x00", "\ufffd\ufffd"},
		{"flash gsm", 0x10, "STOP", "STOP"},
		{"flash ucs-2", 0x18, "\x00A", "A"},
	} {
		if got, err := Decode(c.coding, []byte(c.data)); err != nil || got != c.want {
			t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
		}
	}
	var coding *DataCodingError
	if _, err := Decode(0x04, nil); !errors.As(err, &coding) || coding.DataCoding != 4 {
		t.Errorf("binary: %v", err)
	}
}

func TestConcat(t *testing.T) {
	for _, c := range []struct {
		name string
		udh  string
		want Concat
		err  error
	}{
		{"eight bits", "\x05\x00\x03\xaa\x02\x01", Concat{0xAA, 2, 1}, nil},
		{"sixteen bits behind another element", "\x09\x24\x01\x06\x08\x04\x01\x02\x03\x03", Concat{0x0102, 3, 3}, nil},
		{"none", "\x03\x24\x01\x06", Concat{0, 1, 1}, nil},
		{"no header", "", Concat{0, 1, 1}, nil},
		{"overrun", "\x02\x00\x03", Concat{0, 1, 1}, ErrHeader},
		{"part beyond total", "\x05\x00\x03\x01\x02\x03", Concat{0, 1, 1}, ErrHeader},
	} {
		if got, err := ParseConcat([]byte(c.udh)); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %+v, %v, want %+v, %v", c.name, got, err, c.want, c.err)
		}
	}
	if _, _, err := SplitUDH([]byte{5, 0, 3}); !errors.Is(err, ErrHeader) {
		t.Errorf("header longer than message: %v", err)
	}
	udh, body, err := SplitUDH([]byte("\x03\x24\x01\x06hi"))
	if len(udh) != 4 || string(body) != "hi" || err != nil {
		t.Errorf("SplitUDH = % x, %q, %v", udh, body, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(byte(0), []byte("\x1b\x65hello"))
	f.Add(byte(8), []byte("\x05\x00\x03\x01\x02\x01\x09\x28"))
	f.Fuzz(func(t *testing.T, coding byte, data []byte) {
		if udh, body, err := SplitUDH(data); err == nil {
			c, err := ParseConcat(udh)
			if err == nil && (c.Seq < 1 || c.Seq > c.Total) || len(udh)+len(body) != len(data) {
				t.Fatalf("header %+v of % x", c, data)
			}
		}
		_, _ = Decode(coding, data) // any octets read as some text or a typed error
	})
}
