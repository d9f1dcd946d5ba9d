package ingest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// failing is a listener whose Accept fails some times, and then, if it says so, for good.
type failing struct {
	net.Listener
	err   error
	times atomic.Int64
	good  error // what ends it
}

func (l *failing) Accept() (net.Conn, error) {
	if l.times.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", l.err)}
	}
	if l.good != nil {
		return nil, l.good
	}
	return l.Listener.Accept()
}

// TestAcceptFails: what passes is waited out, with a line in the log; what does not ends Run with
// an error.
func TestAcceptFails(t *testing.T) {
	for _, err := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, syscall.ENOBUFS} {
		var ln *failing
		d := open(t, func(o *Options) {
			ln = &failing{Listener: o.Listener, err: err}
			ln.times.Store(4)
			o.Listener = ln
		})
		if a := d.ask(approval(t, "sumsub", "user-1")); a.status != 200 {
			t.Errorf("after %v: %d", err, a.status)
		}
		if lines := strings.Count(d.log.String(), `"accept_failed"`); lines != 4 {
			t.Errorf("%v: %d lines in the log, want 4", err, lines)
		}
		if err := d.stop(); err != nil {
			t.Errorf("Run = %v", err)
		}
	}
	broken := errors.New("the network is gone")
	d := open(t, func(o *Options) { o.Listener = &failing{Listener: o.Listener, good: broken} })
	eventually(t, "the ingress stops", d.stopping.Load)
	if err := d.stop(); !errors.Is(err, broken) {
		t.Errorf("Run = %v, want %v", err, broken)
	}
	if _, err := d.redial(); err == nil {
		t.Error("the listener is still open")
	}
}

// TestStopWhileAcceptWaits: neither a full house nor a failing Accept keeps Run from returning.
func TestStopWhileAcceptWaits(t *testing.T) {
	d := open(t, func(o *Options) {
		ln := &failing{Listener: o.Listener, err: syscall.EMFILE}
		ln.times.Store(1 << 40)
		o.Listener = ln
	})
	eventually(t, "it has waited a while", func() bool { return strings.Contains(d.log.String(), `"again_in":40000000`) })
	started := time.Now()
	if err := d.stop(); err != nil || time.Since(started) > time.Second {
		t.Errorf("Run = %v after %v", err, time.Since(started))
	}
	full := open(t, func(o *Options) { o.MaxConns, o.Grace = 1, 50*time.Millisecond })
	full.dial()
	eventually(t, "the only slot is taken", func() bool { return full.server.GetOpenConnectionsCount() == 1 })
	started = time.Now()
	if err := full.stop(); err != nil || time.Since(started) > time.Second {
		t.Errorf("Run = %v after %v", err, time.Since(started))
	}
}

// TestMaxConns: no slot is ever lost; the connection after the last slot takes the place of one on
// which nothing is under way, and waits while there is none such.
func TestMaxConns(t *testing.T) {
	d := open(t, func(o *Options) { o.MaxConns, o.ConnsOfAddress, o.AppendTimeout = 2, 2, time.Minute })
	for range 200 { // many more than there are slots, ended in every way
		c := d.dial()
		io.WriteString(c, request("GET", "/", ""))
		io.Copy(io.Discard, c)
		c.Close()
		c = d.dial()
		c.Close()
		d.ask(genuine(t, "probe", "panic"))
	}
	gate := make(chan struct{})
	d.held.set(nil, gate)
	first, second := d.dial(), d.dial()
	before := d.held.called()
	io.WriteString(first, approval(t, "sumsub", "user-1"))
	io.WriteString(second, approval(t, "sumsub", "user-2"))
	eventually(t, "both are being handled", func() bool { return d.held.called() == before+2 })
	third := d.dial()
	io.WriteString(third, approval(t, "sumsub", "user-3"))
	third.SetReadDeadline(time.Now().Add(glance))
	if _, err := third.Read(make([]byte, 1)); !timedOut(err) {
		t.Errorf("a third connection was served or refused: %v", err)
	}
	close(gate)
	for _, c := range []net.Conn{first, second, third} {
		c.SetReadDeadline(time.Now().Add(patience))
		if a, err := read(bufio.NewReader(c)); err != nil || a.status != 200 {
			t.Errorf("%d, %v; want 200", a.status, err)
		}
		c.Close()
	}
	eventually(t, "all slots are free", func() bool { return d.ln.count() == 0 && d.server.GetOpenConnectionsCount() == 0 })
}

