package main

import (
	"bufio"
	"context"
	"io"
	"sync"
	"time"
)

// flushEvery is how long a log line may wait to share a write with others.
const flushEvery = 100 * time.Millisecond

// logWriter gathers log lines: a busy gateway writes one for every delivery, and a system call for each would cost as much as the line.
type logWriter struct {
	mu sync.Mutex // guards w
	w  *bufio.Writer
}

func newLogWriter(w io.Writer) *logWriter { return &logWriter{w: bufio.NewWriterSize(w, 64<<10)} }

// Write implements io.Writer.
func (l *logWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

func (l *logWriter) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.w.Flush() //nolint:errcheck,gosec // where would we say so
}

// run flushes until ctx ends, and then once more.
func (l *logWriter) run(ctx context.Context) error {
	defer l.flush()
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.flush()
		case <-ctx.Done():
			return nil
		}
	}
}
