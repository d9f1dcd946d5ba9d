package store

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// TestGroupsOnOneCore: on one core, too, those who write at the same time share their commits. Whoever
// comes first wakes the writer, which would else run before the others have come.
func TestGroupsOnOneCore(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	s, _ := start(t, Options{Dir: fastDir(t)})
	const callers, each = 64, 40
	var commits atomic.Int64 // each is seen by the first of its group
	var seen sync.Map
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for n := range each {
				err := s.Update(context.Background(), func(tx *Tx) error {
					if _, known := seen.LoadOrStore(tx, true); !known {
						commits.Add(1)
					}
					return tx.Bucket(Meta).Put(fmt.Appendf(nil, "test %d %d", i, n), []byte("x"))
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := commits.Load(); n > callers*each/8 {
		t.Errorf("%d writes of %d callers took %d commits", callers*each, callers, n)
	}
}
