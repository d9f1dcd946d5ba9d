package truth

import (
	"fmt"
	"time"
)

var t0 = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

func at(n int) time.Time { return t0.Add(time.Duration(n) * time.Minute) }

var (
	sumsub  = Key{Source: "sumsub", Type: "identity_verification", Overall: true}
	persona = Key{Source: "persona", Type: "identity_verification", Overall: true}
	aml     = Key{Source: "aml", Type: "screening"}
	passprt = Key{Source: "rebilly", Type: "document_verification", Part: "identity-proof"}
	address = Key{Source: "rebilly", Type: "address_verification", Part: "address-proof"}
	request = Key{Source: "rebilly", Type: "identity_verification", Overall: true}
)

var names = []string{"NotStarted", "Pending", "Lapsed", "Approved", "Expired", "InReview", "Rejected", "RejectedTerminal", "Suspended"}

func (s Status) String() string { return names[s] }

func u(k Key, session string, min int, st Status, reasons ...string) Update {
	return Update{ID: fmt.Sprint(k, session, min, st, reasons), Key: k, Session: session, At: at(min), Status: st, Reasons: reasons}
}

// received gives every update its place in the journal.
func received(us []Update) History {
	h := make(History, len(us))
	for i, x := range us {
		if x.Received.IsZero() {
			x.Received = at(100 + i)
		}
		h[i] = x
	}
	return h
}

// Scenario is a history and what it must mean.
type Scenario struct {
	Name    string
	Policy  Policy
	History History
	Now     time.Time // when it is asked
	Want    Status
	Not     bool      // anything but Want
	Dated   bool      // Until is wanted too
	Until   time.Time // zero: without an end
}

// Scenarios lists every scenario: each rule has some that would fail without it.
func Scenarios() []Scenario {
	var s scenarios
	for _, add := range []func(*scenarios){basic, more, timeless, hard, found, merged, settled, apart, skewed} {
		add(&s)
	}
	return s
}

type scenarios []Scenario

func (s *scenarios) status(name string, p Policy, now int, want Status, us ...Update) {
	*s = append(*s, Scenario{Name: name, Policy: p, History: received(us), Now: at(now), Want: want})
}

// until wants an approval that lasts until a minute; 0: without an end, below: no approval.
func (s *scenarios) until(name string, p Policy, now, want int, us ...Update) {
	sc := Scenario{Name: name, Policy: p, History: received(us), Now: at(now), Want: Approved, Dated: want >= 0, Not: want < 0}
	if want > 0 {
		sc.Until = at(want)
	}
	*s = append(*s, sc)
}
