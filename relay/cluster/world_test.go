package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"countersign/ingest/forward"
	"countersign/ingest/forward/group"
	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay"
)

// world is what all nodes share: the topics of one partition, the group, a partner, a clock and the
// dice. Nothing runs by itself: each step makes one thing happen.
type world struct {
	t        *testing.T
	dice     *rand.Rand
	tick     int // of the clock: a second each
	make     mistake
	partSize int // of checkpoints

	logs   [3]*log
	first  []group.Record // all updates that there ever were: what retention takes, the judge keeps
	mark   group.Watermark
	marked bool
	member int // of the group: who owns the partition

	nodes    []*node
	problems []string // that have been seen

	told    map[string][]arrival // by endpoint and lane
	bodies  map[string]string    // by webhook-id and endpoint
	ordered map[string]int       // by delivery: when it was ordered again
	ended   map[string]int       // by delivery: when it last arrived, or died
	said    map[string][]receipt // by delivery: what the topic has of how it ended
	died    map[string]bool      // deliveries that ever did, to somebody's knowledge
	dead    []outbox.Delivery    // that may be ordered again
	counts
}

type counts struct{ takeovers, cold, warm, rounds, cleared, repeats, zombies, orders, crashes, restored, timers int }

// arrival is a delivery that the partner has accepted.
type arrival struct {
	id       string
	sequence uint64
}

// receipt is one as it stands in its topic.
type receipt struct{ offset, order int64 }

// log is a partition of a topic.
type log struct {
	compacted bool
	start     int64
	records   []group.Record // by offset from start on, but for what compaction took
	end       int64
}

func newWorld(t *testing.T, seed uint64, m mistake) *world {
	t.Helper()
	w := &world{
		t: t, dice: rand.New(rand.NewPCG(seed, 4)), make: m, told: map[string][]arrival{}, bodies: map[string]string{}, ordered: map[string]int{}, ended: map[string]int{}, died: map[string]bool{}, said: map[string][]receipt{},
	}
	w.partSize = 100 + w.dice.IntN(3000)
	for i := range w.logs {
		w.logs[i] = &log{compacted: Topic(i) == Subjects}
	}
	for i := range 3 {
		w.nodes = append(w.nodes, &node{w: w, name: fmt.Sprint("relay-", i)})
	}
	return w
}

var begin = time.Date(2026, 3, 19, 9, 0, 0, 0, time.UTC)

func (w *world) now() time.Time { return begin.Add(time.Duration(w.tick) * time.Second) }

func (w *world) oneIn(n int) bool { return w.dice.IntN(n) == 0 }

// append writes records for good.
func (w *world) append(t Topic, ms ...*forward.Message) {
	l := w.logs[t]
	batch := l.end
	for _, m := range ms {
		r := group.Record{Offset: l.end, Batch: batch, Message: *m}
		l.records = append(l.records, r)
		switch l.end++; t {
		case Updates:
			w.first = append(w.first, r)
		case Receipts:
			var is relay.Receipt
			if err := json.Unmarshal(m.Value, &is); err != nil {
				w.t.Fatal(err)
			}
			d := outbox.Delivery{WebhookID: is.ID, Endpoint: is.Endpoint}
			w.said[d.ID()] = append(w.said[d.ID()], receipt{r.Offset, is.Order})
		default:
		}
	}
}

// compact leaves the last record of each key, and of tombstones none.
func (w *world) compact() {
	l := w.logs[Subjects]
	last := map[string]int64{}
	for i := range l.records {
		last[string(l.records[i].Key)] = l.records[i].Offset
	}
	keep := l.end - int64(w.dice.IntN(6)) // the newest segment is not compacted
	l.records = slices.DeleteFunc(l.records, func(r group.Record) bool {
		return r.Offset < keep && (last[string(r.Key)] != r.Offset || r.Value == nil)
	})
}

// retain is retention, which never passes the watermark here.
func (w *world) retain() {
	for t, upTo := range map[Topic]int64{Updates: w.mark.Updates, Receipts: w.mark.Receipts} {
		l := w.logs[t]
		l.start = max(l.start, upTo)
		l.records = slices.DeleteFunc(l.records, func(r group.Record) bool { return r.Offset < l.start })
	}
}

// port is Topics for whoever was, or is, a member.
type port struct {
	*world
	member int
}

var errLost = errors.New("no answer came")

func (o *port) Bounds(_ context.Context, t Topic) (start, end int64, err error) {
	l := o.logs[t]
	return l.start, l.end, nil
}

func (o *port) Fetch(_ context.Context, t Topic, from int64) (f group.Fetched, err error) {
	l := o.logs[t]
	f.Start, f.End, f.Next = l.start, l.end, from
	if from < l.start {
		return f, &group.LogError{At: from, Start: l.start, End: l.end, Err: group.ErrOvertaken}
	}
	most := 1 + o.dice.IntN(9)
	for i := range l.records {
		r := l.records[i]
		if whole := len(f.Records) > 0 && f.Records[len(f.Records)-1].Batch == r.Batch; r.Offset >= from && (len(f.Records) < most || whole) {
			r.Value = slices.Clone(r.Value)
			f.Records = append(f.Records, r)
			f.Next = r.Offset + 1
		}
	}
	if len(f.Records) < most {
		f.Next = max(from, l.end) // compaction took what there was
	}
	return f, nil
}

