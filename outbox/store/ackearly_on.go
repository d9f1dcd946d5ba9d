//go:build fault_ackearly

package store

import "time"

// ackEarly answers before the commit: what must never happen, built only to see the kill tests go
// red.
func ackEarly(group []*op) {
	for _, o := range group {
		if o.done != nil {
			close(o.done)
			o.done = nil
		}
	}
	time.Sleep(20 * time.Millisecond)
}
