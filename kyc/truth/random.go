package truth

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Random makes a history of up to 40 records with everything in it: sources, runs, equal times,
// revisions, records without a time, operators, claims and answers, suspensions that are lifted,
// submissions, deadlines, ends. Approvals without a date of the provider's last as long as it says;
// 0: for ever.
func Random(r *rand.Rand) (h History, lasts time.Duration) {
	if r.IntN(3) == 0 {
		h = broad(r)
	} else {
		h = long(r)
	}
	if r.IntN(3) > 0 {
		lasts = time.Duration(20+r.IntN(300)) * time.Minute
	}
	rare, wait := r.IntN(3) == 0, r.IntN(3) == 0
	for i := range h {
		x := &h[i]
		if x.Operator {
			x.At = x.Received // the moment at which it was decided
		}
		switch {
		case x.Operator && (x.Status == Pending || x.Status == Lapsed):
			x.Status = Approved
		case x.Operator || x.Weak:
		case rare && r.IntN(12) == 0:
			x.Lifts, x.Mute = true, r.IntN(2) == 0
			x.Confirms = false
		case rare && r.IntN(20) == 0:
			*x = Update{ID: x.ID, Key: Key{Source: x.Key.Source, Type: "identity_verification", Overall: true}, Session: x.Session, Received: x.Received, Status: Pending, Submission: true}
		}
		if wait && i > 0 && x.At.IsZero() && !x.Operator && !x.Submission && r.IntN(3) == 0 { // for its person: what came after it was said first
			x.Received = h[i-1].Received
			x.Taken = x.Received.Add(-time.Duration(r.IntN(12)) * time.Minute)
		}
		switch {
		case x.Status < Approved && r.IntN(5) == 0 && !x.Operator && !x.Submission:
			x.Expires = x.Received.Add(time.Duration(r.IntN(60)) * time.Minute)
		case x.Status != Approved:
			x.Expires = time.Time{}
		}
	}
	return h.lasting(lasts), lasts
}

// lasting gives every approval that the provider gave no date the end that it has where all of them
// last as long as this; 0: none. It changes h, and returns it.
func (h History) lasting(lasts time.Duration) History {
	for i := range h {
		x := &h[i]
		if x.Session == "" {
			x.Ref = "" // what has no run has no other name
		}
		if x.Status != Approved || !x.Assumed && !x.Expires.IsZero() {
			continue
		}
		x.Expires, x.Assumed = time.Time{}, lasts > 0
		if x.Assumed {
			x.Expires = said{Update: x}.when().Add(lasts)
		}
	}
	return h
}

// Skewed makes of a history one that several nodes have received, from some word on: their clocks
// are wrong by minutes, and the order in which words are applied is not that of receipt. Operators'
// words and submissions stand behind what was received before them, as in every history. It changes h,
// and returns it.
func (h History) Skewed(r *rand.Rand, lasts time.Duration) History {
	from, skew, timeless := r.IntN(2)*r.IntN(len(h)), 1+r.IntN(6), r.IntN(3)
	var newest time.Time
	for i := range h {
		x := &h[i]
		exact := x.Operator || x.Submission
		if i >= from && !exact {
			x.Taken, x.Skew = time.Time{}, time.Duration(skew)*time.Minute
			if r.IntN(20) == 0 {
				x.Skew *= 2
			}
			x.Received = x.Received.Add(time.Duration(r.IntN(4*skew+1)-2*skew) * time.Minute)
			if r.IntN(4) < timeless {
				x.At = time.Time{}
			}
		}
		if i >= from && exact && x.Received.Before(newest) {
			x.Received = newest
			if x.Operator {
				x.At = newest
			}
		}
		if x.Received.After(newest) {
			newest = x.Received
		}
	}
	return h.lasting(lasts)
}

// RandomPolicy is one of the policies that ask for different things.
func RandomPolicy(r *rand.Rand) Policy { return widePolicies[r.IntN(len(widePolicies))] }

