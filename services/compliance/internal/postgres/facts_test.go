package postgres

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening/screeningtest"
)

// alone are the facts that are one message's own: entries keep them.
var alone = map[string]bool{"Text": true, "Expire": true, "Schedule": true}

// leaves visits every field of facts, those of their parts too.
func leaves(f *policy.Facts, visit func(name string, v reflect.Value)) {
	var walk func(v reflect.Value, path string)
	walk = func(v reflect.Value, path string) {
		for i := range v.NumField() {
			field, name := v.Field(i), path+v.Type().Field(i).Name
			if _, isTime := field.Interface().(time.Time); field.Kind() == reflect.Struct && !isTime {
				walk(field, name+".")
			} else if !alone[name] {
				visit(name, field)
			}
		}
	}
	walk(reflect.ValueOf(f).Elem(), "")
}

// invent gives a field some value of its kind.
func invent(r *rand.Rand, v reflect.Value) {
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.UnixMicro(r.Int64N(1<<52) - 1<<51).UTC()))
	case v.Kind() == reflect.String:
		v.SetString([]string{"", "ABCBNK", "1701158019811140068", "0000000000000000001", "99999999999999999999", "9999999999999999999", "é"}[r.IntN(7)])
	case v.Kind() == reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case v.CanUint():
		v.SetUint(r.Uint64N(128))
	case v.CanInt():
		v.SetInt(r.Int64N(1000) - 1)
	}
}

// TestEveryFactIsRecorded: one by one, so that a new fact that is not recorded is named, and together.
func TestEveryFactIsRecorded(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	back := func(name string, f *policy.Facts) {
		got, err := readFacts(appendFacts(nil, f))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(*f, got); diff != "" {
			t.Errorf("%s is not recorded: %s", name, diff)
		}
	}
	count := 0
	leaves(&policy.Facts{}, func(name string, _ reflect.Value) {
		count++
		for range 20 {
			f := policy.Facts{}
			leaves(&f, func(other string, v reflect.Value) {
				if other == name {
					invent(r, v)
				}
			})
			back(name, &f)
		}
	})
	if count != len(factFields) {
		t.Errorf("%d facts, %d recorded", count, len(factFields))
	}
	for range 5000 {
		f := policy.Facts{}
		leaves(&f, func(_ string, v reflect.Value) { invent(r, v) })
		back("a fact among all", &f)
	}
}

// TestTimesAreRoundedUp: at whole microseconds, before and after stay before and after.
func TestTimesAreRoundedUp(t *testing.T) {
	at := time.Unix(1_800_000_000, 1500).UTC()
	got, err := readFacts(appendFacts(nil, &policy.Facts{Header: policy.Header{Until: at}}))
	if want := time.Unix(1_800_000_000, 2000).UTC(); err != nil || !got.Header.Until.Equal(want) {
		t.Errorf("%s, %v", got.Header.Until, err)
	}
}

// TestDamageIsToldNotGuessed: octets that are no record are an error, and never a panic.
func TestDamageIsToldNotGuessed(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	p := screeningtest.Judge(screeningtest.NewParcel(3), screeningtest.Clear)
	p.Facts = []policy.Facts{{Mobile: true, Entity: policy.Entity{ID: "1701158019811140068"}}}
	for i := range p.Verdicts {
		p.Verdicts[i].Facts = 1
	}
	whole := appendEntries(nil, &p)
	read := func(b []byte) (n int, err error) {
		err = (&row{entries: b}).each(func(int, *screening.Recorded) error { n++; return nil })
		return n, err
	}
	if n, err := read(whole); n != 3 || err != nil {
		t.Fatalf("%d entries, %v", n, err)
	}
	for range 20_000 {
		b := append([]byte{}, whole[:1+r.IntN(len(whole))]...)
		b[r.IntN(len(b))] ^= byte(1 + r.IntN(255))
		_, _ = read(b)
	}
	p.Verdicts[1].Facts = 2
	if _, err := read(appendEntries(nil, &p)); err == nil {
		t.Error("facts that are not there are read")
	}
}

func FuzzEntries(f *testing.F) {
	p := screeningtest.Judge(screeningtest.NewParcel(2), screeningtest.Clear)
	p.Facts, p.Verdicts[0].Facts = []policy.Facts{{Mobile: true}}, 1
	f.Add(appendEntries(nil, &p))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_ = (&row{entries: b}).each(func(int, *screening.Recorded) error { return nil })
	})
}
