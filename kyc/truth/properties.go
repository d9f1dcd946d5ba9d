package truth

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Teller says what a history means to a policy at an instant, where approvals without a date of the
// provider's last that long; 0: for ever.
type Teller func(h History, p Policy, lasts time.Duration, now time.Time) (Status, time.Time)

// Property is what must hold of every history, whoever tells it.
type Property struct {
	Name  string
	Tries int // histories in an ordinary test
	Holds func(r *rand.Rand, tell Teller) error
}

// Properties lists them.
func Properties() []Property {
	every, timed := kind{true, true, true, true}, kind{weak: true}
	return []Property{
		property("arrival does not matter", 3000, timed, arrivalDoesNotMatter),
		property("a repetition changes nothing", 3000, timed, repetitionChangesNothing),
		property("until is exact, and time approves nobody", 3000, every, untilIsExact),
		property("nothing but approvals, decisions and answers approves", 6000, every, nothingElseApproves),
		property("an attempt takes nothing away", 6000, every, anAttemptTakesNothingAway),
		property("the newest negative takes away", 6000, every, newestNegativeTakesAway),
		property("an unsigned word lifts nothing", 6000, every, unsignedLiftsNothing),
		property("an answer ends the claim", 4000, kind{timeless: true, operators: true}, anAnswerEndsTheClaim),
		property("operators can always approve", 4000, every, operatorsCanAlwaysApprove),
		property("a new run is the way out", 6000, kind{timeless: true, confirms: true, weak: true}, aNewRunIsTheWayOut),
		property("a no and its release leave what the release leaves", 4000, every, noAndRelease),
		property("asking for more approves nobody", 4000, every, askingForMoreApprovesNobody),
		property("approved means that nothing stands against it", 15000, every, approvedMeans),
	}
}

// try is a random history, who tells it, and to whom.
type try struct {
	*rand.Rand
	us    []Update
	p     Policy
	lasts time.Duration
	by    Teller
}

func property(name string, tries int, k kind, holds func(*try) error) Property {
	return Property{name, tries, func(r *rand.Rand, by Teller) error {
		x := &try{Rand: r, us: wide(r, k), p: widePolicies[r.IntN(len(widePolicies))], by: by}
		if r.IntN(3) > 0 {
			x.lasts = time.Duration(20+r.IntN(600)) * time.Minute
		}
		if err := holds(x); err != nil {
			return fmt.Errorf("%w\npolicy %v, lasts %v%v", err, x.p, x.lasts, received(x.us))
		}
		return nil
	}}
}

// wide picks few keys out of many, so that they meet.
func wide(r *rand.Rand, k kind) []Update {
	var keys []Key
	for range 1 + r.IntN(4) {
		keys = append(keys, wideKeys[r.IntN(len(wideKeys))])
	}
	var us []Update
	for i := range 1 + r.IntN(14) {
		us = append(us, one(r, i, keys, k))
	}
	return us
}

func (t *try) told(p Policy, now int, us ...Update) (Status, time.Time) {
	return t.by(received(us).lasting(t.lasts), p, t.lasts, at(now))
}

func (t *try) tell(more ...Update) Status {
	st, _ := t.told(t.p, 500, t.with(more...)...)
	return st
}

func (t *try) with(more ...Update) []Update { return append(slices.Clone(t.us), more...) }

func show(x Update) string { return History{x}.String() }

func arrivalDoesNotMatter(t *try) error {
	want, until := t.told(t.p, 500, t.us...)
	for range 3 {
		o := slices.Clone(t.us)
		t.Shuffle(len(o), func(i, j int) { o[i], o[j] = o[j], o[i] })
		if got, end := t.told(t.p, 500, o...); got != want || !end.Equal(until) {
			return fmt.Errorf("%v until %v, then %v until %v: %v", want, until, got, end, received(o))
		}
	}
	return nil
}

// repetitionChangesNothing: the same content again, timed.
func repetitionChangesNothing(t *try) error {
	want, until := t.told(t.p, 500, t.us...)
	e := t.us[t.IntN(len(t.us))]
	was := e.ID
	e.ID = "e"
	if got, end := t.told(t.p, 500, t.with(e)...); got != want || !end.Equal(until) {
		return fmt.Errorf("%v until %v, with %s again %v until %v", want, until, was, got, end)
	}
	return nil
}

// untilIsExact: who is approved is so until exactly the time told; time approves nobody.
func untilIsExact(t *try) error {
	was := Approved
	for now := 150; now < 900; now += 50 {
		st, end := t.told(t.p, now, t.us...)
		switch {
		case st != Approved && !end.IsZero():
			return fmt.Errorf("%v until %v", st, end)
		case st == Approved && was != Approved && now > 150:
			return fmt.Errorf("time approves at %d", now)
		case st == Approved && !end.IsZero():
			before, _ := t.by(received(t.us).lasting(t.lasts), t.p, t.lasts, end.Add(-1))
			then, _ := t.by(received(t.us).lasting(t.lasts), t.p, t.lasts, end)
			if before != Approved || then == Approved {
				return fmt.Errorf("until %v: %v before, %v then", end, before, then)
			}
		case st == Approved:
			if later, _ := t.told(t.p, 1e7, t.us...); later != Approved {
				return fmt.Errorf("approved for ever, then %v", later)
			}
		}
		was = st
	}
	return nil
}

