package ingest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox/store"
)

// answeredEarly holds the journal back, sends one callback and says what is wrong: a byte on the
// wire before the journal said yes, or a 200 without its record. It is the checker of I1;
// TestNegativeControl shows that it can find something.
func answeredEarly(d *door, raw string) error {
	gate := make(chan struct{})
	d.held.set(nil, gate)
	opened := sync.OnceFunc(func() { d.held.set(nil, nil); close(gate) })
	defer opened()
	before := len(d.records())
	called := d.held.called()
	c := d.dial()
	io.WriteString(c, raw)
	eventually(d.t, "the journal is asked", func() bool { return d.held.called() > called })
	c.SetReadDeadline(time.Now().Add(glance))
	r := bufio.NewReader(c)
	if early, err := r.Peek(1); len(early) > 0 || errors.Is(err, io.EOF) {
		return fmt.Errorf("answered before the journal did: %q, %w", early, err)
	}
	if n := len(d.records()); n != before {
		return fmt.Errorf("%d records while the journal is held back", n-before)
	}
	opened()
	c.SetReadDeadline(time.Now().Add(patience))
	a, err := read(r)
	if err != nil || a.status != 200 {
		return fmt.Errorf("answered %d, %w", a.status, err)
	}
	if len(d.records()) != before+1 {
		return errors.New("200, and no record")
	}
	return nil
}

// TestAnswerAfterAppend is I1.
func TestAnswerAfterAppend(t *testing.T) {
	d := open(t, func(o *Options) { o.AppendTimeout = 2 * patience })
	for _, raw := range []string{approval(t, "sumsub", "user-1"), genuine(t, "probe", "keep"), approval(t, "rebilly", "user-2")} {
		if err := answeredEarly(d, raw); err != nil {
			t.Error(err)
		}
	}
}

// eager answers before it appends: what must never happen.
type eager struct{ *faulty }

func (e eager) Append(ctx context.Context, rs ...journal.Record) error {
	go e.faulty.Append(context.WithoutCancel(ctx), rs...)
	return nil
}

// TestNegativeControl: the checker of I1 notices a gateway that breaks it.
func TestNegativeControl(t *testing.T) {
	d := open(t, func(o *Options) { o.Journal = eager{o.Journal.(*faulty)} })
	err := answeredEarly(d, approval(t, "sumsub", "user-1"))
	if err == nil || !strings.Contains(err.Error(), "before the journal did") {
		t.Errorf("a gateway that answers before it appends was passed: %v", err)
	}
	eventually(t, "the late append", func() bool { return d.journal.Backlog() == 1 })
}

// occupy keeps the store's one writer busy, as a slow disk does, until the returned function is
// called.
func (d *door) occupy() (release func()) {
	gate, inside := make(chan struct{}), make(chan struct{})
	var once sync.Once
	go d.store.Update(context.Background(), func(*store.Tx) error {
		once.Do(func() { close(inside) })
		<-gate
		return nil
	})
	<-inside
	release = sync.OnceFunc(func() { close(gate) })
	d.t.Cleanup(release)
	return release
}

