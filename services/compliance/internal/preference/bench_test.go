package preference

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"

	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
)

var errEOF = io.EOF

// parcel is how many numbers are asked for together: the most that a parcel of messages has.
const parcel = 500

var sink atomic.Uint64 // keeps results alive

// BenchmarkRatioA1: look-ups in batches against roaring's, on the same numbers (goal 30 times at 300M, 20 at 100M).
func BenchmarkRatioA1Throughput(b *testing.B) {
	w := benchWorld(b)
	var ours, theirs []float64
	results := make([]Result, parcel)
	for b.Loop() {
		ours = append(ours, threadTime(func() {
			v := w.store.View()
			for batch := range slices.Chunk(w.queries, len(results)) {
				v.LookAll(results, batch)
			}
			v.Close()
		}))
		theirs = append(theirs, threadTime(func() {
			n := uint64(0)
			for _, q := range w.queries { // all of them: fewer would stay in the third cache
				if w.roaring.Contains(uint32(q)) {
					n++
				}
			}
			sink.Store(n)
		}))
	}
	one, other := median(ours)/float64(len(w.queries)), median(theirs)/float64(len(w.queries))
	b.ReportMetric(one, "ns/look-up")
	b.ReportMetric(other, "ns/roaring")
	b.ReportMetric(other/one, "x-roaring")
	switch n := len(w.numbers); { // a smaller register fits the caches, roaring's too
	case n >= 300_000_000:
		b.ReportMetric(30, "x-goal")
	case n >= 100_000_000:
		b.ReportMetric(20, "x-goal")
	}
}

// BenchmarkRatioA2: one look-up that waits for the one before, against one load that does, from a buffer of the size that
// the register holds in memory (goal 1.5).
func BenchmarkRatioA2Latency(b *testing.B) {
	w := benchWorld(b)
	p := w.store.current.Load()
	pagesHeld := 0
	for _, word := range p.present {
		for ; word != 0; word &= word - 1 {
			pagesHeld++
		}
	}
	floor, err := unix.Mmap(-1, 0, pagesHeld*pageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = unix.Munmap(floor) }()
	r := rand.New(rand.NewPCG(5, 6))
	for at := 0; at < len(floor); at += pageSize {
		floor[at+r.IntN(pageSize)] = 1
	}
	places := make([]uint64, len(w.queries))
	for i := range places {
		places[i] = r.Uint64N(uint64(len(floor)) - 8)
	}
	const n = 1 << 19
	var ours, theirs []float64
	for round := 0; b.Loop(); round++ {
		from := round * (len(places) - n) / 16 % (len(places) - n)
		ours = append(ours, threadTime(func() {
			x := 0
			for i := range n {
				x = int(p.look(w.queries[from+i+x]).Preference) & 1
			}
			sink.Store(uint64(x))
		}))
		theirs = append(theirs, threadTime(func() {
			x := 0
			for i := range n {
				x = int(floor[places[from+i+x]]) & 1
			}
			sink.Store(uint64(x))
		}))
	}
	b.ReportMetric(median(ours)/n, "ns/look-up")
	b.ReportMetric(median(theirs)/n, "ns/load")
	b.ReportMetric(median(ours)/median(theirs), "x-load")
}

// BenchmarkRatioA3: look-ups against those of PostgreSQL by primary key, prepared, one client, all in its cache (goal 1,000
// times the throughput). Time of the clock, as the work is done in another process.
func BenchmarkRatioA3PostgreSQL(b *testing.B) {
	w := benchWorld(b)
	conn := connect(b)
	rows := w.numbers[:min(len(w.numbers), 1_000_000)]
	fillTable(b, conn, rows)
	asked := queries(rows, 1<<13)
	results := make([]Result, parcel)
	var ours, theirs []float64
	ctx := context.Background()
	for b.Loop() {
		start := time.Now()
		v := w.store.View()
		for batch := range slices.Chunk(w.queries[:1<<18], len(results)) {
			v.LookAll(results, batch)
		}
		v.Close()
		ours = append(ours, float64(time.Since(start)))
		start = time.Now()
		for _, n := range asked[:512] {
			var p int64
			if err := conn.QueryRow(ctx, "SELECT preference FROM register WHERE number = $1", int64(n)).Scan(&p); err != nil && !errors.Is(err, pgx.ErrNoRows) {
				b.Fatal(err)
			}
		}
		theirs = append(theirs, float64(time.Since(start)))
	}
	one, other := median(ours)/(1<<18), median(theirs)/512
	b.ReportMetric(other, "ns/postgres")
	b.ReportMetric(one, "ns/look-up")
	b.ReportMetric(other/one, "x-postgres")
	b.ReportMetric(1000, "x-goal")
}

func connect(b *testing.B) *pgx.Conn {
	b.Helper()
	d := postgrestest.New(b, "compliance", outbox.Source)
	conn, err := pgx.Connect(context.Background(), d.AdminURL)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := conn.Close(context.Background()); err != nil {
			b.Error(err)
		}
	})
	return conn
}