// nothingElseApproves, whenever it is said to have happened: an older attempt, reset or verdict
// that comes late may only show that a run is newer or older than it seemed.
func nothingElseApproves(t *try) error {
	if t.tell() == Approved {
		return nil
	}
	for range 4 {
		e := one(t.Rand, 50, wideKeys, kind{timeless: true, weak: true})
		if e.Status == Approved && !e.Weak {
			continue
		}
		if e.ID = "e"; !e.At.IsZero() {
			e.At = at(120 + t.IntN(9))
		}
		if t.tell(e) == Approved {
			return fmt.Errorf("approved by %s", show(e))
		}
	}
	return nil
}

// anAttemptTakesNothingAway, be it of the same run, a new one or another source; only what a source
// has begun of a type it answers by steps is waited for.
func anAttemptTakesNothingAway(t *try) error {
	if t.tell() != Approved {
		return nil
	}
	for range 4 {
		e := one(t.Rand, 50, wideKeys, kind{timeless: true, weak: true})
		e.ID, e.Status, e.Reasons = "e", []Status{Pending, Lapsed}[t.IntN(2)], nil
		if !e.At.IsZero() {
			e.At = at(t.IntN(200))
		}
		if slices.ContainsFunc(t.us, func(x Update) bool {
			step := x.Key.Type == e.Key.Type && (!x.Key.Overall || !e.Key.Overall)
			return x.Key.Source == e.Key.Source && (step || x.Session == e.Session)
		}) {
			continue // another step of the same source, or its word on all of them; or it may show that the run began earlier than it seemed
		}
		if got := t.tell(e); got != Approved {
			return fmt.Errorf("%v by %s", got, show(e))
		}
	}
	return nil
}

func newestNegativeTakesAway(t *try) error {
	counts := []Key{sumsub, persona, request, screening, aml, {Source: "alloy", Type: "risk_assessment", Overall: true}, {Source: "stripe", Type: "document_verification", Overall: true}}
	e := one(t.Rand, 50, counts, kind{})
	e.ID, e.At, e.Status = "e", at(300), []Status{InReview, Rejected, RejectedTerminal, Suspended}[t.IntN(4)]
	if t.IntN(3) == 0 {
		e.At = time.Time{}
	}
	if e.Status == Rejected && !e.serious() && slices.ContainsFunc(t.us, func(x Update) bool { return x.Key.Source == e.Key.Source && x.Session == e.Session }) {
		return nil // of a run that another has outrun
	}
	k := e
	k.Key = wideKeys[t.IntN(len(wideKeys))]
	k.Reasons = []string{"fraud_suspected", "sanctions_match"}[t.IntN(2):][:1]
	for _, x := range []Update{e, k} {
		if t.tell(x) == Approved {
			return fmt.Errorf("approved after %s", show(x))
		}
	}
	return nil
}

func unsignedLiftsNothing(t *try) error {
	was := t.tell()
	e := one(t.Rand, 50, wideKeys, kind{timeless: true})
	e.ID, e.Weak = "e", true
	if now := t.tell(e); now < was && was >= InReview || now == Approved && was != Approved {
		return fmt.Errorf("%v to %v by %s", was, now, show(e))
	}
	return nil
}

// anAnswerEndsTheClaim: it leaves what is left as if the claim had never been made.
func anAnswerEndsTheClaim(t *try) error {
	e := one(t.Rand, 50, wideKeys, kind{timeless: true})
	e.ID, e.Weak, e.Status = "claim", true, []Status{Approved, Expired, InReview, Rejected, RejectedTerminal, Suspended}[t.IntN(6)]
	c := one(t.Rand, 51, []Key{e.Key}, kind{timeless: true})
	c.ID, c.Session, c.Ref, c.Confirms = "c", e.Session, e.Ref, true
	c.Received, e.Received, c.AskedAt = at(200), at(190), at(195)
	if want, got := t.tell(c), t.tell(e, c); got != want {
		return fmt.Errorf("%v, with %s answered by %s %v", want, show(e), show(c), got)
	}
	c.Ref, c.At = c.Ref+"other", at(300)
	if c.Session != "" && !c.approval() && t.tell(e, c) == Approved && e.class() == claim && t.tell(e) != Approved {
		return fmt.Errorf("%s answered by %s", show(e), show(c))
	}
	return nil
}

// theirs are all keys of a history, and one overall check of each type that the policy requires.
func (t *try) theirs() []Key {
	keys := []Key{sumsub}
	for _, q := range t.p.Required {
		keys = append(keys, Key{Source: "o", Type: q, Overall: true})
	}
	for _, x := range t.us {
		if !slices.Contains(keys, x.Key) {
			keys = append(keys, x.Key)
		}
	}
	return keys
}

