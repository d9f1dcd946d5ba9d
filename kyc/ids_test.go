package kyc

import (
	"crypto/sha256"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// ulidOf spells 48 bits of time and 80 bits of a digest with big numbers, apart from the code.
func ulidOf(ms int64, digest []byte) string {
	n := new(big.Int).SetInt64(ms)
	n.Lsh(n, 80).Or(n, new(big.Int).SetBytes(digest[6:16]))
	var b strings.Builder
	for shift := 125; shift >= 0; shift -= 5 {
		d := new(big.Int).Rsh(n, uint(shift))
		b.WriteByte("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[d.And(d, big.NewInt(31)).Int64()])
	}
	return b.String()
}

func prefixed(parts ...string) []byte {
	var b strings.Builder
	for _, p := range parts {
		b.WriteByte(byte(len(p))) // short enough to be one byte
		b.WriteString(p)
	}
	h := sha256.Sum256([]byte(b.String()))
	return h[:]
}

// Ids are the same on every node (I4), so how they are made is a contract.
func TestUpdateID(t *testing.T) {
	when := time.Date(2026, 3, 19, 9, 20, 0, 1e6, time.UTC)
	h := prefixed("sumsub-eu", "2", "req", "63f9", "observation", "identity_verification", "overall", "65f2b000", "3")
	got := UpdateID("sumsub-eu", []string{"req", "63f9"}, Observation, IdentityVerification, Overall, "65f2b000", 3, when)
	if want := ulidOf(when.UnixMilli(), h); got != want {
		t.Errorf("with a time: %s, want %s", got, want)
	}
	timeless := new(big.Int).SetBytes(h[:6]).Int64()
	for _, at := range []time.Time{{}, time.Unix(-5, 0), time.UnixMilli(1 << 48)} {
		got = UpdateID("sumsub-eu", []string{"req", "63f9"}, Observation, IdentityVerification, Overall, "65f2b000", 3, at)
		if want := ulidOf(timeless, h); got != want {
			t.Errorf("at %v: %s, want %s", at, got, want)
		}
	}
	if got != idOf(got).String() || len(got) != 26 || got[0] > '7' {
		t.Errorf("%s is no ULID", got)
	}
}

// Whatever differs gives another id: no two lists of parts run together.
func TestUpdateIDTellsApart(t *testing.T) {
	seen := map[string]string{}
	f := func(name, id string) {
		t.Helper()
		if was, ok := seen[id]; ok {
			t.Errorf("%s has the id of %s", name, was)
		}
		seen[id] = name
	}
	f("one part", UpdateID("s", []string{"ab"}, Observation, Screening, Overall, "r", 0, t0))
	f("two parts", UpdateID("s", []string{"a", "b"}, Observation, Screening, Overall, "r", 0, t0))
	f("shifted", UpdateID("sa", []string{"b"}, Observation, Screening, Overall, "r", 0, t0))
	f("no parts", UpdateID("s", nil, Observation, Screening, Overall, "r", 0, t0))
	f("kind", UpdateID("s", []string{"ab"}, Confirmation, Screening, Overall, "r", 0, t0))
	f("check", UpdateID("s", []string{"ab"}, Observation, Liveness, Overall, "r", 0, t0))
	f("scope", UpdateID("s", []string{"ab"}, Observation, Screening, CheckScope, "r", 0, t0))
	f("ref", UpdateID("s", []string{"ab"}, Observation, Screening, Overall, "q", 0, t0))
	f("index", UpdateID("s", []string{"ab"}, Observation, Screening, Overall, "r", 1, t0))
	f("time", UpdateID("s", []string{"ab"}, Observation, Screening, Overall, "r", 0, t0.Add(time.Millisecond)))
}

func TestChangeID(t *testing.T) {
	cause := UpdateID("s", nil, Observation, Screening, Overall, "r", 0, t0)
	if got, want := ChangeID(cause, "kyc.status.approved", "user-001"), "evt_"+ulidOf(t0.UnixMilli(), prefixed(cause, "kyc.status.approved", "user-001")); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if ChangeID(cause, "a", "b") == ChangeID(cause, "b", "a") || ChangeID(cause, "a", "b") == ChangeID("other", "a", "b") {
		t.Error("two changes share an id")
	}
}

// The order of ids as bytes is their order as text, and both ways lead back.
func TestIDText(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var last id
	for range 1000 {
		var i id
		for k := range i {
			i[k] = byte(r.Uint32())
		}
		if s := i.String(); idOf(s) != i || (s > last.String()) != (compareID(i, last) > 0) {
			t.Fatalf("%x is %s and back %x", i, s, idOf(s))
		}
		last = i
	}
	for _, s := range []string{"", "short", strings.Repeat("8", 26), strings.Repeat("0", 25) + "U", strings.Repeat("0", 25) + "a"} {
		if got := idOf(s); got != digest(s) {
			t.Errorf("%q is read as a ULID", s)
		}
	}
}