// TestPanics: a panic of ours costs one request and one connection, and is counted.
func TestPanics(t *testing.T) {
	d := open(t)
	f := func(raw string) {
		t.Helper()
		before := d.count("probe", panicked)
		answers, closed := d.send(raw+approval(t, "sumsub", "behind"), false)
		if len(answers) != 1 || answers[0].status != 503 || answers[0].header.Get("Retry-After") != "1" || !closed {
			t.Errorf("%v, closed %v; want one 503, and closed", answers, closed)
		}
		if d.count("probe", panicked) != before+1 {
			t.Error("it is not counted")
		}
		if a := d.ask(approval(t, "sumsub", "user-1")); a.status != 200 {
			t.Errorf("the next callback: %d", a.status)
		}
	}
	f(genuine(t, "probe", "panic"))
	f(genuine(t, "probe", "index"))
	f(genuine(t, "probe", "panic:"+strings.Repeat(" ", 100_000)))
	f(post(pathPrefix+"probe", "panic in verify"))
	f(post(pathPrefix+"probe", "panic in verify"+strings.Repeat(" ", 100_000)))
	d.held.Appender = nil // a nil dereference of the runtime's own
	before := d.count("probe", panicked)
	if a := d.ask(genuine(t, "probe", "keep")); a.status != 503 || d.count("probe", panicked) != before+1 {
		t.Errorf("a journal that panics: %d", a.status)
	}
	if n := d.busy.Load(); n != 0 {
		t.Errorf("%d requests are still counted as busy", n)
	}
	if logged := strings.Count(d.log.String(), `"ingress_panic"`); logged != 6 {
		t.Errorf("%d panics are logged, want 6", logged)
	}
}

// TestGraceEnds: who has not finished sending when the grace ends is cut; after Run nothing is
// appended and no goroutine is left.
func TestGraceEnds(t *testing.T) {
	before := runtime.NumGoroutine()
	warm := open(t) // what fasthttp starts once and for ever
	warm.ask(approval(t, "sumsub", "user-1"))
	warm.stop()
	eventually(t, "the first is gone but for its store", func() bool { return runtime.NumGoroutine() <= before+1 })
	d := open(t, func(o *Options) { o.Grace = 100 * time.Millisecond })
	raw := genuine(t, "sumsub", strings.Repeat("x", 100_000))
	conns := make([]net.Conn, 0, 20)
	for i := range cap(conns) {
		c := d.dial()
		io.WriteString(c, raw[:i*len(raw)/cap(conns)])
		conns = append(conns, c)
	}
	gate := make(chan struct{})
	defer close(gate)
	d.held.set(nil, gate)
	slow := d.dial()
	io.WriteString(slow, approval(t, "sumsub", "user-2"))
	eventually(t, "all are in", func() bool { return d.server.GetOpenConnectionsCount() == 21 && d.held.called() == 1 })
	started := time.Now()
	if err := d.stop(); err != nil {
		t.Errorf("Run = %v", err)
	}
	if took := time.Since(started); took < 100*time.Millisecond || took > d.o.AppendTimeout+time.Second {
		t.Errorf("stopped after %v", took)
	}
	if d.busy.Load() != 0 {
		t.Error("a callback is being handled after Run")
	}
	for i, c := range append(conns, slow) {
		if _, err := io.Copy(io.Discard, c); timedOut(err) {
			t.Errorf("connection %d is still open", i)
		}
	}
	called := d.held.called()
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before+2 })
	if d.held.called() != called || len(d.records()) != 0 {
		t.Error("something was appended after Run")
	}
}

// watched is a listener that knows whether Run has returned.
type watched struct {
	net.Listener
	returned atomic.Bool
	late     *atomic.Int64 // Accepts after that
}

func (l *watched) Accept() (net.Conn, error) {
	if l.returned.Load() {
		l.late.Add(1)
	}
	return l.Listener.Accept()
}

// TestStopBeforeStart: a context that has ended already leaves nothing behind that starts later.
func TestStopBeforeStart(t *testing.T) {
	var late atomic.Int64
	for range 50 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		w := &watched{Listener: ln, late: &late}
		in, err := New(Options{Listener: w, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := in.Run(ended); err != nil {
			t.Fatalf("Run = %v", err)
		}
		w.returned.Store(true)
		if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("the listener: %v, want it closed", err)
		}
		runtime.Gosched()
	}
	if n := late.Load(); n != 0 {
		t.Errorf("%d times Serve was still running after Run", n)
	}
}

// TestEndedAtRest: a stop does not wait for a connection that was answered as it began, and rests.
func TestEndedAtRest(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newListener(ln, func(netip.Addr) bool { return false }, slog.New(slog.DiscardHandler))
	l.bound(10, 10)
	defer l.Close()
	out, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	io.WriteString(out, "P")
	if _, err := in.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	begun := l.begun()
	if len(begun) != 1 || l.ended(begun) {
		t.Fatalf("%d have begun, and whether they have ended: %t", len(begun), l.ended(begun))
	}
	follow(in, fasthttp.StateIdle)
	if !l.ended(begun) {
		t.Error("it rests, and is waited for")
	}
	follow(in, fasthttp.StateActive)
	if l.ended(begun) {
		t.Error("its next request has begun, and is not waited for")
	}
}
