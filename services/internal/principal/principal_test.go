package principal

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

var sample = Principal{
	TenantID: uuid.UUID{1, 2, 3},
	Env:      Live,
	Actor:    "key/k7f3",
	Scopes:   []string{"audit:read", "messages:read", "messages:send"},
}

func TestScopes(t *testing.T) {
	if !sample.Has("messages:send") || sample.Has("messages") || sample.Has("") || (Principal{}).Has("messages:send") {
		t.Error("a scope is had by its whole name only")
	}
}

func TestContext(t *testing.T) {
	if _, ok := FromContext(context.Background()); ok {
		t.Error("a principal out of nowhere")
	}
	p, ok := FromContext(NewContext(context.Background(), sample))
	if !ok || !cmp.Equal(p, sample) {
		t.Errorf("%+v, %v", p, ok)
	}
}

func TestEncodingThereAndBack(t *testing.T) {
	for _, p := range []Principal{sample, {Env: Test}} {
		encoded, err := p.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		var back Principal
		if err := back.UnmarshalBinary(encoded); err != nil || !cmp.Equal(p, back) {
			t.Errorf("%+v came back as %+v, %v", p, back, err)
		}
	}
}

func TestMalformedEncodings(t *testing.T) {
	encoded, err := sample.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	var p Principal
	for n := range encoded {
		if p.UnmarshalBinary(encoded[:n]) == nil {
			t.Errorf("the first %d bytes are taken for a principal", n)
		}
	}
	if p.UnmarshalBinary(append(encoded, 0)) == nil {
		t.Error("a byte too many is taken")
	}
	encoded[0] = 2
	if p.UnmarshalBinary(encoded) == nil {
		t.Error("an unknown version is taken")
	}
	if !cmp.Equal(p, Principal{}) {
		t.Errorf("a failed read left %+v", p)
	}
	if _, err := (Principal{Env: "staging"}).AppendBinary(nil); err == nil {
		t.Error("an unknown environment is encoded")
	}
}

func FuzzUnmarshal(f *testing.F) {
	encoded, _ := sample.AppendBinary(nil)
	f.Add(encoded)
	f.Fuzz(func(t *testing.T, data []byte) {
		var p Principal
		if p.UnmarshalBinary(data) != nil {
			return
		}
		again, err := p.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		var back Principal
		if err := back.UnmarshalBinary(again); err != nil || !cmp.Equal(p, back) {
			t.Errorf("%+v came back as %+v, %v", p, back, err)
		}
	})
}
