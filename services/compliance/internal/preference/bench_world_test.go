package preference

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// scale is how many numbers the benchmarks hold: PREFERENCE_SCALE, 10 million without it. At 300 million the ratios are
// those of the whole country; smaller worlds fit the caches of the machine better, and flatter what they are compared with.
func scale(b *testing.B) int {
	s := os.Getenv("PREFERENCE_SCALE")
	if s == "" {
		return 10_000_000
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1000 {
		b.Fatalf("PREFERENCE_SCALE=%q: a number of at least 1000", s)
	}
	return n
}

// world is one register for all benchmarks: numbers in order, the import file made of them, the store, and the same
// numbers in roaring.
type world struct {
	numbers []Number
	store   *Store
	roaring *roaring.Bitmap
	queries []Number
}

var (
	worldOnce sync.Once
	theWorld  *world
)

func benchWorld(b *testing.B) *world {
	b.Helper()
	worldOnce.Do(func() {
		numbers := generate(scale(b))
		dir, err := os.MkdirTemp("", "preference")
		if err != nil {
			b.Fatal(err)
		}
		s, err := Open(dir)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.Import(context.Background(), benchRun(), &csv{numbers: numbers}, nil); err != nil {
			b.Fatal(err)
		}
		set := roaring.New()
		for chunk := range slices.Chunk(numbers, 1<<20) {
			set.AddMany(plain(chunk))
		}
		set.RunOptimize()
		theWorld = &world{numbers: numbers, store: s, roaring: set, queries: queries(numbers, 1<<21)}
		if err := os.RemoveAll(dir); err != nil { // mapped files live on
			b.Fatal(err)
		}
	})
	if theWorld == nil {
		b.Fatal("the world could not be made")
	}
	return theWorld
}

func benchRun() Run { return NewRun(uuid.Must(uuid.NewV7()), "bench", "", time.Now(), All) }

func plain(numbers []Number) []uint32 {
	out := make([]uint32, len(numbers))
	for i, n := range numbers {
		out[i] = uint32(n)
	}
	return out
}

// generate makes numbers as they are in India: series of a million, of which those that begin with 6, 7, 8, 9 are given out
// to 45, 75, 85, 97 %; one block of 10,000 in eight is empty, the others are filled by 30-95 %, and 8-50 % of the
// subscribers have registered a preference.
func generate(n int) []Number {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	given := [4]int{45, 75, 85, 97}
	var numbers []Number
	for _, series := range r.Perm(4000) {
		if r.IntN(100) >= given[series/1000] {
			continue
		}
		registered := 0.08 + 0.42*r.Float64()
		for block := range 100 {
			share := (0.30 + 0.65*r.Float64()) * registered
			if r.IntN(100) < 12 {
				continue
			}
			for i := range Number(10_000) {
				if r.Float64() < share {
					numbers = append(numbers, Number(series*1_000_000+block*10_000)+i)
				}
			}
		}
		if len(numbers) >= n {
			break
		}
	}
	numbers = numbers[:min(n, len(numbers))]
	slices.Sort(numbers)
	return numbers
}

// scattered are numbers of subscribers anywhere in the country, as customers of one tenant are.
func scattered(n int) []Number {
	r := rand.New(rand.NewPCG(13, uint64(n)))
	numbers := make([]Number, 0, n)
	for len(numbers) < n {
		for range n - len(numbers) {
			numbers = append(numbers, Number(r.Uint32N(Numbers)))
		}
		slices.Sort(numbers)
		numbers = slices.Compact(numbers)
	}
	return numbers
}

// queries are numbers half of which are present, half any number of the same block of 10,000.
func queries(numbers []Number, n int) []Number {
	r := rand.New(rand.NewPCG(3, 4))
	q := make([]Number, n)
	for i := range q {
		q[i] = numbers[r.IntN(len(numbers))]
		if r.IntN(2) == 0 {
			q[i] = q[i]/10_000*10_000 + Number(r.IntN(10_000))
		}
	}
	return q
}

// preferences of the file: seven of ten fully blocked, twelve others, and one of twenty a rare one that is escaped.
var preferences = func() (list [100]string) {
	common := []string{"promo", "1", "2", "3", "5", "6", "1|2", ",sms", "7|8", "4", ",,sun"}
	for i := range list {
		switch {
		case i < 70:
			list[i] = "full"
		case i < 95:
			list[i] = common[i%len(common)]
		default:
			list[i] = ""
		}
	}
	return list
}()

func appendLine(b []byte, n Number) []byte {
	b = strconv.AppendUint(b, uint64(n)+firstNational, 10)
	h := uint32(n) * 2654435761 >> 8
	p := preferences[h%100]
	if p == "" {
		p = rare[h/100%uint32(len(rare))]
	}
	return append(append(append(b, ','), p...), '\n')
}

var rare = func() (list []string) {
	for i := range 64 {
		list = append(list, strconv.Itoa(1+i%8)+",,,"+strconv.Itoa(1+i/8))
	}
	return list
}()

// preferenceOf is what appendLine wrote.
func preferenceOf(n Number) Preference {
	line := appendLine(nil, n)
	p, err := Parse(string(line[11 : len(line)-1]))
	if err != nil {
		panic(err)
	}
	return p
}

// csv is an import file that is written while it is read.
type csv struct {
	numbers []Number
	rest    []byte
}

func (c *csv) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		if len(c.numbers) == 0 {
			return 0, errEOF
		}
		n := min(len(c.numbers), 1<<14)
		c.rest = c.rest[:0:cap(c.rest)]
		for _, number := range c.numbers[:n] {
			c.rest = appendLine(c.rest, number)
		}
		c.numbers = c.numbers[n:]
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// written writes a file of numbers into memory.
func written(numbers []Number) *bytes.Reader {
	b := make([]byte, 0, len(numbers)*17)
	for _, n := range numbers {
		b = appendLine(b, n)
	}
	return bytes.NewReader(b)
}

// threadTime runs do and answers the processor time of this thread, so that what others do on the machine does not count.
func threadTime(do func()) float64 { return clockTime(unix.CLOCK_THREAD_CPUTIME_ID, do) }

// processTime is the same of the whole process.
func processTime(do func()) float64 { return clockTime(unix.CLOCK_PROCESS_CPUTIME_ID, do) }

func clockTime(id int32, do func()) float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var from, to unix.Timespec
	if err := unix.ClockGettime(id, &from); err != nil {
		panic(err)
	}
	do()
	if err := unix.ClockGettime(id, &to); err != nil {
		panic(err)
	}
	return float64(to.Nano() - from.Nano())
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
