package store

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// What the fold and the outbox write for an event, roughly: some records in order of time, some by
// person, and queues that are put in and taken out.
const (
	layoutBuckets = 16
	layoutParts   = 12
	layoutWaiting = 512 // callers
)

type layoutEvent struct {
	part, seq, person uint64
	done              chan struct{}
}

// layoutFile is a file with one writer, which commits together what waits.
type layoutFile struct {
	db    *bolt.DB
	parts uint64 // sets of buckets
	in    chan *layoutEvent
}

func openLayout(b *testing.B, path string, parts uint64) *layoutFile {
	b.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{FreelistType: bolt.FreelistMapType, NoFreelistSync: true, InitialMmapSize: 2 << 30})
	if err != nil {
		b.Fatal(err)
	}
	f := &layoutFile{db, parts, make(chan *layoutEvent, maxGroup)}
	if err := db.Update(func(tx *bolt.Tx) error {
		for i := range parts * layoutBuckets {
			if _, err := tx.CreateBucket(layoutName(i)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	return f
}

func layoutName(i uint64) []byte { return binary.BigEndian.AppendUint16(nil, uint16(i)) }

func (f *layoutFile) write(tx *bolt.Tx, e *layoutEvent, value []byte) error {
	for i := range uint64(layoutBuckets) {
		b := tx.Bucket(layoutName(e.part%f.parts*layoutBuckets + i))
		first, second := e.seq, uint64(0)
		switch {
		case i >= 14: // a queue
			if err := b.Delete(layoutKey(e.seq-1000, 0)); err != nil {
				return err
			}
		case i >= 6:
			first, second = e.person*0x9e3779b97f4a7c15, e.seq*(i/8)
		}
		if err := b.Put(layoutKey(first, second), value); err != nil {
			return err
		}
	}
	return nil
}

func layoutKey(first, second uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, first), second)
}

// run commits until its channel is closed, as Store.Run does when there is a crowd.
func (f *layoutFile) run(b *testing.B, commits *atomic.Int64) {
	b.Helper()
	value := make([]byte, 220)
	for e := range f.in {
		time.Sleep(crowdWait / 2)
		group := []*layoutEvent{e}
		for len(f.in) > 0 && len(group) < maxGroup {
			group = append(group, <-f.in)
		}
		commits.Add(1)
		if err := f.db.Update(func(tx *bolt.Tx) error {
			for _, e := range group {
				if err := f.write(tx, e, value); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			b.Error(err)
		}
		for _, e := range group {
			close(e.done)
		}
	}
}

// BenchmarkLayout is what it costs to keep twelve partitions apart: in one set of buckets (as one
// node does, which has none), in a set of buckets for each, or in a file for each. Files are on the
// disk of the temporary directory: flushes are a part of it.
func BenchmarkLayout(b *testing.B) {
	for _, l := range []struct {
		name         string
		files, parts uint64
	}{{"one", 1, 1}, {"buckets", 1, layoutParts}, {"files", layoutParts, 1}} {
		b.Run(l.name, func(b *testing.B) {
			dir := b.TempDir()
			files := make([]*layoutFile, l.files)
			var commits atomic.Int64
			for i := range files {
				files[i] = openLayout(b, filepath.Join(dir, strconv.Itoa(i)), l.parts)
			}
			var writers, callers sync.WaitGroup
			for _, f := range files {
				writers.Go(func() { f.run(b, &commits) })
			}
			began := used(b)
			b.ResetTimer()
			var seq atomic.Uint64
			for range layoutWaiting {
				callers.Go(func() {
					for n := seq.Add(1); n <= uint64(b.N); n = seq.Add(1) {
						e := &layoutEvent{seq: n, person: rand.Uint64N(100_000), done: make(chan struct{})}
						e.part = e.person % layoutParts
						files[e.part%l.files].in <- e
						<-e.done
					}
				})
			}
			callers.Wait()
			b.StopTimer()
			b.ReportMetric(float64(used(b)-began)/1e3/float64(b.N), "cpu-µs/op")
			b.ReportMetric(float64(b.N)/float64(commits.Load()), "events/commit")
			for _, f := range files {
				close(f.in)
			}
			writers.Wait()
			for _, f := range files {
				if err := f.db.Close(); err != nil {
					b.Error(err)
				}
				_ = os.Remove(f.db.Path())
			}
		})
	}
}

// used is what the process has taken of the processors, in nanoseconds.
func used(b *testing.B) int64 {
	b.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return r.Utime.Nano() + r.Stime.Nano()
}