// operatorsCanAlwaysApprove, whatever has been said: nobody is stuck for ever.
func operatorsCanAlwaysApprove(t *try) error {
	var ds []Update
	for i, k := range t.theirs() {
		ds = append(ds, decision(k, 250+i, Approved))
	}
	if got := t.tell(ds...); got != Approved {
		return fmt.Errorf("%v although approved by operators", got)
	}
	return nil
}

func decision(k Key, min int, st Status) Update {
	x := Update{ID: fmt.Sprint("d", min), Key: k, At: at(min), Received: at(min), Status: st, Operator: true}
	if st == Approved {
		x.Expires = at(1e6)
	}
	return x
}

// aNewRunIsTheWayOut without operators, approved by those who spoke, unless somebody was suspended,
// hit or refused by an operator.
func aNewRunIsTheWayOut(t *try) error {
	if slices.ContainsFunc(t.us, func(x Update) bool { return x.class() >= ban }) {
		return nil
	}
	var ns []Update
	for i, k := range t.theirs() {
		ns = append(ns, Update{ID: fmt.Sprint("n", i), Key: k, Session: "new", At: at(250), Received: at(251), Status: Approved, Expires: at(1e6)})
	}
	if got := t.tell(ns...); got != Approved {
		return fmt.Errorf("%v although everything was done anew", got)
	}
	return nil
}

// noAndRelease: the no itself takes away whatever stood, and both leave what the release alone
// leaves.
func noAndRelease(t *try) error {
	k := wideKeys[t.IntN(len(wideKeys))]
	no := decision(k, 250, []Status{InReview, Rejected, RejectedTerminal, Suspended}[t.IntN(4)])
	if t.tell(no) == Approved {
		return fmt.Errorf("approved in spite of %s", show(no))
	}
	release := decision(k, 260, NotStarted)
	if want, got := t.tell(release), t.tell(no, release); got != want && slices.ContainsFunc(t.us, func(x Update) bool { return x.Key.Type == k.Type }) {
		return fmt.Errorf("%v, but %v after %s", want, got, show(no))
	}
	e := one(t.Rand, 50, []Key{k}, kind{timeless: true})
	e.ID, e.Received = "e", at(270)
	e.Status, e.Reasons = RejectedTerminal, []string{"pep_match"} // an older word that comes after the approval
	if t.tell(decision(k, 260, Approved), e) == Approved {
		return fmt.Errorf("approved although the operator could not know of %s", show(e))
	}
	return nil
}

func askingForMoreApprovesNobody(t *try) error {
	less := Policy{Required: []string{"identity_verification"}}
	more := Policy{Required: append(slices.Clone(less.Required), []string{"screening", "document_verification", "risk_assessment", "business_verification", "liveness"}[t.IntN(5)])}
	a, _ := t.told(more, 500, t.us...)
	if b, _ := t.told(less, 500, t.us...); a == Approved && b != Approved {
		return fmt.Errorf("approved with %v, not with %v", more, less)
	}
	return nil
}

// approvedMeans says what approved must mean a second time and by itself, of every finding on its
// own.
func approvedMeans(t *try) error {
	if t.tell() != Approved {
		return nil
	}
	for i := range t.us {
		if !t.answered(i) {
			return fmt.Errorf("approved beside %s", show(t.us[i]))
		}
	}
	for _, q := range t.p.Required {
		if !t.any(func(_ int, a Update) bool {
			return a.approval() && a.Key.Type == q && (a.Key.Overall || !whole(q)) && !t.any(func(_ int, x Update) bool {
				gone := !a.Operator && x.Key == a.Key && x.Session == a.Session && !x.Weak && !x.Operator && (x.Status == NotStarted || x.Status == Expired)
				return gone && !a.At.IsZero() && !x.At.IsZero() && x.At.After(a.At)
			})
		}) {
			return fmt.Errorf("approved without %s", q)
		}
	}
	return nil
}

func (t *try) any(fn func(i int, x Update) bool) bool {
	for i := range t.us {
		if fn(i, t.us[i]) {
			return true
		}
	}
	return false
}

// answered reports whether anything is there that may have answered an update, were it a finding.
func (t *try) answered(i int) bool {
	f := t.us[i]
	decided := t.any(func(j int, d Update) bool {
		return d.Operator && j > i && d.Key == f.Key && (d.Status == Approved || d.Status == NotStarted)
	})
	newer := func(a Update) bool { // an approval that may be newer
		return a.approval() && !a.Operator && a.Key == f.Key && (f.At.IsZero() || a.At.IsZero() || a.At.After(f.At) || a.At.Equal(f.At) && a.Revision > f.Revision)
	}
	here := t.any(func(_ int, a Update) bool { return newer(a) })
	run := t.any(func(_ int, a Update) bool { return newer(a) && a.Session == f.Session })
	hit := (f.Status == Rejected || f.Status == RejectedTerminal) && has(&f, hitReasons)
	switch {
	case decided || f.Weak:
		return true
	case f.Operator && f.Status >= InReview, hit:
		return false
	case f.Status == Suspended:
		return run
	default:
		return f.Status < InReview || !f.serious() || here
	}
}
