//go:build fault_ackearly

package store

import "testing"

// The negative control of TestNilMeansWritten: built to answer before the commit, the store must be
// caught at it.
//
//	go test -tags fault_ackearly -run TestAckEarlyIsCaught ./outbox/store/
func TestAckEarlyIsCaught(t *testing.T) {
	s, _ := start(t, Options{MaxSize: 4 << 20})
	if n := missing(t, s, 5, 20); n == 0 {
		t.Error("100 updates were answered before they were written, and nobody noticed")
	}
}
