package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	flushEvery = 100 * time.Millisecond // how long a log line may wait to share a write with others
	manyBytes  = 64 << 10               // so much is written at once, without waiting for more
	maxWaiting = 4 << 20                // bytes of lines that wait for a reader that is slow; more are dropped
	lastWords  = 500 * time.Millisecond // how long a stop waits for a reader that does not read
)

// logWriter gathers log lines and hands them to their reader without ever making anybody wait: a
// busy gateway writes one for every delivery, and whoever reads them may be slow, blocked or gone.
// Lines that find no room, or whose write fails, are counted, and a line says how many are missing
// once it flows again.
type logWriter struct {
	out    io.Writer
	wake   chan struct{} // one token: there is enough to write
	form   func(io.Writer) *slog.Logger
	note   func(missing int64) []byte // the line that says how many are missing; called by pump alone
	failed atomic.Int64               // writes
	lost   atomic.Int64               // lines, for ever

	mu      sync.Mutex // guards the fields below
	waiting []byte
	ended   bool  // the last line is among those waiting, or written
	busy    bool  // a write is under way
	missing int64 // lines lost since the reader was last told
	noted   int64 // how many the note says that is among those waiting
}

// newLogWriter hands lines to w. How a line is written that says how many are missing is up to the
// logger that form makes.
func newLogWriter(w io.Writer, form func(io.Writer) *slog.Logger) *logWriter {
	var b bytes.Buffer
	log := form(&b)
	return &logWriter{out: w, wake: make(chan struct{}, 1), form: form, note: func(missing int64) []byte {
		b.Reset()
		log.Warn("log_lines_missing", "lines", missing)
		return b.Bytes()
	}}
}

// Write takes whole lines, and never fails nor waits for the reader.
func (l *logWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return len(b), nil
	}
	if len(l.waiting)+len(b) > maxWaiting {
		l.lose(b)
		return len(b), nil
	}
	if l.waiting = append(l.waiting, b...); len(l.waiting) >= manyBytes {
		l.nudge()
	}
	return len(b), nil
}

// finish writes the last line: what is still going on, and says something later, is not heard any
// more.
func (l *logWriter) finish(say func(*slog.Logger)) {
	var b bytes.Buffer
	say(l.form(&b))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting, l.ended = append(l.waiting, b.Bytes()...), true
}

// lose counts the lines of b, for whoever holds mu.
func (l *logWriter) lose(b []byte) {
	n := int64(bytes.Count(b, []byte{'\n'}))
	l.missing += n
	l.lost.Add(n)
}

func (l *logWriter) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run hands lines over until ctx ends, and then what is left, as far as the reader takes it within
// lastWords.
func (l *logWriter) run(ctx context.Context) error {
	end := make(chan struct{})
	defer close(end)
	go l.pump(end) // it may hang in a write, which nothing can take back: then it is left behind, with its lines
	<-ctx.Done()
	l.drain()
	return nil
}

func (l *logWriter) pump(end <-chan struct{}) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	var spare []byte
	for torn := false; ; {
		select {
		case <-tick.C:
		case <-l.wake:
		case <-end:
			return
		}
		spare, torn = l.hand(spare, torn)
	}
}

// hand makes one write of what waits. spare is room for lines to come, and torn whether the last
// write broke off within a line.
func (l *logWriter) hand(spare []byte, torn bool) ([]byte, bool) {
	l.mu.Lock()
	lines, noted := l.waiting, l.noted
	l.waiting, l.busy, l.noted = spare[:0], len(lines) > 0, 0
	l.mu.Unlock()
	if len(lines) == 0 {
		return lines, torn
	}
	if torn { // the half line is ended first, so that the next can be read
		lines = append([]byte{'\n'}, lines...)
	}
	n, err := l.out.Write(lines)
	l.settle(lines[n:], noted, err)
	if n > 0 {
		torn = lines[n-1] != '\n'
	}
	return lines[:0], torn
}

// settle notes what came of a write: of lines that are lost, and the note among them, or, if it
// flows again, that the reader has to be told.
func (l *logWriter) settle(rest []byte, noted int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy = false
	if err != nil {
		l.failed.Add(1)
		l.lose(rest)
		l.missing += noted
		return
	}
	if l.missing > 0 { // whatever else waits, there is room for this line
		l.waiting = append(l.waiting, l.note(l.missing)...)
		l.missing, l.noted = 0, l.missing
	}
}

// drain waits until everything is with the reader, but no longer than lastWords.
func (l *logWriter) drain() {
	late := time.NewTimer(lastWords)
	defer late.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		l.mu.Lock()
		done := len(l.waiting) == 0 && !l.busy
		l.mu.Unlock()
		if done {
			return
		}
		l.nudge()
		select {
		case <-tick.C:
		case <-late.C:
			return
		}
	}
}

// collectors are the log's own metrics.
func (l *logWriter) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "log_write_errors_total", Help: "Writes of the log that failed: its reader is gone, or its disk is full.",
		}, func() float64 { return float64(l.failed.Load()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "log_lines_lost_total", Help: "Log lines that were lost, because a write failed or the reader was too slow.",
		}, func() float64 { return float64(l.lost.Load()) }),
	}
}

// The forms of the log.
const (
	formatAuto = "auto"
	formatJSON = "json"
	formatText = "text"
)

// LogConfig says what is logged, and how.
type LogConfig struct {
	Level  string // debug | info | warn | error
	Format string // json | text | auto: text on a terminal, else JSON

	// Deliveries is failures or all: whether each delivery that is accepted has a line, or only each
	// failure, and the first that an endpoint accepts after it.
	Deliveries string
}

// What log.deliveries may be.
const (
	deliveriesFailures = "failures"
	deliveriesAll      = "all"
)

// set makes its level count.
func (c LogConfig) set(level *slog.LevelVar) {
	var l slog.Level // info
	_ = l.UnmarshalText([]byte(c.Level))
	level.Set(l)
}

// logger writes to w, which is a terminal or not, what is at its level.
func (c LogConfig) logger(w io.Writer, terminal bool) *slog.Logger {
	level := new(slog.LevelVar)
	c.set(level)
	return c.loggerAt(w, terminal, level)
}

// loggerAt is logger, at a level that changes.
func (c LogConfig) loggerAt(w io.Writer, terminal bool, level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if c.Format == formatText || c.Format == formatAuto && terminal {
		o.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey { // people know what day it is
				a.Value = slog.StringValue(a.Value.Time().Format("15:04:05.000"))
			}
			return a
		}
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}
