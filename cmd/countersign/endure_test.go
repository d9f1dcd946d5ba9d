package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestHangupAndGoneReader: SIGHUP is logged with what came of it, and a log that nobody reads any
// more ends nothing: failed writes are counted, callbacks are taken, and the stop is a clean one.
func TestHangupAndGoneReader(t *testing.T) {
	partner := newHook(t, func() int { return http.StatusOK })
	dir, config := house(t, partner.url)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	m := launch(t, config, "", func(c *exec.Cmd) { c.Stderr = w })
	w.Close()
	m.ready()
	if err := m.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 64<<10)
	log := ""
	eventually(t, "the SIGHUP is in the log", func() bool {
		n, _ := r.Read(said)
		log += string(said[:n])
		return strings.Contains(log, `"reloaded"`)
	})
	r.Close()
	m.Process.Signal(syscall.SIGHUP) // something to say, and nobody to say it to
	eventually(t, "a write of the log fails", func() bool {
		_, text := m.control("/metrics")
		return regexp.MustCompile(`(?m)^countersign_log_write_errors_total [1-9]`).MatchString(text)
	})
	m.tell("user-001")
	eventually(t, "the partner is told", func() bool { return partner.told("user-001", "approved") })
	m.stop()
	if _, err := os.Stat(filepath.Join(dir, "data", "countersign.unclean")); err == nil {
		t.Error("the mark of an unclean stop is still there")
	}
}

// TestBlockedReader: a log that is not read holds up nothing, although each callback is a line of
// it and the pipe has long been full.
func TestBlockedReader(t *testing.T) {
	partner := newHook(t, func() int { return http.StatusOK })
	go func() {
		for range partner.seen { // it remembers what it is told, and somebody must read that
		}
	}()
	dir, config := house(t, partner.url)
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "countersign.yaml", string(b)+"log: {level: debug, format: text}\n")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	m := launch(t, config, "", func(c *exec.Cmd) { c.Stderr = w })
	w.Close()
	m.ready()
	s := m.sender("person", &http.Client{Timeout: 10 * time.Second})
	s.more(t, 1000)
	s.end()
	if len(s.refused) > 0 {
		t.Errorf("%d of %d refused: %v", len(s.refused), len(s.refused)+len(s.taken), s.refused[0])
	}
	began := time.Now()
	m.stop()
	t.Logf("1000 callbacks with a log that nobody reads; the slowest was answered after %v, and the stop took %v", s.slowest.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	log, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(log), "callback_accepted"); lines < 100 || lines > 900 {
		t.Errorf("%d callbacks are in what the pipe holds: either they are not logged, or it was never full", lines)
	}
}

// TestSecondSignal: who asks twice does not want to wait, not even for the request that is in
// progress. The file counts as not closed.
func TestSecondSignal(t *testing.T) {
	dir, config := house(t, "http://127.0.0.1:9/")
	m := launch(t, config, "", nil).ready()
	c, err := net.Dial("tcp", m.cfg.Listen.Callbacks)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "POST /v1/callbacks/sumsub-eu HTTP/1.1\r\nHost: gateway\r\nContent-Length: 10\r\n\r\nhalf"); err != nil {
		t.Fatal(err)
	}
	m.tell("user-001") // by now the half one has been read
	ask := func() {
		if err := m.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	ask()
	eventually(t, "it is stopping", func() bool { return strings.Contains(m.log.String(), `"stopping"`) })
	began := time.Now()
	ask()
	m.gone()
	t.Logf("gone %v after the second SIGTERM", time.Since(began).Round(time.Millisecond))
	if code := m.ProcessState.ExitCode(); code != exitNo || time.Since(began) > 3*time.Second || !strings.Contains(m.log.String(), `"stop_forced"`) {
		t.Errorf("%s after %v", m.ProcessState, time.Since(began))
	}
	if _, err := os.Stat(filepath.Join(dir, "data", "countersign.unclean")); err != nil {
		t.Error("the file counts as closed")
	}
	again := launch(t, config, "", nil).ready()
	told := regexp.MustCompile(`"msg":"recovered","last_stop":"unclean","check_took_ms":[0-9.]*[1-9][0-9.]*,"file_bytes":[1-9][0-9]*,"records_to_evaluate":[01],"pending_deliveries":[01]}`) // it may have been folded and even given up by then, or not
	eventually(t, "the next start says that it has checked the file", func() bool { return told.MatchString(again.log.String()) })
	again.stop()
}

