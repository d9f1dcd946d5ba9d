package relay

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/kyc/truth"
)

// lives are random people in a relay, and the ledger that the test keeps of them: what was appended
// and when it was folded, as the journal saw it, and what the partner answered, as he saw it. The
// clock moves while nothing is folded, and only then.
type lives struct {
	g       *rig
	r       *rand.Rand
	people  []*person
	byID    map[string]*person
	planned map[time.Time][]kyc.Update
	newest  map[string]int // versions of policies, by partner
	policy  map[string]map[int]kyc.Policy
	whose   map[string]string // of records that carry a ref only
	looked  int               // entries of the ledger that operate has seen

	gate sync.Mutex // held while a batch is folded, and by the test so that none is

	mu      sync.Mutex // guards the fields below
	entries []entered
	tries   map[string][]tried // by webhook-id
}

// entered is a record in the ledger.
type entered struct {
	u                kyc.Update
	offset           int64
	appended, folded time.Time
	newest           int // version of its partner's policy then
}

type tried struct {
	at   time.Time
	code int
}

// person is somebody, and what each of their records says in the words of the definition.
type person struct {
	partner, id string
	words       map[string]truth.Update // by the id of the record
	nameless    map[string]bool         // records that carry a ref only, which an operator gives to the person
	first       int64                   // where the first of those stands in the journal
	bound       bool
	given       int // how often they were given
}

// noting is a journal that tells the ledger what was folded, and when.
type noting struct {
	*journal.Bolt
	w *lives
}

func (j *noting) Tail(ctx context.Context, from journal.Position, fn func(context.Context, []journal.Record) error) error {
	return j.Bolt.Tail(ctx, from, func(ctx context.Context, rs []journal.Record) error {
		j.w.gate.Lock()
		defer j.w.gate.Unlock()
		err := fn(ctx, rs)
		for i := range rs {
			if err == nil && j.w.g.relay.Folded(rs[i].Position) {
				j.w.enter(&rs[i])
			}
		}
		return err
	})
}

func (w *lives) enter(rec *journal.Record) {
	e := entered{offset: w.g.nth(rec.Position), appended: rec.Appended.Truncate(time.Microsecond), folded: w.g.clock.now()}
	if err := json.Unmarshal(rec.Body, &e.u); err != nil {
		w.g.t.Error(err)
	}
	e.newest = w.newest[e.u.Partner]
	w.mu.Lock()
	defer w.mu.Unlock()
	w.entries = append(w.entries, e)
}