// Produce loses an acknowledgement now and then, and sometimes the records.
func (o *port) Produce(_ context.Context, t Topic, ms ...*forward.Message) error {
	lost := o.oneIn(40)
	if lost && o.oneIn(2) {
		return errLost
	}
	o.append(t, ms...)
	if lost {
		return errLost
	}
	return nil
}

func (o *port) Watermark(context.Context) (w group.Watermark, ok bool, err error) {
	return o.mark, o.marked, nil
}

func (o *port) Commit(_ context.Context, w group.Watermark) error {
	if o.member != o.world.member {
		return group.ErrRefused
	}
	lost := o.oneIn(40)
	if lost && o.oneIn(2) {
		return group.ErrUnknown
	}
	o.mark, o.marked = w, true
	if lost {
		return group.ErrUnknown
	}
	return nil
}

// CommitUnfenced is what a mistake commits by.
func (o *port) CommitUnfenced(w group.Watermark) {
	if o.mark.Mark <= w.Mark {
		o.mark, o.marked = w, true
	}
}

// say has somebody say something of somebody.
func (w *world) say() {
	if n := len(w.first); n > 0 && w.oneIn(6) { // a provider that repeats itself
		r := w.first[w.dice.IntN(n)]
		w.append(Updates, &forward.Message{Key: r.Key, Value: r.Value, Headers: r.Headers, Time: w.now()})
		return
	}
	var together []kyc.Update
	for range 1 + w.dice.IntN(3)/2*w.dice.IntN(3) {
		together = append(together, w.something())
	}
	for i := range together {
		together[i].Callback.ID = fmt.Sprint("callback-", len(w.first))
	}
	w.record(together...)
}

// something is what a provider may say of somebody.
func (w *world) something() kyc.Update {
	statuses := []kyc.Status{kyc.InReview, kyc.Approved, kyc.Rejected, kyc.Pending}
	who := fmt.Sprint("user-", w.dice.IntN(5))
	u := kyc.Update{
		SchemaVersion: 1, Kind: kyc.Observation, Source: "sumsub-eu", Provider: "sumsub", Partner: "acme", Livemode: w.dice.IntN(6) > 0,
		Subject: kyc.Subject{ID: who, Kind: kyc.Individual}, Verification: kyc.Verification{Ref: "s-" + who},
		Scope: kyc.Overall, Check: kyc.IdentityVerification, Status: statuses[w.dice.IntN(len(statuses))], Authenticity: kyc.Signed,
		OccurredAt: w.now().Add(-time.Duration(w.dice.IntN(20)) * time.Second), OccurredAtOrigin: kyc.OriginProvider, ReceivedAt: w.now(),
	}
	if w.oneIn(4) {
		u.Check, u.Scope = kyc.Screening, kyc.CheckScope
	}
	if u.Status == kyc.Approved && w.oneIn(2) {
		u.ExpiresAt = w.now().Add(time.Duration(10+w.dice.IntN(60)) * time.Second)
	}
	return u
}

// record appends updates, as an ingest node would, in one batch.
func (w *world) record(us ...kyc.Update) {
	ms := make([]*forward.Message, len(us))
	for i, u := range us {
		u.ID = kyc.UpdateID(u.Source, []string{fmt.Sprintf("%+v %d", u, len(w.first)+i)}, u.Kind, u.Check, u.Scope, "", 0, u.OccurredAt)
		ms[i] = message(&u, w.now(), u.AppendJSON(nil))
	}
	w.append(Updates, ms...)
}

func message(u *kyc.Update, taken time.Time, body []byte) *forward.Message {
	e := forward.Event{ID: u.ID, Type: "kyc.update." + string(u.Kind), Source: u.Source, Subject: forward.SubjectKey(u.Partner, u.Subject.ID), Taken: taken}
	e.Key = e.Subject
	return e.Message(body)
}

// orders appends a relay's own records, as an owner would. Now and then no answer comes.
type orders struct{ *world }

func (o orders) Append(_ context.Context, rs ...journal.Record) error {
	ms := make([]*forward.Message, len(rs))
	for i := range rs {
		var u kyc.Update
		if err := json.Unmarshal(rs[i].Body, &u); err != nil {
			return err
		}
		ms[i] = message(&u, rs[i].Appended, rs[i].Body)
	}
	lost := o.oneIn(10)
	if lost && o.oneIn(2) {
		return errLost
	}
	o.append(Updates, ms...)
	o.timers += len(ms)
	if lost {
		return errLost
	}
	return nil
}

func (o orders) AppendWith(context.Context, func(*store.Tx) error, ...journal.Record) (first journal.Position, err error) {
	return first, errors.New("nobody replays here")
}

// orderAgain has an operator order something again that is dead.
func (w *world) orderAgain() {
	if len(w.dead) == 0 {
		return
	}
	d := w.dead[w.dice.IntN(len(w.dead))]
	u := kyc.Update{SchemaVersion: 1, Kind: kyc.Redelivery, ChangeID: d.WebhookID, Endpoint: d.Endpoint, Force: true, Actor: "ops", ReceivedAt: w.now()}
	u.Partner, u.Subject.ID, u.Livemode = splitLane(d.Lane)
	w.record(u)
	w.ordered[d.ID()] = w.tick
	w.orders++
}