// wide histories: more sources, keys and types than random makes, equal times, revisions, updates
// without a time among timed ones, confirmations, decisions between.
var (
	wideKeys = []Key{
		sumsub, persona, request, screening,
		{Source: "persona", Type: "screening", Overall: true},
		aml,
		passprt,
		{Source: "bluum", Type: "document_verification", Part: "id"},
		{Source: "rebilly", Type: "document_verification", Part: "second"},
		{Source: "stripe", Type: "document_verification", Overall: true},
		{Source: "rebilly", Type: "document_verification", Overall: true},
		{Source: "alloy", Type: "risk_assessment", Overall: true},
		{Source: "middesk", Type: "business_verification", Overall: true},
		{Source: "persona", Type: "identity_verification", Part: "database"},
	}
	widePolicies = []Policy{
		{},
		{Required: []string{"identity_verification"}},
		{Required: []string{"identity_verification", "screening"}},
		{Required: []string{"document_verification"}},
		{Required: []string{"identity_verification", "document_verification"}},
		{Required: []string{"business_verification"}},
		{Required: []string{"screening"}},
	}
	wideReasons = [][]string{nil, nil, {"document_unreadable"}, {"attempts_exceeded"}, {"fraud_suspected"}, {"sanctions_match"}, {"document_unreadable", "pep_match"}}
)

func anyStatus(r *rand.Rand) Status { return Status(r.IntN(int(Suspended) + 1)) } //nolint:gosec // one of nine

type kind struct{ timeless, operators, confirms, weak bool }

func one(r *rand.Rand, i int, keys []Key, k kind) Update {
	x := u(keys[r.IntN(len(keys))], []string{"", "a", "b", "c"}[r.IntN(4)], r.IntN(8), anyStatus(r))
	if r.IntN(3) == 0 {
		x.Status = Approved
	}
	if x.Status >= InReview {
		x.Reasons = wideReasons[r.IntN(len(wideReasons))]
	}
	if x.Status == Approved && r.IntN(2) == 0 {
		x.Expires, x.Assumed = at(200+r.IntN(600)), r.IntN(2) == 0
	}
	x.Weak = k.weak && r.IntN(5) == 0
	x.Revision = r.IntN(3)
	if r.IntN(4) == 0 {
		x.Ref = "doc"
	}
	if k.timeless && r.IntN(4) == 0 {
		x.At = time.Time{}
	}
	if k.confirms && !x.Weak && r.IntN(5) == 0 {
		x.Confirms, x.AskedAt = true, at(100+r.IntN(i+1))
	}
	if k.operators && r.IntN(6) == 0 {
		x.Operator, x.Confirms, x.AskedAt, x.Weak, x.Session, x.Ref, x.Reasons, x.At, x.Revision = true, false, time.Time{}, false, "", "", nil, at(100+i), 0
		if x.Status == Pending || x.Status == Lapsed {
			x.Status = Approved // nothing else is a decision
		}
	}
	x.ID = strconv.Itoa(i)
	return x
}

var manyKeys = []Key{
	sumsub, persona, request, screening, aml, passprt, address,
	{Source: "persona", Type: "screening"},
	{Source: "sumsub", Type: "document_verification", Overall: true},
	{Source: "persona", Type: "identity_verification"},
}

