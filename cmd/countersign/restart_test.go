package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func newServer(t *testing.T, h http.Handler) (url string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	go srv.Serve(ln)
	t.Cleanup(func() { srv.Close() })
	return "http://" + ln.Addr().String() + "/"
}

// TestRestart: with a partner that hangs, a restart refuses callbacks for less than it takes to
// notice, loses none that was answered, and what was under way to the partner goes out again with
// the same id and body. The bounds are far above what is measured: machines that run tests are
// noisy.
func TestRestart(t *testing.T) {
	hangs := newSinkhole(t)
	_, config := house(t, hangs.url)
	first := launch(t, config, "", nil).ready()
	first.tell("user-001")
	eventually(t, "a delivery hangs", func() bool { return hangs.first() != "" })
	id := hangs.first()
	s := first.sender("person", fresh())
	s.more(t, 50)
	stopped := first.stop()
	hangs.open.Store(true)
	second := launch(t, config, "", nil)
	s.more(t, 50)
	s.end()
	t.Logf("stopped in %v with a partner that hangs; %d callbacks taken, %d refused, the longest gap between two 200s %v", stopped.Round(time.Millisecond), len(s.taken),
		len(s.refused), s.longest.Round(time.Millisecond))
	if stopped > 3*time.Second || s.longest > 3*time.Second {
		t.Errorf("stopped in %v, the longest gap %v", stopped, s.longest)
	}
	for _, err := range s.refused {
		if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a callback was not refused at the door, but: %v", err)
		}
	}
	eventually(t, "the delivery is repeated", func() bool { return len(hangs.heard(id)) > 1 })
	if said := hangs.heard(id); said[0] != said[1] {
		t.Errorf("its body was %s, and is %s", said[0], said[1])
	}
	second.ready().knows(s.taken)
	eventually(t, "the log says what was owed", func() bool { return strings.Contains(second.log.String(), `"recovered","last_stop":"clean"`) })
	second.stop()
}

// TestStopOrder: whatever works on what is stored has stopped before the callbacks' listener is
// closed, also a forwarder that a broker keeps waiting; only what callbacks themselves need stops
// after it. A broker that hangs is given its time while callbacks are taken.
func TestStopOrder(t *testing.T) {
	broker, err := net.Listen("tcp", "127.0.0.1:0") // it takes connections, and that is all
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	f := func(ack, more string, parts int, after ...string) {
		t.Helper()
		dir, config := house(t, "http://127.0.0.1:9/")
		b, err := os.ReadFile(config)
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, "countersign.yaml", string(b)+"kafka: {ack: "+ack+", brokers: [\""+broker.Addr().String()+"\"]}\nlog: {level: debug}\n"+more)
		m := launch(t, config, "", nil)
		eventually(t, "everything has started", func() bool { return strings.Contains(m.log.String(), `"ready"`) })
		took := m.stop()
		var order []string
		for _, found := range regexp.MustCompile(`"component_stopped","name":"([^"]+)"`).FindAllStringSubmatch(m.log.String(), -1) {
			order = append(order, found[1])
		}
		t.Logf("ack: %s, stopped in %v: %s", ack, took.Round(time.Millisecond), strings.Join(order, ", "))
		at := slices.Index(order, "ingress")
		if at < 0 || !slices.Equal(order[at+1:], after) || len(order) != parts {
			t.Errorf("ack: %s: %s; want the ingress, and after it only %s", ack, strings.Join(order, ", "), strings.Join(after, ", "))
		}
	}
	f("disk", "", 20, "published keys", "quarantine", "store", "waiting", "signals", "memory")
	f("kafka", "", 20, "published keys", "forward updates", "kafka", "quarantine", "store", "waiting", "signals", "memory")
	f("disk", "tracing: {endpoint: \""+hanging(t)+"\"}\n", 21, "published keys", "quarantine", "traces", "store", "waiting", "signals", "memory")
}

// TestTakenWhileStopping: however long something takes to stop, callbacks are taken until it has,
// and /readyz says what is going on.
func TestTakenWhileStopping(t *testing.T) {
	_, config := house(t, "http://127.0.0.1:9/")
	g := start(t, config)
	m := &machine{t: t, cfg: g.cfg}
	asked, gate := make(chan struct{}), make(chan struct{})
	g.process.start("slow", func(ctx context.Context) error { // as a forwarder whose broker hangs
		<-ctx.Done()
		close(asked)
		<-gate
		return nil
	})
	closed := make(chan error, 1)
	go func() { closed <- g.close() }()
	<-asked
	for i := range 10 {
		m.tell(fmt.Sprint("person-", i))
	}
	if status, text := m.control("/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(text, "stopping") {
		t.Errorf("/readyz: %d %s", status, text)
	}
	close(gate)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if err := give(fresh(), m.callback("late")); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after the stop: %v", err)
	}
	start(t, config)
	var all []string
	for i := range 10 {
		all = append(all, fmt.Sprint("person-", i))
	}
	m.knows(all)
}

// TestSocketsPassed plays systemd: it keeps the listening socket open over two processes, and no
// callback is refused, neither on connections that stay open nor on new ones.
func TestSocketsPassed(t *testing.T) {
	hangs := newSinkhole(t)
	_, config := house(t, hangs.url)
	cfg, problems := loadConfig(config, func(string) (string, bool) { return "", false }, knownNames())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var sockets []*os.File
	for _, addr := range []string{cfg.Listen.Callbacks, cfg.Listen.Control} {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		socket, err := ln.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
		sockets = append(sockets, socket)
	}
	pass := func(names string) *machine {
		t.Helper()
		return launch(t, config, "export LISTEN_PID=$$;", func(c *exec.Cmd) {
			c.ExtraFiles = sockets
			c.Env = append(c.Env, "LISTEN_FDS=2", "LISTEN_FDNAMES="+names)
		})
	}
	m := pass("callbacks:control").ready()
	m.tell("user-001")
	eventually(t, "a delivery hangs", func() bool { return hangs.first() != "" })
	anew, kept := m.sender("anew", fresh()), m.sender("kept", &http.Client{Transport: &http.Transport{}, Timeout: 30 * time.Second})
	for range 3 {
		anew.more(t, 30)
		kept.more(t, 30)
		stopped := m.stop()
		m = pass("callbacks:control")
		t.Logf("stopped in %v", stopped.Round(time.Millisecond))
	}
	anew.more(t, 30)
	kept.more(t, 30)
	anew.end()
	kept.end()
	t.Logf("three restarts: %d callbacks taken, %d refused; the slowest waited %v", len(anew.taken)+len(kept.taken), len(anew.refused)+len(kept.refused),
		max(anew.slowest, kept.slowest).Round(time.Millisecond))
	for _, err := range append(anew.refused, kept.refused...) {
		t.Errorf("refused: %v", err)
	}
	m.ready().knows(append(anew.taken, kept.taken...))
	m.stop()
	for _, names := range []string{"", "countersign.socket", "callbacks", "callbacks:callbacks"} {
		m := pass(names)
		m.gone()
		if m.ProcessState.ExitCode() != exitNo || !strings.Contains(m.log.String(), "FileDescriptorName=callbacks") {
			t.Errorf("a socket called %q: %s\n%s", names, m.ProcessState, m.log)
		}
	}
}
