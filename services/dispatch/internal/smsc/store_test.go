package smsc

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"
)

func TestAgenda(t *testing.T) {
	var a agenda[string]
	base := time.Unix(1_800_000_000, 0)
	if !a.add(base.Add(20*time.Millisecond), "b") || a.add(base.Add(30*time.Millisecond), "c") ||
		!a.add(base.Add(10*time.Millisecond), "a") || a.add(base.Add(20*time.Millisecond), "b2") {
		t.Error("add did not tell the first")
	}
	if got := a.take(base.Add(9 * time.Millisecond)); got != nil {
		t.Errorf("took %v too early", got)
	}
	var order []string
	for list := a.take(base.Add(time.Second)); list != nil; list = a.take(base.Add(time.Second)) {
		order = append(order, list...)
	}
	if !slices.Equal(order, []string{"a", "b", "b2", "c"}) || a.size != 0 {
		t.Errorf("order %v, %d left", order, a.size)
	}
}

func TestFifo(t *testing.T) {
	var q fifo[int]
	next := 0
	for i := range 20_000 { // grows, then shrinks while moving its memory
		q.push(2 * i)
		q.push(2*i + 1)
		if got := q.pop(); got != next {
			t.Fatalf("popped %d, want %d", got, next)
		}
		next++
	}
	for ; q.len() > 0; next++ {
		if got := q.pop(); got != next {
			t.Fatalf("popped %d, want %d", got, next)
		}
	}
	if next != 40_000 {
		t.Errorf("popped %d", next)
	}
}

func TestSeenSet(t *testing.T) {
	s := newSeenSet()
	key := make([]byte, 8)
	const n = 200_000
	for round := range 2 {
		for i := range uint64(n) {
			binary.BigEndian.PutUint64(key, i)
			if isNew := s.add(key); isNew != (round == 0) {
				t.Fatalf("round %d, key %d: new = %v", round, i, isNew)
			}
		}
	}
	places := 0
	for i := range s.tables {
		places += len(s.tables[i].places)
	}
	if perKey := places * 16 / n; s.count != n || perKey > 45 {
		t.Errorf("%d keys, %d octets each", s.count, perKey)
	}
}

func TestRuleTableTakesTheLongestSuffix(t *testing.T) {
	rules := newRuleTable([]Rule{{Suffix: "1", Stat: "EXPIRED"}, {Suffix: "001", Stat: "UNDELIV"}})
	for to, want := range map[string]string{"91001": "UNDELIV", "91011": "EXPIRED", "1": "EXPIRED", "": "", "912": ""} {
		if got := rules.find(to).Stat; got != want {
			t.Errorf("%s: %q, want %q", to, got, want)
		}
	}
}

func TestNotations(t *testing.T) {
	for n, want := range map[Notation]string{
		Decimal: "123456789", Hex: "75bcd15", HexUpper: "75BCD15", Padded: "00000000000123456789",
	} {
		if got := string(n.Append(nil, 123456789)); got != want {
			t.Errorf("%s: %s, want %s", n, got, want)
		}
	}
}

func TestRatePerSecond(t *testing.T) {
	var c tally
	at := func(second int64, n int) {
		for range n {
			c.accepted(time.Unix(second, 0), 0, 1, 1)
		}
	}
	at(100, 5)
	at(101, 2)
	if got := c.show(time.Unix(102, 0)).PerSecond; got != (Rate{Last: 2, Peak: 5}) {
		t.Errorf("rate %+v", got)
	}
	at(200, 7)
	if got := c.show(time.Unix(200, 0)).PerSecond; got != (Rate{Last: 0, Peak: 7}) {
		t.Errorf("rate %+v", got)
	}
}