// fillTable copies rows into a table, makes its key, and answers the nanoseconds of the clock for a row.
func fillTable(b *testing.B, conn *pgx.Conn, rows []Number) float64 {
	b.Helper()
	ctx := context.Background()
	if _, err := conn.Exec(ctx, "DROP TABLE IF EXISTS register; CREATE TABLE register (number bigint, preference bigint)"); err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	i := 0
	_, err := conn.CopyFrom(ctx, pgx.Identifier{"register"}, []string{"number", "preference"}, pgx.CopyFromFunc(func() ([]any, error) {
		if i == len(rows) {
			return nil, nil
		}
		i++
		return []any{int64(rows[i-1]), int64(Full)}, nil
	}))
	if err == nil {
		_, err = conn.Exec(ctx, "ALTER TABLE register ADD PRIMARY KEY (number)")
	}
	took := time.Since(start)
	if err == nil {
		_, err = conn.Exec(ctx, "VACUUM ANALYZE register")
	}
	if err != nil {
		b.Fatal(err)
	}
	return float64(took) / float64(len(rows))
}

// BenchmarkRatioA4: memory for a number, after the whole world was asked for, and exactness: every answer compared, half of
// the probes neighbours of registered numbers (goal 45 bits at 300M, no error).
func BenchmarkRatioA4Memory(b *testing.B) {
	w := benchWorld(b)
	p := w.store.current.Load()
	probes := min(5*len(w.numbers), 10_000_000)
	r := rand.New(rand.NewPCG(7, 8))
	for range probes / 2 {
		n := w.numbers[r.IntN(len(w.numbers))]
		if got := p.look(n); got.Preference != preferenceOf(n) || !got.Scrubbed {
			b.Fatalf("a registered number has %v", got)
		}
		n += Number(r.IntN(2)*2 - 1)
		if _, listed := slices.BinarySearch(w.numbers, n); n < Numbers && !listed && p.look(n).Preference != None {
			b.Fatal("a number beside a registered one has a preference")
		}
	}
	for b.Loop() { // nothing to repeat: the probes are the work
	}
	escaped := 0
	for _, slot := range p.table {
		if slot != 0 {
			escaped++
		}
	}
	b.ReportMetric(float64(resident(b))*8/float64(len(w.numbers)), "bits/number")
	b.ReportMetric(100*float64(escaped)/float64(len(w.numbers)), "%-escaped")
	b.ReportMetric(float64(probes), "probes-right")
}

// resident is how many bytes of preference files this process holds in memory, by the kernel's account.
func resident(b *testing.B) (bytes int) {
	b.Helper()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	ours := false
	for s := bufio.NewScanner(f); s.Scan(); {
		line := s.Text()
		if head, _, _ := strings.Cut(line, " "); strings.Contains(head, "-") {
			ours = strings.Contains(line, planeName)
		}
		if rest, ok := strings.CutPrefix(line, "Rss:"); ok && ours {
			kb, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				b.Fatal(err)
			}
			bytes += kb << 10
		}
	}
	return bytes
}

// BenchmarkRatioA5: reading an import file, in order and shuffled, all that Import does but the sync; against storing each
// line at once, and against COPY and an index (goals 25 and 45 ns a line, 4 times, 40 times).
func BenchmarkRatioA5Load(b *testing.B) {
	w := benchWorld(b)
	n := min(len(w.numbers), 100_000_000)
	sorted := written(w.numbers[:n])
	mixed := slices.Clone(w.numbers[:n])
	rand.New(rand.NewPCG(9, 10)).Shuffle(n, func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	shuffled := written(mixed)
	copied := fillTable(b, connect(b), mixed[:min(n, 1_000_000)])
	var ordered, ours, direct []float64
	for b.Loop() {
		ordered = append(ordered, loadOnce(b, sorted)/float64(n))
		ours = append(ours, loadOnce(b, shuffled)/float64(n))
		direct = append(direct, loadDirect(b, shuffled)/float64(n))
	}
	b.ReportMetric(median(ordered), "ns/sorted-line")
	b.ReportMetric(median(ours), "ns/shuffled-line")
	b.ReportMetric(median(direct)/median(ours), "x-direct")
	b.ReportMetric(copied/median(ours), "x-copy")
}

func loadOnce(b *testing.B, file io.ReadSeeker) float64 {
	b.Helper()
	f, err := os.CreateTemp(b.TempDir(), "plane")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		b.Fatal(err)
	}
	runtime.GC()
	return processTime(func() {
		if _, err := load(context.Background(), f, benchRun(), newLines(file, nil)); err != nil {
			b.Fatal(err)
		}
	})
}

