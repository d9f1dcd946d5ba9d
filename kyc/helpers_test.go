package kyc

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var t0 = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

func at(minute int) time.Time { return t0.Add(time.Duration(minute) * time.Minute) }

var (
	sumsub  = key{source: "sumsub", check: IdentityVerification, scope: Overall}
	persona = key{source: "persona", check: IdentityVerification, scope: Overall}
	dojah   = key{source: "dojah", check: IdentityVerification, scope: Overall}
	aml     = key{source: "aml", check: Screening, scope: CheckScope}
	passprt = key{source: "rebilly", check: DocumentVerification, scope: DocumentScope, part: "identity-proof"}
	address = key{source: "rebilly", check: AddressVerification, scope: DocumentScope, part: "address-proof"}
	request = key{source: "rebilly", check: IdentityVerification, scope: Overall}

	open = Policy{Open: true}
	idv  = Policy{Required: []Check{IdentityVerification}}
	docs = Policy{Required: []Check{DocumentVerification, AddressVerification}}
)

// ranked gives an update the status of a rank.
func ranked(x Update, r rank) Update {
	x.Status, x.Terminal, x.ExpiryKind = r.status(), r == rankTerminal, ""
	switch r {
	case rankLapsed:
		x.ExpiryKind = ExpiryAttempt
	case rankExpired:
		x.ExpiryKind = ExpiryValidity
	default:
	}
	return x
}

// timeless is an observation without a provider's time.
func timeless(k key, session string, r rank, name string, reasons ...Reason) Update {
	x := Update{
		SchemaVersion: 1, ID: name, Kind: Observation, Source: k.source, Provider: k.source, Partner: "acme", Subject: Subject{ID: "user-001", ProviderRef: "p-" + k.source},
		Check: k.check, Scope: k.scope, Document: Document{Type: k.part}, Authenticity: Signed, OccurredAtOrigin: OriginReceived,
	}
	if x.Verification.Ref = session; k.scope == DocumentScope {
		x.Verification = Verification{Ref: "doc", ParentRef: session}
	}
	for _, c := range reasons {
		x.Reasons = append(x.Reasons, ReasonPair{Code: c, ProviderCode: "P-" + string(c)})
	}
	return ranked(x, r)
}

// obs is an observation at a minute of the provider's clock.
func obs(k key, session string, minute int, r rank, reasons ...Reason) Update {
	x := timeless(k, session, r, fmt.Sprint(k, session, minute, r, reasons), reasons...)
	x.OccurredAt, x.OccurredAtOrigin = at(minute), OriginProvider
	return x
}

// decide is an operator's word: a verdict, or with not_started a release.
func decide(k key, minute int, r rank) Update {
	x := obs(k, "", minute, r)
	x.Kind, x.Release = Decision, r == rankNotStarted
	x.ID += "d"
	return x
}

func named(x Update, suffix string) Update     { x.ID += suffix; return x }
func received(x Update, minute int) Update     { x.ReceivedAt = at(minute); return x }
func until(x Update, expires time.Time) Update { x.ExpiresAt = expires; return x }
func confirms(x Update) Update                 { x.Kind = Confirmation; x.ID += "c"; return x }

func weak(x Update) Update {
	x.Authenticity, x.ID = Network, x.ID+"w"
	return x.Gate(Signed)
}

// arrive gives every update that has none a time of arrival.
func arrive(us []Update) []Update {
	us = slices.Clone(us)
	for i := range us {
		if us[i].ReceivedAt.IsZero() {
			us[i].ReceivedAt = at(100 + i)
		}
	}
	return us
}

func apply(p Policy, us ...Update) *State {
	s := &State{}
	for _, x := range arrive(us) {
		s.Apply(x, p)
	}
	return s
}

// stands is the status and whether it is terminal.
type stands struct {
	status   Status
	terminal bool
}

func standing(r rank) stands { return stands{r.status(), r == rankTerminal} }

func (s *State) stands() stands { return stands{s.Status(), s.told.rank == rankTerminal} }

// scenarios returns a function that applies updates in order and compares where the subject stands.
func scenarios(t *testing.T) func(name string, p Policy, want rank, us ...Update) {
	t.Helper()
	return func(name string, p Policy, want rank, us ...Update) {
		t.Helper()
		if got := apply(p, us...).stands(); got != standing(want) {
			t.Errorf("%s: %v, want %v", name, got, standing(want))
		}
	}
}

// types lists the types of changes in the order they were owed.
func types(cs []Change) []string {
	var out []string
	for _, c := range cs {
		out = append(out, c.Type)
	}
	return out
}

// copyOf reads back what s writes.
func copyOf(t *testing.T, s *State) *State {
	t.Helper()
	b, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var n State
	if err := n.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	return &n
}

func bytesOf(t *testing.T, s *State) string {
	t.Helper()
	b, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 31)) }
