package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"countersign/outbox/store"
	"countersign/relay/control"
)

// TestWaiting: while a file is read, which takes long if it is large, the gateway says how far it
// is; a stop is a stop; and then it serves.
func TestWaiting(t *testing.T) {
	_, config := house(t, "http://127.0.0.1:9/hook")
	cfg, problems := loadConfig(config, func(string) (string, bool) { return "", false }, knownNames())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	newGatewayNow := func(ctx context.Context, examiner store.Examiner) (*gateway, error) {
		return openGateway(cfg, roleAll, outside{ctx: ctx, log: slog.New(slog.DiscardHandler), terminal: io.Discard, examiner: examiner})
	}
	ask := func(path string, code int, want string) {
		t.Helper()
		resp, err := http.Get("http://" + cfg.Listen.Control + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != code || !strings.Contains(string(b), want) {
			t.Errorf("%s: %d %.200s, %v; want %d, %q", path, resp.StatusCode, b, err, code, want)
		}
	}
	in, out := make(chan struct{}), make(chan struct{})
	slow := func(ctx context.Context, path, to string, tick func(store.Progress)) (store.Report, error) {
		tick(store.Progress{Step: store.StepCheck, Done: 437, Total: 1000})
		close(in)
		select {
		case <-out:
			return examineApart(ctx, path, to, tick)
		case <-ctx.Done():
			return store.Report{}, ctx.Err()
		}
	}
	type opened struct {
		g   *gateway
		err error
	}
	open := func(ctx context.Context) chan opened {
		c := make(chan opened, 1)
		go func() {
			g, err := newGatewayNow(ctx, slow)
			c <- opened{g, err}
		}()
		return c
	}
	ctx, cancel := context.WithCancel(t.Context())
	c := open(ctx)
	<-in
	ask("/healthz", 200, "ok")
	ask("/readyz", 503, "checking the file, 43 %")
	ask("/metrics", 200, "go_goroutines")
	ask("/v1/audit", 503, "checking the file, 43 %")
	cancel()
	if o := <-c; !errors.Is(o.err, context.Canceled) {
		t.Fatalf("stopped meanwhile: %v", o.err)
	}
	in = make(chan struct{})
	c = open(t.Context())
	<-in
	ask("/readyz", 503, "checking the file, 43 %")
	close(out)
	o := <-c
	if o.err != nil {
		t.Fatal(o.err)
	}
	ask("/readyz", 200, "ready")
	ask("/v1/audit", 401, "")
	if err := o.g.close(); err != nil {
		t.Error(err)
	}
}

// TestWaitingAnswersWhoIsIn: whoever is let in just before the gateway takes the listener over, and
// asks just after, is answered; whoever comes meanwhile waits for the gateway.
func TestWaitingAnswersWhoIsIn(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	g := &gateway{control: ln}
	w := &waiting{g: g, ended: make(chan error, 1), ln: &lent{Listener: ln}}
	w.door = control.NewDoor(control.DoorOptions{Listener: w.ln, Logger: slog.New(slog.DiscardHandler)})
	let := make(chan struct{}, 1)
	w.server = w.door.Server(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "waiting") }))
	w.server.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			let <- struct{}{}
		}
	}
	server := w.server
	go func() { w.ended <- server.Serve(w.door) }()
	call := func(c net.Conn) string {
		t.Helper()
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	in := dial()
	<-let
	over := make(chan error, 1)
	go func() { over <- w.end() }()
	eventually(t, "the door lets nobody in", func() bool { return w.ln.ended.Load() })
	time.Sleep(50 * time.Millisecond) // the wrong end has begun to shut down by now
	later := dial()
	if text := call(in); text != "waiting" {
		t.Errorf("who was in is answered %q", text)
	}
	if err := <-over; err != nil {
		t.Fatal(err)
	}
	next := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "serving") })}
	go next.Serve(ln)
	defer next.Close()
	if text := call(later); text != "serving" {
		t.Errorf("who came meanwhile is answered %q", text)
	}
}
