package dispatch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay/registry"
	"countersign/relay/send"
)

// book is a log that is read while it is written.
type book struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// settled are the lines of settled attempts: what became of each, and what it says of those before,
// which began to fail after an instant.
func (b *book) settled(t *testing.T, since time.Time) (lines []string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for text := range strings.Lines(b.b.String()) {
		var l struct {
			Msg     string    `json:"msg"`
			Level   string    `json:"level"`
			Outcome string    `json:"outcome"`
			ID      string    `json:"webhook_id"`
			Failed  int       `json:"failed_before"`
			Since   time.Time `json:"failing_since"`
		}
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		if l.Msg != "delivery_attempt" {
			continue
		}
		line := l.Level + " " + l.Outcome
		if l.Failed > 0 {
			line += fmt.Sprintf(" of %s after %d", l.ID, l.Failed)
			if l.Since.Before(since) || l.Since.After(time.Now()) {
				t.Errorf("%s fails since %s", l.ID, l.Since)
			}
		}
		lines = append(lines, line)
	}
	return lines
}

// TestLogOfDeliveries: each failure has a line, and so has the first delivery that the endpoint
// accepts after them, which says how many there were and since when; another that is accepted has
// one only where all are asked for, or where it tells of nobody and has no history.
func TestLogOfDeliveries(t *testing.T) {
	t.Parallel()
	var b book
	var code atomic.Int64
	var since time.Time
	g := newRigOf(t, func(*rig, http.ResponseWriter, *http.Request) {}, func(e *registry.Endpoint) {
		e.Concurrency, e.Retry = 1, registry.Retry{First: time.Hour, Factor: 1, Max: time.Hour, Attempts: 3}
	}, func(o *Options) { o.Logger = slog.New(slog.NewJSONHandler(&b, nil)) })
	g.answered(func(context.Context) send.Answer { return send.Answer{Code: int(code.Load())} })
	g.run()
	var want []string
	tell := func(who string, answer int, lines ...string) {
		t.Helper()
		code.Store(int64(answer))
		want = append(want, lines...)
		done := g.counted("relay_attempt_reasons_total", read(&send.Answer{Code: answer}, nil).reason) + 1
		if who == nobody {
			g.update(func(tx *store.Tx) error {
				return g.outbox.Put(tx, outbox.Delivery{
					Endpoint: "a", Lane: "/b", Sequence: 1, WebhookID: "evt_b", Type: "endpoint.disabled", Format: "standard",
					Owed: g.clock.now(), Received: g.clock.now(), Body: []byte("{}"),
				})
			})
		} else {
			g.owe(who)
		}
		eventually(t, who+" is tried", func() bool {
			return g.counted("relay_attempt_reasons_total", read(&send.Answer{Code: answer}, nil).reason) == done
		})
		eventually(t, "its line is there, or none is", func() bool { return len(b.settled(t, since)) >= len(want) })
		if got := b.settled(t, since); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("after %s, who was answered %d:\n%q, want\n%q", who, answer, got, want)
		}
	}
	tell("ann", 200)
	since = time.Now()
	tell("bob", 500, "WARN retry")
	tell("cid", 404, "WARN retry")
	tell("dan", 200, "INFO done of evt_dan after 2")
	tell("eve", 200)
	g.dispatcher.LogAll(true)
	tell("fay", 200, "INFO done")
	g.dispatcher.LogAll(false)
	tell("gil", 200)
	tell(nobody, 200, "INFO done")
}

// nobody is told of by an operational webhook.
const nobody = "nobody"

// TestLogAfterARestart: what had failed when the gateway stopped counts.
func TestLogAfterARestart(t *testing.T) {
	g := newRig(t, 1)
	since := at(0)
	done := make(chan error, 1)
	g.registry.SetHealth("a", registry.Health{Since: since, Last: since, Failures: 7}, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s := newSender(g.dispatcher, g.dispatcher.senders["a"].endpoint())
	if s.missed != (misses{7, since}) {
		t.Errorf("%+v", s.missed)
	}
}
