package kyc

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
)

// everything is a history that fills every field a state has.
func everything() []Update {
	x := received(until(obs(sumsub, "i", 3, rankApproved), at(500000)), 100)
	x.ProviderEvent.Revision, x.Subject.Kind, x.Livemode = -7, Individual, true
	doc := received(obs(passprt, "r", 4, rankRejected, FraudSuspected, "novel_reason"), 101)
	doc.Document, doc.Retryable = Document{ID: "d1", Type: "identity-proof", Subtype: "passport"}, true
	notice := received(timeless(sumsub, "i", rankApproved, "notice"), 111)
	notice.Expiring, notice.ExpiresAt = true, at(400000)
	return []Update{
		x, doc, received(weak(obs(persona, "w", 5, rankApproved)), 102), received(weak(obs(persona, "w", 6, rankPending)), 103),
		received(weak(obs(persona, "v", 6, rankRejected, PEPMatch)), 104), received(confirms(obs(persona, "u", 7, rankInReview, TechnicalFailure)), 105),
		received(timeless(dojah, "t", rankTerminal, "t1", Underage), 106), received(timeless(dojah, "t", rankPending, "t2"), 107),
		received(obs(aml, "s", 8, rankTerminal, SanctionsMatch), 108), received(decide(aml, 9, rankApproved), 109),
		received(decide(passprt, 9, rankNotStarted), 109), received(decide(dojah, 9, rankNotStarted), 109), received(decide(persona, 9, rankNotStarted), 109),
		received(obs(passprt, "r", 10, rankNotStarted), 110), notice,
		received(TimerDue{At: at(500000), ExpiresAt: at(500000), Source: "sumsub", Check: IdentityVerification, Scope: Overall}.Update(), 500000),
		received(obs(key{"x", "novel_check", "novel_scope", "part"}, "n", 12, rankSuspended, HighRisk), 112),
		received(obs(persona, "w", 13, rankRejected, SanctionsMatch), 113),
		received(until(obs(request, "q", 14, rankPending), at(500)), 114), received(lapse(request, "q", at(500)), 500),
	}
}

// A state says the same after it was written and read, as bytes and in JSON, and nothing is lost: every field of it is compared.
func TestStateRoundTrip(t *testing.T) {
	s := &State{}
	for _, u := range everything() {
		s.Apply(u, Policy{Version: 3})
		if n := copyOf(t, s); !reflect.DeepEqual(normal(n), normal(s)) {
			t.Fatalf("after %v:\n%+v\n%+v", u.ID, n.Checks(), s.Checks())
		}
		j, err := json.Marshal(map[string]*State{"state": s})
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]*State
		if err := json.Unmarshal(j, &m); err != nil || bytesOf(t, m["state"]) != bytesOf(t, s) {
			t.Fatalf("by way of JSON: %v", err)
		}
	}
	if n := copyOf(t, &State{}); !reflect.DeepEqual(normal(n), normal(&State{})) || n.Status() != NotStarted {
		t.Errorf("nobody is %+v", n)
	}
}

// normal makes empty and missing lists the same.
func normal(s *State) *State {
	if len(s.checks) == 0 {
		s.checks = nil
	}
	if len(s.seen) == 0 {
		s.seen = nil
	}
	for _, c := range s.checks {
		if len(c.sessions) == 0 {
			c.sessions = nil
		}
		for _, ss := range c.sessions {
			if len(ss.hits) == 0 {
				ss.hits = nil
			}
		}
	}
	return s
}

// States stand on disks: what an earlier version wrote must be read, and this version still writes it so.
func TestStateGolden(t *testing.T) {
	s := &State{}
	for _, u := range everything() {
		s.Apply(u, Policy{Version: 3})
	}
	golden(t, "state.hex", hex.EncodeToString([]byte(bytesOf(t, s))))
	want, err := os.ReadFile("testdata/state.hex")
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.TrimSpace(string(want)))
	if err != nil {
		t.Fatal(err)
	}
	var n State
	if err := n.UnmarshalBinary(b); err != nil || !reflect.DeepEqual(n.Checks(), s.Checks()) || !reflect.DeepEqual(n.View(), s.View()) {
		t.Errorf("the state of old is %+v: %v", n.View(), err)
	}
}

