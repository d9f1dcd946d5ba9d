package journal

import (
	"bytes"
	"math"
	"slices"
	"testing"
)

// TestPosition: keys stand in the order of their positions, partition first, and say the position
// again.
func TestPosition(t *testing.T) {
	var all []Position
	for _, partition := range []int32{0, 1, 255, 256, math.MaxInt32} {
		for _, offset := range []int64{0, 1, 255, 256, 1 << 40, math.MaxInt64} {
			all = append(all, Position{partition, offset})
		}
	}
	var last []byte
	for i, p := range all {
		k := p.AppendTo([]byte("r\x00"))
		if got, ok := PositionOf(k[2:]); !ok || got != p || len(k) != 2+PositionSize {
			t.Errorf("%+v reads as %+v, %v, in %d bytes", p, got, ok, len(k))
		}
		if got, ok := PositionOf(append(k[2:], "and more"...)); !ok || got != p {
			t.Errorf("%+v with more after it reads as %+v, %v", p, got, ok)
		}
		if bytes.Compare(last, k) >= 0 {
			t.Errorf("%+v does not stand after %+v", p, all[i-1])
		}
		last = k
	}
	if _, ok := PositionOf(make([]byte, PositionSize-1)); ok {
		t.Error("a short key has a position")
	}
	if !slices.IsSortedFunc(all, Position.Compare) {
		t.Error("Compare has another order than the keys")
	}
}
