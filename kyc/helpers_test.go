package kyc

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

var t0 = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

func at(minute int) time.Time { return t0.Add(time.Duration(minute) * time.Minute) }

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

// of names a check in tests.
type of struct {
	source string
	check  Check
	scope  Scope
	part   string
}

var (
	sumsub  = of{"sumsub", IdentityVerification, Overall, ""}
	persona = of{"persona", IdentityVerification, Overall, ""}
	dojah   = of{"dojah", IdentityVerification, Overall, ""}
	aml     = of{"aml", Screening, CheckScope, ""}
	passprt = of{"rebilly", DocumentVerification, DocumentScope, "identity-proof"}
	address = of{"rebilly", AddressVerification, DocumentScope, "address-proof"}
	request = of{"rebilly", IdentityVerification, Overall, ""}

	open = Policy{Open: true}
	idv  = Policy{Required: []Check{IdentityVerification}}
)

// timeless is an observation without a provider's time.
func timeless(k of, session string, r rank, name string, reasons ...Reason) Update {
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
func obs(k of, session string, minute int, r rank, reasons ...Reason) Update {
	x := timeless(k, session, r, fmt.Sprint(k, session, minute, r, reasons), reasons...)
	x.OccurredAt, x.OccurredAtOrigin = at(minute), OriginProvider
	return x
}

// decide is an operator's word: a verdict, or with not_started a release.
func decide(k of, minute int, r rank) Update {
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

// apply takes updates one by one.
func apply(p Policy, us ...Update) *State {
	s := &State{}
	for _, x := range arrive(us) {
		s.Apply([]Update{x}, p)
	}
	return s
}

// types lists the types of changes in the order they were owed.
func types(cs []Change) []string {
	var out []string
	for _, c := range cs {
		out = append(out, c.Type)
	}
	return out
}

func bytesOf(t *testing.T, s *State) string {
	t.Helper()
	b, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
