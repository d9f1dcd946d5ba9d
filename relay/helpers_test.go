package relay

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay/format"
	"countersign/relay/registry"
	"countersign/signing"
)

// The registry's words, as these tests say them.
type (
	Partner  = registry.Partner
	Endpoint = registry.Endpoint
	Key      = registry.Key
	Schedule = registry.Retry
)

const patience = 20 * time.Second // no passing test comes near it

// eventually waits until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %s in vain until %s", patience, what)
		}
	}
}

// clock is real time plus what a test adds to it; or, once it has been set, the time it was set to.
type clock struct {
	ahead atomic.Int64
	still atomic.Pointer[time.Time]

	mu     sync.Mutex // guards alarms
	alarms map[chan time.Time]time.Time
}

func (c *clock) now() time.Time {
	if t := c.still.Load(); t != nil {
		return *t
	}
	return time.Now().Add(time.Duration(c.ahead.Load()))
}

func (c *clock) advance(by time.Duration) { c.ahead.Add(int64(by)) }

// set makes it t, and wakes whoever waits for that.
func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.still.Store(&t)
	for ch, at := range c.alarms {
		if !at.After(t) {
			close(ch)
			delete(c.alarms, ch)
		}
	}
}

// awaited is how many wait for an instant to come.
func (c *clock) awaited() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.alarms)
}

// alarm is Options.Alarm for a clock that is set.
func (c *clock) alarm(at time.Time) (<-chan time.Time, func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := make(chan time.Time)
	if c.alarms == nil {
		c.alarms = map[chan time.Time]time.Time{}
	}
	if c.alarms[ch] = at; !at.After(c.now()) {
		close(ch)
		delete(c.alarms, ch)
	}
	return ch, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.alarms, ch)
	}
}

func mustKey(text string) (k signing.Key)       { k, _ = signing.StandardKey(text); return k }
func formatNamed(name string) (f format.Format) { f, _ = format.ByName(name); return f }

// The keys of endpoints: rotated is the older one.
var (
	mainKey    = mustKey("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
	rotatedKey = mustKey("whsec_YWJjZGVmZ2hpamFiY2RlZmdoaWphYmNkZWZnaGlqYWI=")
	standard   = formatNamed("standard")
	blendfi    = formatNamed("blendfi")
	blendfiV1  = formatNamed("blendfi-v1")
)

// personRefs as the adapters declare them.
var personRefs = map[string][]RefKind{
	"sumsub": {SubjectRef, SessionRef}, "persona": {SubjectRef, SessionRef}, "rebilly": {SubjectRef, SessionRef, ParentRef},
}

// logBook keeps what was logged.
type logBook struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBook) has(text string) bool { return l.count(text) > 0 }

func (l *logBook) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

// record is an update as ingest writes it.
func (g *rig) record(u kyc.Update) journal.Record {
	g.t.Helper()
	body, err := json.Marshal(u)
	if err != nil {
		g.t.Fatal(err)
	}
	return journal.Record{Kind: u.Kind, Appended: g.clock.now(), Body: body}
}

// tell appends updates, all in one append.
func (g *rig) tell(us ...kyc.Update) {
	g.t.Helper()
	rs := make([]journal.Record, len(us))
	for i, u := range us {
		rs[i] = g.record(u)
	}
	g.write(rs...)
}

func (g *rig) write(rs ...journal.Record) {
	g.t.Helper()
	if err := g.journal.Append(context.Background(), rs...); err != nil {
		g.t.Fatal(err)
	}
	g.appended += int64(len(rs))
}

// folded waits until everything appended has been folded.
func (g *rig) folded() {
	g.t.Helper()
	eventually(g.t, fmt.Sprintf("%d records are folded", g.appended), func() bool { return g.position() >= g.appended })
}

// settled waits until everything appended is folded and nothing is owed.
func (g *rig) settled() {
	g.t.Helper()
	g.folded()
	for _, p := range g.partners {
		for _, e := range p.Endpoints {
			eventually(g.t, "nothing is owed to "+e.ID, func() bool { return g.outbox.Owed(e.ID) == 0 })
		}
	}
}

// wake makes every sender, and the keeper of time, look at the clock again.
func (g *rig) wake() {
	g.relay.timers.wake()
	for _, p := range g.partners {
		for _, e := range p.Endpoints {
			g.outbox.Release(outbox.Delivery{Endpoint: e.ID}) // a lease that nobody has: its sender looks again at what is due
		}
	}
}

