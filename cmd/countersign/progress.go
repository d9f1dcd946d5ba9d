package main

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"countersign/outbox/store"
)

// working is a line about work that takes its time, written over itself while somebody watches; to
// a file or a pipe nothing is written.
type working struct {
	c    *console
	what string
	stop chan struct{} // closed to end it; nil: nobody watches
	done sync.WaitGroup

	mu    sync.Mutex // guards the fields below
	said  string     // how far it is; "": nobody knows
	wide  int        // of the longest line so far, in characters
	since time.Time
}

// working begins a line, which shows how long the work takes and, once tell is called, how far it
// is. It is shown from the first second on: what is quick needs none.
func (c *console) working(what string) *working {
	w := &working{c: c, what: what, since: time.Now()}
	if !c.watched {
		return w
	}
	stop := make(chan struct{})
	w.stop = stop
	w.done.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				w.draw()
			case <-stop:
				return
			}
		}
	})
	return w
}

// tell says how far it is.
func (w *working) tell(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = ", " + fmt.Sprintf(format, args...)
}

// percent tells it as a part of all there is.
func (w *working) percent(done, total int64) { w.tell("%d %%", done*100/max(total, 1)) }

// examined tells it of a file that is examined.
func (w *working) examined(p store.Progress) { w.percent(p.Done, p.Total) }

func (w *working) draw() {
	w.mu.Lock()
	defer w.mu.Unlock()
	line := escape(fmt.Sprintf("%s: %d s%s", w.what, int(time.Since(w.since).Seconds()), w.said), "")
	w.wide = max(w.wide, len(line))
	fmt.Fprintf(w.c.bar, "\r%-*s", w.wide, line) //nolint:errcheck // a terminal that is gone is no error of ours
}

// end takes the line away. It may be called again.
func (w *working) end() {
	if w.stop == nil {
		return
	}
	close(w.stop)
	w.stop = nil
	w.done.Wait()
	if w.wide > 0 {
		fmt.Fprintf(w.c.bar, "\r%s\r", strings.Repeat(" ", w.wide)) //nolint:errcheck // as above
	}
}