// loadDirect stores every line where it belongs when it is read.
func loadDirect(b *testing.B, file io.ReadSeeker) float64 {
	b.Helper()
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		b.Fatal(err)
	}
	plane, err := unix.Mmap(-1, 0, planeBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = unix.Munmap(plane) }()
	return processTime(func() {
		l := newLines(file, nil)
		dictionary, err := l.sample()
		if err != nil {
			b.Fatal(err)
		}
		err = l.each(context.Background(), func(n Number, p Preference) {
			code, shift := byte(codeOf(&dictionary, p)), n%2*4
			plane[n/2] = plane[n/2]&^(15<<shift) | code<<shift
		})
		if err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkRatioA6: a change in memory against a look-up (goal 4), opening a file that the kernel has cached, and the
// slowest look-ups in a thousand while files are swapped against those before (goal 3).
func BenchmarkRatioA6Change(b *testing.B) {
	w := benchWorld(b)
	p := w.store.current.Load()
	const n = 1 << 18
	var sets, looks []float64
	for b.Loop() {
		sets = append(sets, threadTime(func() {
			x := 0
			for i := range n {
				q := w.queries[i+x]
				p.set(q, p.look(q).Preference)
				x = int(q) & 1
			}
		}))
		looks = append(looks, threadTime(func() {
			x := 0
			for i := range n {
				x = int(p.look(w.queries[i+x]).Preference) & 1
			}
			sink.Store(uint64(x))
		}))
	}
	b.ReportMetric(median(sets)/n, "ns/change")
	b.ReportMetric(median(sets)/median(looks), "x-look-up")
}

// BenchmarkRatioA6Swap: look-ups while files follow one another.
func BenchmarkRatioA6Swap(b *testing.B) {
	w := benchWorld(b)
	dir := b.TempDir()
	s, err := Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	}()
	if _, err := s.Import(context.Background(), benchRun(), &csv{numbers: w.numbers}, nil); err != nil {
		b.Fatal(err)
	}
	var quiet, swapping []time.Duration
	var openings []float64
	for b.Loop() {
		quiet = append(quiet, timeBatches(s, w.queries, func() bool { return false })...)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 10 {
				start := time.Now()
				s.writes.Lock()
				err := s.swap()
				s.writes.Unlock()
				openings = append(openings, float64(time.Since(start)))
				if err != nil {
					b.Error(err)
				}
			}
		}()
		swapping = append(swapping, timeBatches(s, w.queries, func() bool {
			select {
			case <-done:
				return false
			default:
				return true
			}
		})...)
		<-done
	}
	b.ReportMetric(float64(permille(quiet)), "ns/p99.9-before")
	b.ReportMetric(float64(permille(swapping)), "ns/p99.9-swapping")
	b.ReportMetric(float64(permille(swapping))/float64(permille(quiet)), "x-before")
	b.ReportMetric(median(openings)/1e6, "ms/verified-open")
}

// timeBatches times parcels of look-ups, at least as many as there are queries, and on while more says so.
func timeBatches(s *Store, queries []Number, more func() bool) (times []time.Duration) {
	results := make([]Result, parcel)
	for again := true; again; again = more() {
		for batch := range slices.Chunk(queries[:1<<18], len(results)) {
			times = append(times, time.Duration(threadTime(func() {
				v := s.View()
				v.LookAll(results, batch)
				v.Close()
			})))
		}
	}
	return times
}

func permille(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)*999/1000]
}

// BenchmarkRatioA7: a suppression list against roaring (goal an eighth of its time, 50 bits a number, no false answer). The
// list has 50 million numbers at full scale.
func BenchmarkRatioA7List(b *testing.B) {
	n := min(scale(b), 50_000_000)
	numbers := scattered(n)
	s, err := OpenSet(b.TempDir(), "list")
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	}()
	if _, err := s.Import(context.Background(), benchRun(), &csv{numbers: numbers}, nil); err != nil {
		b.Fatal(err)
	}
	set := roaring.New()
	set.AddMany(plain(numbers))
	set.RunOptimize()
	asked, answers := queries(numbers, 1<<20), make([]bool, parcel)
	v := s.View()
	defer v.Close()
	for _, q := range asked {
		if v.Has(q) != set.Contains(uint32(q)) {
			b.Fatal("the list and roaring disagree")
		}
	}
	var ours, theirs []float64
	for b.Loop() {
		ours = append(ours, threadTime(func() {
			hits := uint64(0)
			for part := range slices.Chunk(asked, parcel) {
				v.HasAll(answers, part)
				if answers[0] {
					hits++
				}
			}
			sink.Store(hits)
		}))
		theirs = append(theirs, threadTime(func() {
			hits := uint64(0)
			for _, q := range asked {
				if set.Contains(uint32(q)) {
					hits++
				}
			}
			sink.Store(hits)
		}))
	}
	one, other := median(ours)/float64(len(asked)), median(theirs)/float64(len(asked))
	b.ReportMetric(one, "ns/look-up")
	b.ReportMetric(other/one, "x-roaring")
	if n >= 45_000_000 { // shorter lists fit the caches
		b.ReportMetric(8, "x-goal")
	}
	b.ReportMetric(float64(len(v.table.data))*8/float64(n), "bits/number")
}
