package main

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// latencies counts durations in buckets at most 1.6 % wide, so that millions of them cost no
// memory. Safe for concurrent use.
type latencies struct {
	n      atomic.Int64
	counts [64 * fine]atomic.Int64
}

// fine is how many buckets a power of two is cut into.
const fine = 64

func (l *latencies) add(d time.Duration) {
	l.n.Add(1)
	l.counts[bucketOf(uint64(max(d, 0)))].Add(1)
}

// quantile is the upper end of the bucket in which the q-th part of all durations lies; 0 if there
// are none.
func (l *latencies) quantile(q float64) time.Duration {
	n := l.n.Load()
	if n == 0 {
		return 0
	}
	rank := max(1, int64(q*float64(n)+0.999999))
	for i := range l.counts {
		if rank -= l.counts[i].Load(); rank <= 0 {
			return time.Duration(upperOf(i)) //nolint:gosec // a duration went in
		}
	}
	return 0
}

// bucketOf is exact below 2 × fine; above, the leading bits count.
func bucketOf(v uint64) int {
	shift := max(0, bits.Len64(v)-7)
	return shift*fine + int(v>>shift) //nolint:gosec // below 128
}

func upperOf(i int) uint64 {
	shift := max(0, i/fine-1)
	return (uint64(i-shift*fine)+1)<<shift - 1 //nolint:gosec // i is a bucket
}
