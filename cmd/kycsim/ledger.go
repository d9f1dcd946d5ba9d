package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
)

// What a line of the provider's ledger tells.
const (
	evSent    = "sent"    // about to go out
	evAcked   = "acked"   // answered 200
	evRefused = "refused" // answered something else, or not at all
	evKilled  = "killed"  // the gateway was killed; only T counts
	evBroker  = "broker"  // a broker was killed, started, paused or let go on; only T counts
)

// firedLine is one line of the provider's ledger.
type firedLine struct {
	T       int64  `json:"t"` // unix nanoseconds
	Ev      string `json:"ev"`
	Source  string `json:"source,omitempty"`
	Subject string `json:"subject,omitempty"`
	N       int    `json:"n"`      // which event of the person, in provider time
	At      int64  `json:"at"`     // provider time, unix milliseconds
	Status  string `json:"status"` // what partners have to be told
	SHA     string `json:"sha,omitempty"`
	Code    int    `json:"code"` // of the answer; 0: none came
}

// receivedLine is one line of the partner's ledger, written before the delivery is answered.
type receivedLine struct {
	T       int64  `json:"t"` // unix nanoseconds
	ID      string `json:"id"`
	Seq     uint64 `json:"seq"`
	Prev    uint64 `json:"prev"`
	Subject string `json:"subject"`
	Status  string `json:"status"`
	Type    string `json:"type"`
	SHA     string `json:"sha"`
	OK      bool   `json:"ok"`     // the signature
	Answer  int    `json:"answer"` // 0: none was given
	Path    string `json:"path"`
}

// flushEvery bounds how old what is missing in the file may be while the ledger is open.
const flushEvery = time.Second

// ledger appends JSON lines. It is buffered: of the processes in a test only the gateway is killed.
// A nil ledger keeps nothing. Safe for concurrent use.
type ledger struct {
	mu      sync.Mutex // guards the fields below
	f       *os.File
	w       *bufio.Writer
	buf     []byte
	flushed time.Time
	err     error
}

func openLedger(path string) (*ledger, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // a nil ledger is one that keeps nothing
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600) //nolint:gosec // the caller names it
	if err != nil {
		return nil, fmt.Errorf("open the ledger: %w", err)
	}
	return &ledger{f: f, w: bufio.NewWriterSize(f, 1<<20), flushed: time.Now()}, nil
}

func (l *ledger) write(appendLine func([]byte) []byte) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(appendLine(l.buf[:0]), '\n')
	_, err := l.w.Write(l.buf)
	if now := time.Now(); err == nil && now.Sub(l.flushed) > flushEvery {
		l.flushed = now
		err = l.w.Flush()
	}
	l.err = errors.Join(l.err, err)
}

func (l *ledger) fired(f *firedLine) { l.write(f.appendTo) }

func (l *ledger) received(r *receivedLine) { l.write(r.appendTo) }

// Close writes out what is buffered and reports the first error of all writes.
func (l *ledger) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := errors.Join(l.err, l.w.Flush(), l.f.Close()); err != nil {
		return fmt.Errorf("write the ledger: %w", err)
	}
	return nil
}

func (f *firedLine) appendTo(b []byte) []byte {
	b = strconv.AppendInt(append(b, `{"t":`...), f.T, 10)
	b = appendString(append(b, `,"ev":`...), f.Ev)
	b = appendString(append(b, `,"source":`...), f.Source)
	b = appendString(append(b, `,"subject":`...), f.Subject)
	b = strconv.AppendInt(append(b, `,"n":`...), int64(f.N), 10)
	b = strconv.AppendInt(append(b, `,"at":`...), f.At, 10)
	b = appendString(append(b, `,"status":`...), f.Status)
	b = appendString(append(b, `,"sha":`...), f.SHA)
	b = strconv.AppendInt(append(b, `,"code":`...), int64(f.Code), 10)
	return append(b, '}')
}

func (r *receivedLine) appendTo(b []byte) []byte {
	b = strconv.AppendInt(append(b, `{"t":`...), r.T, 10)
	b = appendString(append(b, `,"id":`...), r.ID)
	b = strconv.AppendUint(append(b, `,"seq":`...), r.Seq, 10)
	b = strconv.AppendUint(append(b, `,"prev":`...), r.Prev, 10)
	b = appendString(append(b, `,"subject":`...), r.Subject)
	b = appendString(append(b, `,"status":`...), r.Status)
	b = appendString(append(b, `,"type":`...), r.Type)
	b = appendString(append(b, `,"sha":`...), r.SHA)
	b = strconv.AppendBool(append(b, `,"ok":`...), r.OK)
	b = strconv.AppendInt(append(b, `,"answer":`...), int64(r.Answer), 10)
	b = appendString(append(b, `,"path":`...), r.Path)
	return append(b, '}')
}

// appendString writes a JSON string; what needs escaping is rare and left to the library.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			q, err := json.Marshal(s)
			if err != nil {
				return append(b, `""`...)
			}
			return append(b, q...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// digest is the first half of the SHA-256 of a body: enough to see that two differ.
func digest(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:16])
}

// readLedgers calls visit for each line of the files, in order. A last line that was cut off is
// passed over; any other bad line is an error.
func readLedgers[T any](paths []string, visit func(*T)) error {
	for _, path := range paths {
		b, err := os.ReadFile(path) //nolint:gosec // the caller names it
		if err != nil {
			return fmt.Errorf("read the ledger: %w", err)
		}
		for n := 1; len(b) > 0; n++ {
			line, rest, whole := bytes.Cut(b, []byte("\n"))
			if !whole {
				break
			}
			b = rest
			var v T
			if err := json.Unmarshal(line, &v); err != nil {
				return fmt.Errorf("read the ledger: %s:%d: %w", path, n, err)
			}
			visit(&v)
		}
	}
	return nil
}
