package kyc

import (
	"math"
	"time"
)

// moment is an instant as the state keeps it: unix nanoseconds. Zero is none.
type moment int64

// lastMoment stands for every instant that nanoseconds cannot count to.
const lastMoment = moment(math.MaxInt64)

func momentOf(t time.Time) moment {
	switch {
	case t.IsZero():
		return 0
	case t.Year() > 2261:
		return lastMoment
	case t.Year() < 1970:
		return 1
	default:
		return moment(max(1, t.UnixNano()))
	}
}

func (m moment) time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(m)).UTC()
}

// sooner compares ends, of which zero is never.
func sooner(a, b moment) bool { return a != 0 && (b == 0 || a < b) }

// maxSkew is the most that clocks can differ by.
const maxSkew = moment(time.Hour)
