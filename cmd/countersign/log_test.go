package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
)

// moody is a reader of the log that refuses for a while, within a line if it can.
type moody struct {
	mu      sync.Mutex // guards the fields below
	refuses bool
	got     bytes.Buffer
}

func (m *moody) Write(b []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuses {
		return m.got.Write(b[:min(len(b), 5)])
	}
	return m.got.Write(b)
}

func (m *moody) refuse(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuses = on
}

func (m *moody) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.got.String()
}

// failing makes short writes errors, as a file on a full disk does.
type failing struct{ *moody }

func (f failing) Write(b []byte) (int, error) {
	n, err := f.moody.Write(b)
	if n < len(b) {
		err = errors.New("no space left on device")
	}
	return n, err
}

func inJSON(w io.Writer) *slog.Logger {
	return LogConfig{Level: "info", Format: formatJSON}.logger(w, false)
}

// written runs a log on w while say speaks, and waits until what it said is with the reader.
func written(t *testing.T, w io.Writer, say func(*logWriter, *slog.Logger)) *logWriter {
	t.Helper()
	l := newLogWriter(w, inJSON)
	log := inJSON(l)
	p := newProcess(log)
	p.start("log", l.run)
	say(l, log)
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	return l
}

// TestLogSurvivesErrors: a write that fails costs its lines, which are counted, and none after it;
// the half line is ended, so that each line can be read.
func TestLogSurvivesErrors(t *testing.T) {
	m := &moody{}
	l := written(t, failing{m}, func(l *logWriter, log *slog.Logger) {
		log.Info("first")
		l.drain()
		m.refuse(true)
		log.Info("second")
		eventually(t, "a write fails", func() bool { return l.failed.Load() > 0 })
		l.drain()
		m.refuse(false)
		log.Info("third")
		eventually(t, "it says what is missing", func() bool { return strings.Contains(m.String(), `"log_lines_missing","lines":1}`) })
	})
	if l.lost.Load() != 1 || l.failed.Load() != 1 {
		t.Errorf("%d lines lost in %d writes, want one in one", l.lost.Load(), l.failed.Load())
	}
	var said []string
	for line := range strings.Lines(m.String()) {
		var e struct{ Msg string }
		if json.Unmarshal([]byte(line), &e) == nil {
			said = append(said, e.Msg)
		} else if len(line) > 6 {
			t.Errorf("no line of its own: %q", line)
		}
	}
	if got := strings.Join(said, " "); got != "first third log_lines_missing" {
		t.Errorf("the log says %s", got)
	}
}

// TestLogNeverWaits: lines beyond what may wait are dropped and counted, whoever writes them does
// not wait, and what does come is whole and says how much does not.
func TestLogNeverWaits(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	const lines = 40_000
	long := strings.Repeat("x", 200)
	read := make(chan string, 1)
	l := written(t, w, func(l *logWriter, log *slog.Logger) {
		for range lines { // some 10 MB: twice what may wait; nobody reads
			log.Info("one of many", "padding", long)
		}
		if l.lost.Load() == 0 {
			t.Error("nothing was dropped")
		}
		go func() {
			b, err := io.ReadAll(r)
			if err != nil {
				b = []byte(err.Error())
			}
			read <- string(b)
		}()
		eventually(t, "it says what is missing", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.missing+l.noted == 0 })
	})
	w.Close()
	got, missing := 0, int64(0)
	for line := range strings.Lines(<-read) {
		var e struct {
			Msg   string
			Lines int64
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %.100q", err, line)
		}
		if e.Msg == "one of many" {
			got++
		}
		missing += e.Lines
	}
	if int64(got)+missing != lines || missing != l.lost.Load() {
		t.Errorf("%d came and %d are said to be missing of %d; %d counted", got, missing, lines, l.lost.Load())
	}
}

// TestLogStops: a reader that hangs for good does not keep the process from ending.
func TestLogStops(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { r.Close(); w.Close() }()
	l := newLogWriter(w, inJSON)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		l.run(ctx)
		close(ended)
	}()
	l.Write(bytes.Repeat([]byte("more than a pipe holds\n"), 10_000))
	cancel()
	<-ended
}

// TestLogForms: text on a terminal and JSON elsewhere, unless the config says so; and no more than
// the level asks for.
func TestLogForms(t *testing.T) {
	f := func(c LogConfig, terminal bool, want string) {
		t.Helper()
		var b bytes.Buffer
		log := c.logger(&b, terminal)
		log.Debug("quiet")
		log.Warn("loud", "n", 1)
		got := b.String()
		switch {
		case want == "" && got != "":
			t.Errorf("%+v, %v: %q, want nothing", c, terminal, got)
		case !strings.Contains(got, want), strings.Contains(got, "quiet") != (c.Level == "debug"):
			t.Errorf("%+v, %v: %q, want %s", c, terminal, got, want)
		}
	}
	const text, js = `level=WARN msg=loud n=1`, `"level":"WARN","msg":"loud","n":1}`
	f(LogConfig{Level: "info", Format: "auto"}, true, text)
	f(LogConfig{Level: "info", Format: "auto"}, false, js)
	f(LogConfig{Level: "info", Format: "text"}, false, text)
	f(LogConfig{Level: "info", Format: "json"}, true, js)
	f(LogConfig{Level: "debug", Format: "json"}, false, js)
	f(LogConfig{Level: "error", Format: "json"}, false, "")
}

// TestLogFinishes: after the last line comes none, whoever still has something to say, and it is on
// its way to the reader.
func TestLogFinishes(t *testing.T) {
	m := &moody{}
	written(t, m, func(l *logWriter, log *slog.Logger) {
		log.Info("first")
		l.finish(func(log *slog.Logger) { log.Error("last") })
		log.Info("after it")
	})
	if got := strings.TrimSpace(m.String()); strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, `"msg":"last"}`) {
		t.Errorf("the log says %s", got)
	}
}