// long makes histories of up to 40 updates with everything in them. Received never goes back, and
// no time is later than the record's.
func long(r *rand.Rand) History {
	reasons := [][]string{nil, nil, {"document_unreadable"}, {"attempts_exceeded"}, {"fraud_suspected"}, {"sanctions_match"}}
	pick := func(n int) bool { return n > 0 && r.IntN(n) == 0 }
	keys := manyKeys[:1+r.IntN(len(manyKeys))]
	if pick(3) {
		keys = nil
		for range 1 + r.IntN(6) {
			keys = append(keys, wideKeys[r.IntN(len(wideKeys))])
		}
	} else if pick(2) {
		keys = []Key{manyKeys[r.IntN(3)], manyKeys[r.IntN(len(manyKeys))], manyKeys[r.IntN(len(manyKeys))]}
	}
	sess := []string{"a", "b", "c"}[:1+r.IntN(3)]
	if pick(3) {
		sess = append([]string{""}, sess...)
	}
	timeless, ops, weak, conf := []int{0, 0, 0, 8, 2}[r.IntN(5)], []int{0, 12, 5}[r.IntN(3)], []int{0, 8, 3}[r.IntN(3)], []int{0, 6}[r.IntN(2)]
	spread, mild, friendly := 1+r.IntN(30), pick(2), pick(2)
	var h History
	rec := 30
	for i := range 1 + r.IntN(40) {
		rec += r.IntN(3) // several in one callback
		x := Update{ID: strconv.Itoa(i), Key: keys[r.IntN(len(keys))], Session: sess[r.IntN(len(sess))], Status: anyStatus(r), Received: at(rec)}
		if mild && x.Status > Rejected {
			x.Status = []Status{NotStarted, Pending, Approved, Rejected}[r.IntN(4)]
		}
		if friendly && pick(2) {
			x.Status = []Status{Approved, Approved, Approved, Pending, NotStarted, Expired, Rejected, RejectedTerminal}[r.IntN(8)]
		}
		x.At = at(rec - r.IntN(spread))
		x.Revision = r.IntN(2) * r.IntN(2)
		if x.Status == Rejected || x.Status == RejectedTerminal || x.Status == InReview || x.Status == Suspended {
			x.Reasons = reasons[r.IntN(len(reasons))]
			if mild && len(x.Reasons) > 0 && x.Reasons[0] == "sanctions_match" && !pick(5) {
				x.Reasons = nil
			}
		}
		if friendly && !pick(6) {
			x.Reasons = nil
		}
		if x.Status == Approved && pick(2) {
			x.Expires, x.Assumed = at(rec-10+r.IntN(60)*(1+r.IntN(3))), pick(2)
		}
		if pick(3) {
			x.Ref = "doc"
		}
		x.Weak = pick(weak)
		if !x.Weak && pick(conf) {
			x.Confirms = true
			if pick(2) {
				x.AskedAt = at(rec - r.IntN(12))
			}
		}
		if pick(timeless) {
			x.At = time.Time{}
		}
		if pick(ops) {
			x.Operator, x.Weak, x.Confirms, x.Session, x.Ref, x.Reasons, x.Revision = true, false, false, "", "", nil, 0
			if x.At = at(rec); pick(4) {
				x.At = time.Time{}
			}
			if pick(2) {
				x.Status = []Status{Approved, NotStarted}[r.IntN(2)]
			}
		}
		h = append(h, x)
	}
	return h
}

// broad makes long histories as wide does: few times, so that most are equal.
func broad(r *rand.Rand) History {
	var keys []Key
	for range 1 + r.IntN(4) {
		keys = append(keys, wideKeys[r.IntN(len(wideKeys))])
	}
	k := kind{r.IntN(2) == 0, r.IntN(2) == 0, r.IntN(2) == 0, r.IntN(2) == 0}
	var us []Update
	for i := range 1 + r.IntN(40) {
		us = append(us, one(r, i, keys, k))
	}
	return received(us)
}

// String is the history as a table.
func (h History) String() string {
	var s strings.Builder
	for i, x := range h {
		m := func(t time.Time) string {
			if t.IsZero() {
				return "-"
			}
			return strconv.Itoa(int(t.Sub(t0).Minutes()))
		}
		fmt.Fprintf(&s, "\n%2d %s/%s/%v/%s sess=%q at=%s rec=%s rev=%d %v %v exp=%s weak=%v conf=%v asked=%s taken=%s skew=%v op=%v ref=%q assumed=%v lifts=%v mute=%v submission=%v", i, x.Key.Source, x.Key.Type, x.Key.Overall, x.Key.Part, x.Session, m(x.At), m(x.Received), x.Revision, x.Status, x.Reasons, m(x.Expires), x.Weak, x.Confirms, m(x.AskedAt), m(x.Taken), x.Skew, x.Operator, x.Ref, x.Assumed, x.Lifts, x.Mute, x.Submission)
	}
	return s.String()
}

var (
	screening = Key{Source: "sumsub", Type: "screening", Overall: true}
	allKeys   = []Key{sumsub, persona, screening, aml, passprt, request}
	policies  = []Policy{{}, {Required: []string{"identity_verification"}}, {Required: []string{"document_verification", "screening"}}, {Required: []string{"identity_verification", "screening"}}}
)