// after moves the clock and wakes the senders.
func (g *rig) after(d time.Duration) {
	g.clock.advance(d)
	g.wake()
}

func (g *rig) view(partner, id string, livemode bool) SubjectView {
	g.t.Helper()
	v, err := allOf(g.relay, partner, id, livemode, Asked{Limit: 7})
	if err != nil {
		g.t.Fatal(err)
	}
	return v
}

// allOf is a subject with all pages of its history together, the oldest first.
func allOf(r *Relay, partner, id string, livemode bool, a Asked) (all SubjectView, err error) {
	for more := true; more; {
		v, err := r.Subject(partner, id, livemode, a)
		if err != nil {
			return v, err
		}
		if a.Limit > 0 && len(v.Records)+len(v.Deliveries) > a.Limit || v.HasMore != (v.Next != "") {
			return v, fmt.Errorf("a page of %d records and %d deliveries, more: %v, %q", len(v.Records), len(v.Deliveries), v.HasMore, v.Next)
		}
		v.Records, v.Changes, v.Deliveries = append(all.Records, v.Records...), append(all.Changes, v.Changes...), append(all.Deliveries, v.Deliveries...)
		all, more, a.After = v, v.HasMore, v.Next
	}
	slices.Reverse(all.Records)
	slices.Reverse(all.Deliveries)
	slices.SortStableFunc(all.Changes, func(a, b kyc.Change) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return all, nil
}

// dead lists the dead deliveries of an endpoint, the oldest first.
func (g *rig) dead(endpoint string) []outbox.DeadDelivery {
	g.t.Helper()
	ds, more, err := g.outbox.ListDead(func(e string) bool { return endpoint == "" || e == endpoint }, "", 1000)
	if err != nil || more {
		g.t.Fatal(more, err)
	}
	slices.Reverse(ds)
	return ds
}

// redeliver orders one dead delivery and waits until the order is folded.
func (g *rig) redeliver(id string, force bool) error {
	g.t.Helper()
	err := g.relay.Redeliver(context.Background(), id, force, "ops")
	if err == nil {
		g.appended++
		g.folded()
	}
	return err
}

// metric is the value of one series; labels are pairs. -1: there is none.
func (g *rig) metric(name string, labels ...string) float64 {
	g.t.Helper()
	if vs := g.metrics(name, labels...); len(vs) > 0 {
		return vs[0]
	}
	return -1
}

// sum adds up every series that has these labels.
func (g *rig) sum(name string, labels ...string) (all float64) {
	g.t.Helper()
	for _, v := range g.metrics(name, labels...) {
		all += v
	}
	return all
}

func (g *rig) metrics(name string, labels ...string) (vs []float64) {
	g.t.Helper()
	families, err := g.reg.Gather()
	if err != nil {
		g.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	next:
		for _, m := range f.GetMetric() {
			have := map[string]string{}
			for _, l := range m.GetLabel() {
				have[l.GetName()] = l.GetValue()
			}
			for i := 0; i < len(labels); i += 2 {
				if have[labels[i]] != labels[i+1] {
					continue next
				}
			}
			vs = append(vs, m.GetCounter().GetValue()+m.GetGauge().GetValue()+float64(m.GetHistogram().GetSampleCount())+float64(m.GetSummary().GetSampleCount()))
		}
	}
	return vs
}

// tamper writes to the file beside the relay.
func (g *rig) tamper(fn func(tx *store.Tx) error) {
	g.t.Helper()
	if err := g.store.Update(context.Background(), fn); err != nil {
		g.t.Fatal(err)
	}
}

// spoil changes a record as a failing disk would: more than one bit, which could be put right.
func spoil(tx *store.Tx, bucket store.Name, key []byte) error {
	body, err := tx.Bucket(bucket).Get(key)
	record := store.NewRecord(body)
	err = errors.Join(err, tx.Bucket(bucket).PutRecord(bytes.Clone(key), record))
	record[0] ^= 0x50
	record[len(record)-1] ^= 1 // the checksum has been made, and the page has not
	return err
}

// count is how many entries a bucket has.
func (g *rig) count(bucket store.Name) (n int) {
	g.t.Helper()
	err := g.store.View(func(tx *store.Tx) error {
		c := tx.Bucket(bucket).Cursor()
		for k, _ := c.First(); k != nil; k, _ = c.Next() {
			n++
		}
		return nil
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return n
}
