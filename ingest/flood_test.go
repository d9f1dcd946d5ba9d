package ingest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// memory is what the process holds: its heap and stacks, and its anonymous pages.
func memory(t *testing.T) (heap, rss int) {
	t.Helper()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal("the memory of this process is read from /proc: ", err)
	}
	for line := range strings.Lines(string(b)) {
		if n, _ := fmt.Sscanf(line, "RssAnon: %d kB", &rss); n == 1 {
			break
		}
	}
	return int(m.HeapAlloc + m.StackInuse), rss << 10
}

// TestBodyFlood: 500 connections that promise a megabyte and send one byte cost little memory and
// nobody else's time, and are cut.
func TestBodyFlood(t *testing.T) {
	const n, limit, readTimeout = 500, 50 << 20, 1500 * time.Millisecond
	d := open(t, func(o *Options) { o.ReadTimeout = readTimeout })
	d.ask(approval(t, "sumsub", "user-0"))
	heap, rss := memory(t)
	started := time.Now()
	conns := make([]net.Conn, 0, n)
	for range n {
		c := d.dial()
		io.WriteString(c, "POST /v1/callbacks/sumsub HTTP/1.1\r\nHost: h\r\nContent-Length: 1048576\r\n\r\nA")
		conns = append(conns, c)
	}
	eventually(t, "all are being read", func() bool { return d.server.GetOpenConnectionsCount() == n })
	for i := range 20 { // honest traffic, which is also the time in which the flood is read
		asked := time.Now()
		if a := d.ask(approval(t, "sumsub", fmt.Sprintf("user-%d", i))); a.status != 200 || time.Since(asked) > time.Second {
			t.Errorf("an honest callback during the flood: %d after %v", a.status, time.Since(asked))
		}
	}
	if held := d.server.GetOpenConnectionsCount(); held < n {
		t.Fatalf("only %d connections are left to measure after %v", held, time.Since(started))
	}
	heapIn, rssIn := memory(t)
	t.Logf("%d connections hold %d KiB of heap and stacks, %d KiB of pages", n, (heapIn-heap)>>10, (rssIn-rss)>>10)
	if heapIn-heap > limit || !raced && rssIn-rss > limit {
		t.Errorf("%d MiB of heap and stacks, %d MiB of pages; want less than %d", (heapIn-heap)>>20, (rssIn-rss)>>20, limit>>20)
	}
	for _, c := range conns {
		a, err := read(bufio.NewReader(c))
		if err != nil || a.status != 400 {
			t.Fatalf("%d, %v; want 400", a.status, err)
		}
		if _, err := c.Read(make([]byte, 1)); timedOut(err) {
			t.Fatal("the connection stays open")
		}
	}
	if took := time.Since(started); took < readTimeout/2 || took > readTimeout+2*time.Second {
		t.Errorf("the last was cut after %v, want %v", took, readTimeout)
	}
	eventually(t, "all slots are free", func() bool { return d.server.GetOpenConnectionsCount() == 0 })
}

// TestSlowloris: whoever drips is cut at ReadTimeout, wherever in the request it does so; honest
// callbacks go on.
func TestSlowloris(t *testing.T) {
	const readTimeout, drip = 400 * time.Millisecond, 20 * time.Millisecond
	d := open(t, func(o *Options) { o.ReadTimeout = readTimeout })
	var drippers sync.WaitGroup
	f := func(name, first, more string) {
		c := d.dial()
		drippers.Go(func() {
			started := time.Now()
			io.WriteString(c, first)
			cut := make(chan struct{})
			go func() {
				defer close(cut)
				io.Copy(io.Discard, c)
			}()
			tick := time.NewTicker(drip)
			defer tick.Stop()
			for range tick.C {
				if _, err := io.WriteString(c, more); err != nil {
					break
				}
			}
			<-cut
			if took := time.Since(started); took < readTimeout-drip || took > readTimeout+10*time.Second {
				t.Errorf("%s: cut after %v, want %v", name, took, readTimeout)
			}
		})
	}
	f("method", "P", "O")
	f("path", "POST /", "a")
	f("header name", "POST /v1/callbacks/sumsub HTTP/1.1\r\nHost: h\r\n", "X")
	f("headers", "POST /v1/callbacks/sumsub HTTP/1.1\r\nHost: h\r\n", "X: 1\r\n")
	f("small body", "POST /v1/callbacks/sumsub HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\n\r\n", "x")
	f("large body", "POST /v1/callbacks/sumsub HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n\r\n"+strings.Repeat("x", 10_000), "x")
	f("second request", approval(t, "sumsub", "user-1")+"POST / HTTP", "x")
	for i := range 20 {
		if a := d.ask(approval(t, "sumsub", fmt.Sprintf("user-%d", i))); a.status != 200 {
			t.Errorf("an honest callback meanwhile: %d", a.status)
		}
	}
	drippers.Wait()
}

// TestSilence: a connection that says nothing is cut at ReadTimeout, one that has said something
// may stay idle for longer.
func TestSilence(t *testing.T) {
	const readTimeout = 150 * time.Millisecond
	d := open(t, func(o *Options) { o.ReadTimeout = readTimeout })
	if d.server.IdleTimeout != 75*time.Second {
		t.Errorf("idle connections are closed after %v, want 75s", d.server.IdleTimeout)
	}
	silent, started := d.dial(), time.Now()
	io.Copy(io.Discard, silent)
	if took := time.Since(started); took > readTimeout+time.Second {
		t.Errorf("the silent connection was cut after %v, want %v", took, readTimeout)
	}
	c := d.dial()
	r := bufio.NewReader(c)
	for range 2 {
		io.WriteString(c, approval(t, "sumsub", "user-1"))
		if a, err := read(r); err != nil || a.status != 200 {
			t.Fatalf("%d, %v", a.status, err)
		}
		c.SetReadDeadline(time.Now().Add(3 * readTimeout))
		if _, err := r.Peek(1); !timedOut(err) {
			t.Errorf("the idle connection: %v, want it open", err)
		}
		c.SetReadDeadline(time.Now().Add(patience))
	}
	idling := open(t, func(o *Options) { o.IdleTimeout = readTimeout })
	c = idling.dial()
	r = bufio.NewReader(c)
	io.WriteString(c, approval(t, "sumsub", "user-1"))
	if a, err := read(r); err != nil || a.status != 200 {
		t.Fatalf("%d, %v", a.status, err)
	}
	if _, err := r.Peek(1); !errors.Is(err, io.EOF) { // and nothing is written into its end
		t.Errorf("after IdleTimeout: %v, want EOF", err)
	}
}