// TestSlowDisk: a disk that does not answer in time is a 503 within AppendTimeout, the record may
// stand all the same, and it is the record that was sent although the request's memory has served
// others since.
func TestSlowDisk(t *testing.T) {
	const timeout, n = 100 * time.Millisecond, 20
	d := open(t, func(o *Options) { o.AppendTimeout = timeout })
	release := d.occupy()
	for i := range n {
		started := time.Now()
		raw := approval(t, "sumsub", fmt.Sprintf("user-%02d", i))
		if i%2 == 1 {
			raw = genuine(t, "sumsub", fmt.Sprintf("no JSON %02d", i))
		}
		a, took := d.ask(raw), time.Since(started)
		if a.status != 503 || a.header.Get("Retry-After") != "1" || took < timeout || took > timeout+time.Second {
			t.Errorf("%d after %v, want 503 after %v", a.status, took, timeout)
		}
	}
	if d.count("sumsub", undecided) != n || d.journal.Backlog() != 0 {
		t.Errorf("%v undecided and %d records, want %d and 0", d.count("sumsub", undecided), d.journal.Backlog(), n)
	}
	release()
	eventually(t, "the late commit", func() bool { return d.journal.Backlog() == n/2 && d.journal.Quarantined() == n/2 })
	var ids []string
	for i, u := range d.updates() {
		if want := fmt.Sprintf("user-%02d", 2*i); u.Subject.ID != want || u.Status != kyc.Approved {
			t.Errorf("record %d is of %q (%s), want %s", i, u.Subject.ID, u.Status, want)
		}
		ids = append(ids, u.ID)
	}
	items, _, err := d.journal.Items("", 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range items {
		if item, err := d.journal.Unseal(v.ID); err != nil || len(item.Body) != 10 || !strings.HasPrefix(string(item.Body), "no JSON ") {
			t.Errorf("held %q, %v", item.Body, err)
		}
	}
	d.ask(approval(t, "sumsub", "user-00")) // the provider tries again
	if us := d.updates(); us[len(us)-1].ID != ids[0] {
		t.Errorf("the repeated callback has the id %s, want %s", us[len(us)-1].ID, ids[0])
	}
}

// updates are the records of the journal, decoded.
func (d *door) updates() (us []kyc.Update) {
	d.t.Helper()
	for _, r := range d.records() {
		var u kyc.Update
		if err := json.Unmarshal(r.Body, &u); err != nil {
			d.t.Fatalf("record %d: %v", r.Position.Offset, err)
		}
		us = append(us, u)
	}
	return us
}

// TestRealBacklogAndStoppedStore: the two refusals a real journal gives without a fault.
func TestRealBacklogAndStoppedStore(t *testing.T) {
	d := open(t, func(o *Options) { o.AppendTimeout = 200 * time.Millisecond })
	small, err := journal.NewBolt(journal.Options{Store: d.store, Backlog: 2})
	if err != nil {
		t.Fatal(err)
	}
	d.held.Appender = small
	f := func(want int, after string) {
		t.Helper()
		a := d.ask(approval(t, "sumsub", "user-1"))
		if a.status != want || a.header.Get("Retry-After") != after {
			t.Errorf("%d, Retry-After %q; want %d, %q", a.status, a.header.Get("Retry-After"), want, after)
		}
	}
	f(200, "")
	f(200, "")
	f(503, "30")
	if err := small.Passed(t.Context(), journal.Position{Offset: 1}); err != nil {
		t.Fatal(err)
	}
	f(200, "")
	f(503, "30")
	if err := small.Passed(t.Context(), journal.Position{Offset: 3}); err != nil {
		t.Fatal(err)
	}
	if err := d.stopStore(); err != nil {
		t.Fatal(err)
	}
	f(503, "1")
}

// TestStop: while requests are in progress the door stays open, for what comes now too; each answer
// ends its connection; then it closes, and no 200 is without its record.
func TestStop(t *testing.T) {
	d := open(t, func(o *Options) { o.AppendTimeout = patience })
	gate := make(chan struct{})
	d.held.set(nil, gate)
	const n = 50
	answers := make(chan string, n+1)
	post := func(subject string) {
		c := d.dial()
		io.WriteString(c, approval(t, "sumsub", subject))
		go func() {
			r := bufio.NewReader(c)
			a, err := read(r)
			_, closed := r.Peek(1)
			answers <- fmt.Sprint(a.status, err, closed)
		}()
	}
	for i := range n {
		post(fmt.Sprintf("user-%02d", i))
	}
	eventually(t, "all wait for the disk", func() bool { return d.held.called() == n })
	idle := d.dial() // has been answered once, and waits
	io.WriteString(idle, genuine(t, "probe", "ignored"))
	if a, err := read(bufio.NewReader(idle)); err != nil || a.status != 200 {
		t.Fatalf("%+v, %v", a, err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- d.stop() }()
	eventually(t, "the stop has begun", d.draining.Load)
	post("user-late")
	eventually(t, "who comes now is taken too", func() bool { return d.held.called() == n+1 })
	select {
	case err := <-stopped:
		t.Fatalf("stopped while %d callbacks wait: %v", n, err)
	default:
	}
	close(gate)
	for range n + 1 {
		if a := <-answers; a != "200 <nil> EOF" {
			t.Errorf("a callback in progress: %s, want 200, and then the end of the connection", a)
		}
	}
	if err := <-stopped; err != nil {
		t.Errorf("Run = %v", err)
	}
	if _, err := bufio.NewReader(idle).Peek(1); !errors.Is(err, io.EOF) {
		t.Errorf("the idle connection: %v, want it closed", err)
	}
	if c, err := d.redial(); err == nil {
		c.Close()
		t.Error("it can still be called")
	}
	if got := len(d.updates()); got != n+1 {
		t.Errorf("%d records of %d answered 200", got, n+1)
	}
}

// TestStopUnderLoad: whenever it is stopped, every 200 has its record.
func TestStopUnderLoad(t *testing.T) {
	d := open(t)
	var mu sync.Mutex
	var taken []string
	var senders sync.WaitGroup
	for s := range 8 {
		senders.Go(func() {
			for i := 0; ; i++ {
				subject := fmt.Sprintf("user-%d-%d", s, i)
				status, err := d.try(approval(t, "sumsub", subject))
				switch {
				case err != nil || status == 503:
					return
				case status != 200:
					t.Errorf("%s: %d", subject, status)
				default:
					mu.Lock()
					taken = append(taken, subject)
					mu.Unlock()
				}
			}
		})
	}
	eventually(t, "some are taken", func() bool { return d.journal.Backlog() > 100 })
	if err := d.stop(); err != nil {
		t.Errorf("Run = %v", err)
	}
	senders.Wait()
	var kept []string
	for _, u := range d.updates() {
		kept = append(kept, u.Subject.ID)
	}
	slices.Sort(kept)
	for _, subject := range taken {
		if _, found := slices.BinarySearch(kept, subject); !found {
			t.Errorf("%s was answered 200 and is lost", subject)
		}
	}
	if len(taken) < 100 {
		t.Errorf("only %d were taken", len(taken))
	}
}