// TestOpenFiles: strangers take every connection that callbacks may have, and health and metrics
// answer all the same, a provider that was there before is served, and so is one that comes then,
// and its partner is told.
func TestOpenFiles(t *testing.T) {
	partner := newHook(t, func() int { return http.StatusOK })
	dir, config := house(t, partner.url)
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "countersign.yaml", string(b)+"limits: {bodies: 8MiB, connections_per_address: 10}\n")
	m := launch(t, config, "ulimit -Sn 100; ulimit -Hn 160;", nil).ready()
	early := &http.Client{Timeout: 10 * time.Second}
	if err := give(early, m.callback("user-000")); err != nil {
		t.Fatal(err)
	}
	var strangers []net.Conn
	defer func() {
		for _, c := range strangers {
			c.Close()
		}
	}()
	for i := range 300 { // more than it may have files, of thirty addresses
		from := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i%30))}}
		c, err := from.DialContext(t.Context(), "tcp", m.cfg.Listen.Callbacks)
		if err != nil {
			t.Fatalf("after %d: %v", len(strangers), err)
		}
		strangers = append(strangers, c)
	}
	metric := func(name string) (v float64) {
		_, text := m.control("/metrics")
		if found := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(text); found != nil {
			fmt.Sscan(found[1], &v)
		}
		return v
	}
	most := metric("countersign_ingest_connections_max")
	if most < leastOfThem || most > 160-ownFiles-controlConns {
		t.Errorf("%v connections for callbacks of 160 files", most)
	}
	if bodies := metric("countersign_ingest_body_bytes_max"); bodies != 8<<20 {
		t.Errorf("%v bytes for bodies", bodies)
	}
	eventually(t, "the strangers have every connection", func() bool { return metric("countersign_ingest_connections") == most })
	if status, text := m.control("/healthz"); status != http.StatusOK {
		t.Errorf("/healthz: %d %s", status, text)
	}
	t.Logf("%v files may be open, and %v connections for callbacks; with 300 strangers %v are open and /healthz answers", metric("process_max_fds"), most, metric("process_open_fds"))
	if err := give(early, m.callback("user-001")); err != nil {
		t.Errorf("on the connection that was there before: %v", err)
	}
	eventually(t, "the partner is told", func() bool { return partner.told("user-001", "approved") })
	if err := give(&http.Client{Timeout: 10 * time.Second}, m.callback("user-003")); err != nil {
		t.Errorf("on a new connection: %v", err)
	}
	if now := metric("countersign_ingest_connections"); now > most || now < most-1 {
		t.Errorf("%v of %v connections are open then", now, most)
	}
	for _, c := range strangers {
		c.Close()
	}
	m.tell("user-002")
	if open, all := metric("process_open_fds"), metric("process_max_fds"); all < 159 || all > 160 || open > 150 { // the runtime raises it to one below
		t.Errorf("%v of %v files are open", open, all)
	}
	m.stop()
	few := launch(t, config, "ulimit -n 64;", nil)
	few.gone()
	if few.ProcessState.ExitCode() != exitNo || !strings.Contains(few.log.String(), "LimitNOFILE=") {
		t.Errorf("with 64 files: %s\n%s", few.ProcessState, few.log)
	}
}

// TestNoSecretInTheLog: of a first start whose stderr is a pipe, the log says where the key is, and
// the key is in a file that only the operator can read.
func TestNoSecretInTheLog(t *testing.T) {
	dir, config := house(t, "http://127.0.0.1:9/")
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "countersign.yaml", strings.Replace(string(b), "keys: [file:acme.key], ", "", 1))
	m := launch(t, config, "", nil).ready()
	path := filepath.Join(dir, "data", "endpoint-acme-main.key")
	key, err := os.ReadFile(path)
	if err != nil || !strings.HasPrefix(string(key), "whsec_") {
		t.Fatalf("%q, %v", key, err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", fi.Mode(), err)
	}
	token, err := os.ReadFile(filepath.Join(dir, "data", tokenFile))
	if err != nil {
		t.Fatal(err)
	}
	m.stop()
	if err := os.Remove(path); err != nil { // handed over
		t.Fatal(err)
	}
	again := launch(t, config, "", nil).ready()
	again.stop()
	for _, log := range []string{m.log.String(), again.log.String()} {
		for _, secret := range []string{"whsec_", strings.TrimSpace(string(token)), "cs_"} {
			if strings.Contains(log, secret) {
				t.Errorf("the log holds %.6s…", secret)
			}
		}
	}
	if !strings.Contains(m.log.String(), path) || strings.Contains(again.log.String(), path) {
		t.Error("the first start has to say where the key is, and the second makes none")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the file is there again")
	}
}