// What the version before wrote is read: it is what that version's history makes of everything but lapses.
func TestStateOfOldVersion(t *testing.T) {
	text, err := os.ReadFile("testdata/state-v1.hex")
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || b[0] != oldestStateVersion {
		t.Fatal(b[0], err)
	}
	old, now := &State{}, &State{}
	if err := old.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	for _, u := range everything()[:len(everything())-2] {
		now.Apply(u, Policy{Version: 3})
	}
	if bytesOf(t, old) != bytesOf(t, now) || bytesOf(t, old)[0] != stateVersion {
		t.Errorf("read as %+v, want %+v", old.Checks(), now.Checks())
	}
}

// golden compares with a file of testdata; with UPDATE_GOLDEN it writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile("testdata/"+name, []byte(got+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if got+"\n" != string(want) {
		t.Errorf("%s:\n got %s\nwant %s", name, got, want)
	}
}

// A state is written for every record, so a fresh one is small.
func TestStateSize(t *testing.T) {
	u := received(obs(sumsub, "65f2b000a1b2c3d4e5f60718", 3, rankRejected, DocumentUnreadable), 100)
	u.Subject.ProviderRef = "65f2a9c4a1b2c3d4e5f60718"
	s := apply(idv, u)
	j, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(bytesOf(t, s)); n > 250 || len(j) > 350 {
		t.Errorf("%d bytes, %d in JSON", n, len(j))
	} else {
		t.Logf("%d bytes, %d in JSON", n, len(j))
	}
}

// Bytes that are no state are refused and change nothing: every prefix, a byte too many, another version.
func TestStateRefusesWhatItIsNot(t *testing.T) {
	s := &State{}
	for _, u := range everything() {
		s.Apply(u, idv)
	}
	good := bytesOf(t, s)
	f := func(name, b string) {
		t.Helper()
		was := apply(idv, obs(sumsub, "i", 3, rankApproved))
		before := bytesOf(t, was)
		if err := was.UnmarshalBinary([]byte(b)); err == nil || bytesOf(t, was) != before {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := range len(good) {
		f("prefix", good[:n])
	}
	f("a byte too many", good+"\x00")
	f("a later version", "\x03"+good[1:])
	f("no version", "\x00"+good[1:])
	f("a length beyond the end", "\x01\xff\xff\xff\xff\x0f")
	f("a number without end", "\x01"+strings.Repeat("\xff", 12))
	if err := new(State).UnmarshalText([]byte("not base64!")); err == nil {
		t.Error("no base64 was read")
	}
}

// FuzzState reads anything without a panic; what it accepts it can fold, view and write.
func FuzzState(f *testing.F) {
	s := &State{}
	for _, u := range everything() {
		s.Apply(u, idv)
		b, err := s.MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var s State
		if err := s.UnmarshalBinary(b); err != nil {
			return
		}
		_, _, _ = s.View(), s.Checks(), s.Timers(idv)
		for _, u := range everything() {
			s.Apply(u, idv)
		}
		if again := copyOf(t, &s); bytesOf(t, again) != bytesOf(t, &s) {
			t.Error("read back it is another")
		}
	})
}

// BenchmarkApply is what one record costs a relay: read the state, fold, write it.
func BenchmarkApply(b *testing.B) {
	s := apply(idv, obs(sumsub, "i", 1, rankNotStarted), obs(sumsub, "i", 2, rankPending))
	before, err := s.MarshalBinary()
	if err != nil {
		b.Fatal(err)
	}
	u := received(obs(sumsub, "i", 3, rankApproved), 103)
	u.ID = UpdateID("sumsub", []string{"x"}, Observation, IdentityVerification, Overall, "i", 0, at(3))
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		var s State
		if err := s.UnmarshalBinary(before); err != nil {
			b.Fatal(err)
		}
		if owed, _ := s.Apply(u, idv); len(owed) != 2 {
			b.Fatal("owed", len(owed))
		}
		if buf, err = s.AppendBinary(buf[:0]); err != nil {
			b.Fatal(err)
		}
	}
}
