package registry

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
)

func TestWordsTellNamesApart(t *testing.T) {
	for _, id := range []string{"0000000000000000000", "9999999999999999999", "1107160000000000011", "1234567890123456789", "0000000010000000100"} {
		n, err := strconv.ParseUint(id, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if got := wordOf(id); got != word(n+1) {
			t.Errorf("%s: %d", id, got)
		}
		for i := range id {
			for _, c := range []byte{'0' - 1, '9' + 1, 'a', 0, 0x80, 0xff, ' '} {
				if wrong := id[:i] + string([]byte{c}) + id[i+1:]; wordOf(wrong) != 0 {
					t.Errorf("%q has a word", wrong)
				}
			}
		}
	}
	for _, name := range []string{"", "ABCBNKXX", "110716000000000001", "11071600000000000111"} {
		if wordOf(name) != 0 {
			t.Errorf("%q has a word", name)
		}
	}
	seen := map[word]string{wordOf("9999999999999999999"): "the highest id"}
	for _, name := range []string{"A", "B", "AB", "BA", "ABC", "abc", "ABCBNK", "ABCBNk", "512345", "A\x00", "A\x00\x00", "\x00", "\xff\xff\xff\xff\xff\xff\xff"} {
		w := wordOf(name)
		if other, twice := seen[w]; twice || w <= wordOf("9999999999999999999") {
			t.Errorf("%q has the word of %q or of an id", name, other)
		}
		seen[w] = name
	}
}

// TestShardsAreMaps: versions that are made one after another hold what maps with the same history hold, each to its end.
func TestShardsAreMaps(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	type version struct {
		shards *shards[string]
		want   map[string]string
	}
	last := version{&shards[string]{}, map[string]string{}}
	all := []version{last}
	for range 40 {
		next := version{new(*last.shards), maps.Clone(last.want)}
		e := edit[string]{shards: next.shards}
		for range r.IntN(400) {
			id := fmt.Sprintf("%019d", r.IntN(3000))
			if r.IntN(3) == 0 {
				e.remove(id)
				delete(next.want, id)
			} else {
				value := id + strconv.Itoa(r.Int())
				e.put(id, &value)
				next.want[id] = value
			}
		}
		last, all = next, append(all, next)
	}
	for _, v := range all {
		for i := range 3000 {
			id := fmt.Sprintf("%019d", i)
			got := v.shards.get(id)
			if want, there := v.want[id]; there != (got != nil) || there && *got != want {
				t.Fatalf("%s: %v, want %q", id, got, want)
			}
		}
		var values []string
		for value := range v.shards.all() {
			values = append(values, *value)
		}
		slices.Sort(values)
		if !slices.Equal(values, slices.Sorted(maps.Values(v.want))) {
			t.Fatal("not the same values")
		}
		if v.shards.get("") != nil || v.shards.get("ABCBNK") != nil {
			t.Fatal("something has no name")
		}
	}
}
