package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/ingest/provider"
)

// book is a log that may be read while it is written.
type book struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// machine is a gateway in a process of its own: this test binary, which is the program when it is
// told to be.
type machine struct {
	*exec.Cmd
	t     *testing.T
	cfg   *Config
	log   *book
	ended chan struct{} // closed when the process is gone
}

// launch starts a process. Its stderr goes to the log unless change says otherwise; shell, if it is
// not empty, runs first in the same process.
func launch(t *testing.T, config, shell string, change func(*exec.Cmd)) *machine {
	t.Helper()
	cfg, problems := loadConfig(config, func(string) (string, bool) { return "", false }, knownNames())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	m := &machine{t: t, cfg: cfg, log: &book{}, ended: make(chan struct{})}
	m.Cmd = exec.Command("/bin/sh", "-c", shell+` exec "$0" serve --config "$1"`, os.Args[0], config)
	m.Env = append(os.Environ(), "COUNTERSIGN_BE_MAIN=1")
	m.Stderr = m.log
	if change != nil {
		change(m.Cmd)
	}
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		m.Wait()
		close(m.ended)
	}()
	t.Cleanup(func() {
		m.Process.Kill() // it may be gone already
		<-m.ended
		if t.Failed() {
			t.Logf("the log of process %d:\n%s", m.Process.Pid, m.log)
		}
	})
	return m
}

// control asks the control listener; 0: it does not answer.
func (m *machine) control(path string) (status int, text string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.cfg.Listen.Control+path, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	if token, err := os.ReadFile(filepath.Join(m.cfg.Data, tokenFile)); err == nil {
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	resp, err := fresh().Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(b)
}

// fresh is a client that opens a connection for each request.
func fresh() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
}

func (m *machine) ready() *machine {
	m.t.Helper()
	eventually(m.t, "the gateway is ready", func() bool {
		status, _ := m.control("/readyz")
		return status == http.StatusOK
	})
	return m
}

// stop asks for the end and returns how long that took.
func (m *machine) stop() time.Duration {
	m.t.Helper()
	began := time.Now()
	if err := m.Process.Signal(os.Interrupt); err != nil {
		m.t.Fatal(err)
	}
	m.gone()
	if code := m.ProcessState.ExitCode(); code != exitYes {
		m.t.Errorf("exit %d (%s), want 0", code, m.ProcessState)
	}
	return time.Since(began)
}

func (m *machine) gone() {
	m.t.Helper()
	select {
	case <-m.ended:
	case <-time.After(30 * time.Second):
		m.t.Fatal("the process does not end")
	}
}

// callback is a genuine one about somebody.
func (m *machine) callback(subject string) *http.Request {
	m.t.Helper()
	now := time.Now()
	body, err := provider.Sample("sumsub", "approved", provider.SampleVars{Subject: subject, EventID: "evt-" + subject, At: now})
	if err != nil {
		m.t.Fatal(err)
	}
	i := slices.IndexFunc(m.cfg.Sources, func(s SourceConfig) bool { return s.Name == "sumsub-eu" })
	req, err := newCallback(m.t.Context(), &m.cfg.Sources[i], "http://"+m.cfg.Listen.Callbacks, body, now)
	if err != nil {
		m.t.Fatal(err)
	}
	return req
}

// tell posts a callback and wants a 200.
func (m *machine) tell(subject string) {
	m.t.Helper()
	if err := give(fresh(), m.callback(subject)); err != nil {
		m.t.Fatalf("%s: %v", subject, err)
	}
}

func give(c *http.Client, req *http.Request) error {
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// knows wants everybody of whom a callback was answered 200 to be known.
func (m *machine) knows(subjects []string) {
	m.t.Helper()
	for _, s := range subjects {
		eventually(m.t, s+" is known", func() bool {
			status, _ := m.control("/v1/subjects/acme/" + s)
			return status == http.StatusOK
		})
	}
}

// sender posts callbacks, one after the other, until it is ended.
type sender struct {
	taken   []string // subjects whose callback was answered 200
	refused []error
	longest time.Duration // between two answers of 200
	slowest time.Duration // answer of 200
	good    atomic.Int64
	end     func()
}

func (m *machine) sender(name string, c *http.Client) *sender {
	ctx, cancel := context.WithCancel(m.t.Context())
	s := &sender{}
	done := make(chan struct{})
	s.end = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	m.t.Cleanup(s.end)
	go func() {
		defer close(done)
		last := time.Now()
		for i := 0; ctx.Err() == nil; i++ {
			subject := fmt.Sprintf("%s-%d", name, i)
			began := time.Now()
			if err := give(c, m.callback(subject)); err != nil {
				s.refused = append(s.refused, err)
			} else {
				s.longest, s.slowest = max(s.longest, time.Since(last)), max(s.slowest, time.Since(began))
				s.taken, last = append(s.taken, subject), time.Now()
				s.good.Add(1)
			}
			select {
			case <-time.After(2 * time.Millisecond): // a pause of the sender's: nothing is concluded from it
			case <-ctx.Done():
			}
		}
	}()
	return s
}

// more waits until another n were answered 200.
func (s *sender) more(t *testing.T, n int64) {
	t.Helper()
	want := s.good.Load() + n
	eventually(t, "callbacks are taken", func() bool { return s.good.Load() >= want })
}

// sinkhole is a partner that never answers, until it is opened.
type sinkhole struct {
	url  string
	open atomic.Bool

	mu   sync.Mutex // guards the fields below
	ids  []string
	said map[string][]string // bodies by id
}

func newSinkhole(t *testing.T) *sinkhole {
	t.Helper()
	s := &sinkhole{said: map[string][]string{}}
	release := make(chan struct{})
	h := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		id := r.Header.Get("Webhook-Id")
		s.mu.Lock()
		s.ids = append(s.ids, id)
		s.said[id] = append(s.said[id], string(b))
		s.mu.Unlock()
		if !s.open.Load() {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
	}))
	t.Cleanup(func() { close(release) })
	s.url = h
	return s
}

// heard are the bodies that came with an id.
func (s *sinkhole) heard(id string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.said[id])
}

// first is the first id that came; "": none.
func (s *sinkhole) first() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ids) == 0 {
		return ""
	}
	return s.ids[0]
}