// answer is the partner: he refuses some tries, whoever they are about, and notes all of them.
func (w *lives) answer(h hit) reply {
	code := 200
	if sum := sha256.Sum256(fmt.Append(nil, h.id, " ", h.try)); sum[0] < 32 { // never ten in a row, which would open the breaker
		code = 503
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tries[h.id] = append(w.tries[h.id], tried{w.g.clock.now(), code})
	return reply{code: code}
}

// words of the definition, as a provider's.
var spoken = [...]struct {
	status     kyc.Status
	expiryKind kyc.ExpiryKind
}{
	truth.NotStarted: {kyc.NotStarted, ""}, truth.Pending: {kyc.Pending, ""}, truth.Lapsed: {kyc.Expired, kyc.ExpiryAttempt}, truth.Approved: {kyc.Approved, ""},
	truth.Expired: {kyc.Expired, kyc.ExpiryValidity}, truth.InReview: {kyc.InReview, ""}, truth.Rejected: {kyc.Rejected, ""}, truth.RejectedTerminal: {kyc.Rejected, ""}, truth.Suspended: {kyc.Suspended, ""},
}

// record is a word of the definition as a record about somebody. What gives no date of its own ends
// as the policy says.
func (p *person) record(x *truth.Update) kyc.Update {
	own := func(name string) string {
		if name == "" {
			return ""
		}
		return name + "-" + p.id
	}
	u := kyc.Update{
		SchemaVersion: 1, ID: own(x.ID), Kind: kyc.Observation, Source: x.Key.Source, Provider: x.Key.Source, Partner: p.partner, Livemode: true,
		Subject: kyc.Subject{ID: p.id, ProviderRef: own("p-" + x.Key.Source)}, Check: kyc.Check(x.Key.Type), Scope: kyc.Overall, Authenticity: kyc.Signed,
		OccurredAt: x.At, OccurredAtOrigin: kyc.OriginProvider, ReceivedAt: x.Received, Release: x.Lifts, ProviderEvent: kyc.ProviderEvent{Revision: int64(x.Revision)},
		Verification: kyc.Verification{Ref: own(x.Ref), ParentRef: own(x.Session)}, NeedsConfirmation: x.Weak, AskedAt: x.AskedAt,
	}
	if !x.Key.Overall {
		u.Scope, u.Document.Type = kyc.CheckScope, x.Key.Part
	}
	if x.At.IsZero() {
		u.OccurredAtOrigin = kyc.OriginReceived
	}
	if !x.Assumed {
		u.ExpiresAt = x.Expires
	}
	for _, r := range x.Reasons {
		u.Reasons = append(u.Reasons, kyc.ReasonPair{Code: kyc.Reason(r)})
	}
	if x.Weak {
		u.Authenticity = kyc.Network
	}
	switch {
	case x.Operator:
		u.Kind, u.Release = kyc.Decision, x.Status == truth.NotStarted
	case x.Confirms:
		u.Kind = kyc.Confirmation
	case x.Submission:
		u.Kind, u.Subject.ProviderRef, u.Verification = kyc.Submission, own(x.Session), kyc.Verification{}
	}
	if !x.Mute && !x.Submission {
		u.Status, u.ExpiryKind, u.Terminal = spoken[x.Status].status, spoken[x.Status].expiryKind, x.Status == truth.RejectedTerminal
	}
	return u
}

// born makes somebody and plans their life: what is said of them, some of it twice, some of it by
// one callback, and of some a source that knows only its own ref.
func (w *lives) born(i int) {
	p := &person{partner: "globex", id: fmt.Sprintf("p%04d", i), words: map[string]truth.Update{}, nameless: map[string]bool{}}
	if i%5 == 0 {
		p.partner = "acme"
	}
	w.people, w.byID[p.id] = append(w.people, p), p
	h, _ := truth.Random(w.r)
	for i := range h {
		h[i].Taken = time.Time{} // each says here whose it is
	}
	weak, callback := 0, ""
	for j := range h[:min(len(h), 6+w.r.IntN(9))] {
		x := h[j]
		if x.Weak {
			weak++
		}
		if weak > 6 {
			continue
		}
		if x.Submission && x.Session == "" {
			x.Session = "begun"
		}
		u := p.record(&x)
		if u.Kind == kyc.Observation && j > 0 && x.Received.Equal(h[j-1].Received) && callback != "" {
			u.Callback = kyc.Callback{ID: callback, Index: 1, Count: 2}
			callback = ""
		} else if u.Kind == kyc.Observation && j+1 < len(h) && h[j+1].Received.Equal(x.Received) {
			callback = "c-" + u.ID
			u.Callback = kyc.Callback{ID: callback, Index: 0, Count: 2}
		}
		p.words[u.ID] = x
		w.planned[x.Received] = append(w.planned[x.Received], u)
		if again := x.Received.Add(3 * time.Minute); w.r.IntN(12) == 0 {
			u.Callback = kyc.Callback{}
			w.planned[again] = append(w.planned[again], u)
		}
	}
	if i%4 == 0 {
		w.nameless(p, h[0].Received)
	}
}

// nameless plans what a source says that knows only its own ref.
func (w *lives) nameless(p *person, from time.Time) {
	for n := range 1 + w.r.IntN(3) {
		at := from.Add(time.Duration(w.r.IntN(60)) * time.Minute)
		x := truth.Update{
			ID: fmt.Sprint("n", n), Key: truth.Key{Source: "anon", Type: "identity_verification", Overall: true}, Session: "anon", At: at.Add(-time.Minute), Received: at,
			Status: []truth.Status{truth.Approved, truth.InReview, truth.Rejected, truth.Suspended}[w.r.IntN(4)],
		}
		u := p.record(&x)
		u.Partner, u.Subject.ID, u.Provider = "", "", "sumsub" // whose applicants are persons
		p.words[u.ID], p.nameless[u.ID], w.whose[u.ID] = x, true, p.id
		w.planned[at] = append(w.planned[at], u)
	}
}

// TestThen: what a subject was at an instant is what an independent replay of the ledger says, by
// the definition: status and end, what had been received and folded, decided, accepted, and what was
// owed or dead. A thousand people with random lives: several sources, decisions, what time does,
// records that waited and were given to them, and taken back, deliveries that died and were ordered
// again, folds that came late, other policies, restarts and crashes.
func TestThen(t *testing.T) {
	t.Parallel()
	n := 1000
	if raceEnabled || testing.Short() {
		n = 60
	}
	w := &lives{r: rand.New(rand.NewPCG(14, 1)), byID: map[string]*person{}, planned: map[time.Time][]kyc.Update{}, tries: map[string][]tried{}, whose: map[string]string{}}
	w.newest = map[string]int{"acme": 1, "globex": 1, "": 0}
	for i := range n {
		w.born(i)
	}
	p := newPartner(t, w.answer)
	acme := Partner{ID: "acme", Endpoints: []Endpoint{p.endpoint("a", only("kyc.status.*"), attempts(2))}, Policy: kyc.Policy{Required: []kyc.Check{kyc.IdentityVerification}, ValidityMonths: 1}}
	globex := Partner{ID: "globex", Policy: kyc.Policy{Required: []kyc.Check{kyc.IdentityVerification, kyc.Screening}, ValidityMonths: 2}}
	w.policy = map[string]map[int]kyc.Policy{"acme": {1: acme.Policy}, "globex": {1: globex.Policy}}
	steps := w.steps()
	g := newRig(t, acme, globex)
	w.g = g
	g.clock.set(steps[0].Add(-time.Hour))
	g.alarm = g.clock.alarm
	g.wrap = func(b *journal.Bolt) readAndWritten { return &noting{b, w} }
	g.close()
	g.open()
	g.run()
	held := false
	for i, at := range steps {
		if !held {
			w.gate.Lock()
		}
		g.clock.set(at)
		w.say(at)
		if held = w.r.IntN(4) == 0 && i+1 < len(steps); held {
			w.operate(false)
			continue // nothing of this is folded before the next instant
		}
		w.gate.Unlock()
		g.wake()
		w.quiet()
		w.operate(true)
		w.quiet()
		w.happens(i, len(steps))
	}
	w.quiet()
	began := time.Now()
	w.judge(steps)
	t.Log(time.Since(began), "to judge")
}

// steps are the instants at which something is said, and some long after.
func (w *lives) steps() (all []time.Time) {
	for at := range w.planned {
		all = append(all, at)
	}
	slices.SortFunc(all, time.Time.Compare)
	last := all[len(all)-1]
	for _, later := range []time.Duration{time.Hour, 3 * time.Hour, 12 * time.Hour, 22 * 24 * time.Hour, 24 * 24 * time.Hour, 33 * 24 * time.Hour, 55 * 24 * time.Hour, 63 * 24 * time.Hour} {
		all = append(all, last.Add(later))
	}
	return all
}

// say appends what is planned for an instant, what one callback brought in one append.
func (w *lives) say(at time.Time) {
	us := w.planned[at]
	for len(us) > 0 {
		n := min(len(us), 1+w.r.IntN(60))
		for n < len(us) && us[n].Callback.ID != "" && us[n].Callback.ID == us[n-1].Callback.ID {
			n++
		}
		w.g.tell(us[:n]...)
		us = us[n:]
	}
}

// quiet waits until everything is folded and in the ledger, and nothing is due.
func (w *lives) quiet() {
	unfolded := func() int64 {
		n, _ := w.g.journal.Waiting(w.g.relay.Position())
		return n
	}
	eventually(w.g.t, "nothing happens any more", func() bool {
		return unfolded() == 0 && !w.g.due() && w.g.outbox.OldestDue("a").IsZero() && unfolded() == 0
	})
	w.gate.Lock() // the position moves before the ledger is written
	w.mu.Lock()
	w.g.appended = w.g.position()
	w.mu.Unlock()
	w.gate.Unlock()
}

// operate is what operators do: records are given to people and taken back, deliveries ordered
// again. While nothing is folded nothing can be taken back, which is waited for.
func (w *lives) operate(folding bool) {
	first := map[string]int64{}
	w.mu.Lock()
	for _, e := range w.entries[w.looked:] {
		if id := w.whose[e.u.ID]; id != "" && first[id] == 0 {
			first[id] = e.offset
		}
	}
	w.looked = len(w.entries)
	w.mu.Unlock()
	for _, p := range w.people {
		if p.first == 0 {
			p.first = first[p.id]
		}
		switch {
		case p.first == 0:
		case !p.bound && w.r.IntN(30) == 0:
			if err := w.g.relay.ReleaseUnrouted(w.g.t.Context(), unroutedID(w.g.at(p.first)), p.partner, p.id, "ops"); err != nil {
				w.g.t.Fatal(err)
			}
			p.bound = true
			p.given++
			w.g.appended++
		case folding && p.bound && w.r.IntN(80) == 0:
			w.quiet()
			if _, err := w.g.relay.TakeBack(w.g.t.Context(), unroutedID(w.g.at(p.first)), "not theirs", "ops"); err != nil {
				w.g.t.Fatal(p.id, err)
			}
			p.bound = false
		}
	}
	for i, d := range w.g.dead("a") {
		if !d.At.Before(w.g.clock.now()) {
			continue // by this clock it would end again in the same microsecond
		}
		if w.r.IntN(10) == 0 && i < 20 && w.g.relay.Redeliver(w.g.t.Context(), d.ID, w.r.IntN(2) == 0, "ops") == nil {
			w.g.appended++
		}
	}
}

// happens is what befalls the gateway now and then.
func (w *lives) happens(i, n int) {
	switch i {
	case n / 4:
		w.g.restart()
	case n / 3:
		w.g.crash()
	case n / 2:
		w.g.close()
		w.g.partners[0].Policy = kyc.Policy{Required: []kyc.Check{kyc.IdentityVerification}, ValidityMonths: 2}
		w.g.partners[1].Policy = kyc.Policy{Required: []kyc.Check{kyc.IdentityVerification}, ValidityMonths: 1}
		w.newest["acme"], w.newest["globex"] = 2, 2
		w.policy["acme"][2], w.policy["globex"][2] = w.g.partners[0].Policy, w.g.partners[1].Policy
		w.g.open()
		w.g.run()
		eventually(w.g.t, "the policies are registered", func() bool { return w.g.registry.Read().NewestPolicy("globex") == 2 })
		if _, err := w.g.relay.ApplyPolicy(w.g.t.Context(), "globex", "ops"); err != nil { // those of acme keep theirs
			w.g.t.Fatal(err)
		}
		w.quiet()
	case 3 * n / 4:
		w.g.restart()
	}
}
