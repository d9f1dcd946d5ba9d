package ingest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestWaitsAreShared: callbacks that begin together wait together, each as long as it may and
// hardly longer; one that begins later is not ended with them.
func TestWaitsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 1600 * time.Millisecond
		w := waits{limit: limit}
		var wg sync.WaitGroup
		seen := map[context.Context]bool{}
		for range 60 {
			started, ctx := time.Now(), w.begin()
			seen[ctx] = true
			wg.Go(func() {
				<-ctx.Done()
				if took := time.Since(started); took < limit || took > limit+limit/16 || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
					t.Errorf("waited for %v (%v), want %v", took, ctx.Err(), limit)
				}
			})
			time.Sleep(limit / 64)
		}
		wg.Wait()
		if len(seen) != 15 {
			t.Errorf("%d contexts for 60 callbacks, of which four begin in a sixteenth of the limit", len(seen))
		}
	})
}

// TestDeadlines: a deadline counts from the next read or write, is not moved for a little, never
// comes late, and is outlasted by the word of somebody else that the reading is over.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		socket := &counted{Conn: near}
		l := newListener(nil, nil, nil)
		l.little = time.Second
		c := &conn{Conn: socket, l: l, deadlines: deadlines{little: l.little}}
		c.unbounded()
		started := time.Now()
		ends := func(within time.Duration, what string) {
			t.Helper()
			began := time.Now()
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: %v", what, err)
			}
			if took := time.Since(began); took > within || took < within-c.little {
				t.Errorf("%s: after %v, want %v", what, took, within)
			}
		}
		for range 10 { // as fasthttp does for each request
			c.SetReadDeadline(time.Now().Add(75 * time.Second))
			go io.WriteString(far, "r")
			if _, err := c.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			c.SetReadDeadline(time.Now().Add(10 * time.Second))
			c.SetWriteDeadline(time.Now().Add(10 * time.Second))
			go far.Read(make([]byte, 1))
			if _, err := io.WriteString(c, "a"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if socket.sets != 2 {
			t.Errorf("the socket was told %d deadlines in %v, want one of each sort", socket.sets, time.Since(started))
		}
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		ends(10*time.Second, "an earlier one")
		c.SetReadDeadline(time.Now().Add(75 * time.Second))
		ends(75*time.Second, "a later one")
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		c.wake()
		ends(0, "woken before the deadline is set")
		c.SetReadDeadline(time.Now().Add(50 * time.Second))
		ends(0, "for good")
		c.SetWriteDeadline(time.Now().Add(time.Minute))
		began := time.Now()
		if _, err := io.WriteString(c, strings.Repeat("x", 9)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) > time.Minute {
			t.Errorf("a write that nobody reads: %v after %v", err, time.Since(began))
		}
	})
}

// counted counts the deadlines that a connection is told.
type counted struct {
	net.Conn
	sets int
}

func (c *counted) SetReadDeadline(t time.Time) error {
	c.sets++
	return c.Conn.SetReadDeadline(t)
}

func (c *counted) SetWriteDeadline(t time.Time) error {
	c.sets++
	return c.Conn.SetWriteDeadline(t)
}

// TestTricky: the same paths are refused as by the plain definition.
func TestTricky(t *testing.T) {
	const letters = "/.%a\\"
	paths := []string{""}
	for from := 0; len(paths[from]) < 6; from++ {
		for _, c := range letters {
			paths = append(paths, paths[from]+string(c))
		}
	}
	for _, path := range paths {
		want := strings.ContainsAny(path, "%\\") || strings.Contains(path, "//") || !strings.HasPrefix(path, "/")
		for seg := range strings.SplitSeq(path, "/") {
			want = want || seg == "." || seg == ".."
		}
		if tricky([]byte(path)) != want {
			t.Errorf("tricky(%q) = %v", path, !want)
		}
	}
}
