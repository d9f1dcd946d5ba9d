package kyc

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// everything is a history that fills every field a state has.
func everything() []Update {
	x := received(until(obs(sumsub, "i", 3, rankApproved), at(500000)), 100)
	x.ProviderEvent.Revision, x.Subject.Kind, x.Livemode, x.Verification.AttemptRef = -7, Individual, true, "1"
	doc := received(obs(passprt, "r", 4, rankRejected, FraudSuspected, "novel_reason"), 101)
	doc.Document, doc.Retryable = Document{ID: "d1", Type: "identity-proof", Subtype: "passport"}, true
	notice := received(timeless(sumsub, "i", rankApproved, "notice"), 111)
	notice.Expiring, notice.ExpiresAt = true, at(400000)
	lift := received(obs(persona, "w", 14, rankNotStarted), 114)
	lift.Release, lift.Status, lift.ProviderEvent.Revision = true, "", 3
	timelessly := received(timeless(dojah, "t", rankNotStarted, "lift"), 114)
	timelessly.Release, timelessly.Status = true, ""
	waited := received(timeless(dojah, "z", rankPending, "waited"), 90)
	waitedLift := received(timeless(dojah, "z", rankNotStarted, "waited lift"), 91)
	waitedLift.Release, waitedLift.Status = true, ""
	waited.Waited, waitedLift.Waited = true, true
	first := received(weak(obs(persona, "w", 2, rankRejected)), 99)
	first.Livemode = true
	us := []Update{
		first, waited, waitedLift,
		x, notice, doc, received(weak(obs(persona, "w", 5, rankApproved)), 102), received(weak(obs(persona, "w", 6, rankPending)), 103),
		received(weak(obs(persona, "v", 6, rankRejected, PEPMatch)), 104), received(confirms(obs(persona, "u", 7, rankInReview, TechnicalFailure)), 105),
		received(timeless(dojah, "t", rankTerminal, "t1", Underage), 106), received(timeless(dojah, "t", rankPending, "t2"), 107),
		received(obs(aml, "s", 8, rankTerminal, SanctionsMatch), 108), received(decide(aml, 9, rankApproved), 109), received(decide(aml, 10, rankExpired), 109),
		received(decide(passprt, 9, rankNotStarted), 109), received(decide(dojah, 9, rankSuspended), 109),
		received(obs(passprt, "r", 10, rankNotStarted), 110), lift, timelessly,
		received(obs(of{"x", "novel_check", "novel_scope", "part"}, "n", 12, rankSuspended, HighRisk), 115),
		received(obs(aml, "s", 13, rankRejected, SanctionsMatch), 116), received(until(obs(request, "q", 14, rankPending), at(500)), 117),
		received(obs(request, "v", 15, rankApproved), 118), received(Update{ID: "sub", Kind: Submission, Source: "sumsub", Provider: "sumsub", Subject: Subject{ID: "user-001", ProviderRef: "new"}}, 119),
	}
	for n := range 3 * limits.runs { // more runs than are kept, approvals among them, and one of those again
		us = append(us, received(until(obs(persona, fmt.Sprint("run", n), 20+n, rankApproved), at(600000+n)), 120+n))
	}
	us = append(us, received(obs(persona, "run0", 90, rankApproved), 200))
	for n := range 2 * limits.kept { // more approvals than are kept, an older one last, with dates and without
		us = append(us, received(timeless(dojah, "u", rankApproved, fmt.Sprint("u", n)), 201+n), received(obs(dojah, "u", 99-n, rankApproved), 201+n), received(until(obs(aml, "d", 99-n, rankApproved), at(700000+n)), 201+n))
	}
	return append(us, received(TimerDue{At: at(500)}.Update(), 500))
}

// ofNodes is a history that fills what only several nodes fill.
func ofNodes() []Update {
	lift, timelessly := obs(dojah, "n", 603, rankNotStarted), timeless(dojah, "n", rankNotStarted, "nodes' lift")
	lift.Release, lift.Status, timelessly.Release, timelessly.Status = true, "", true, ""
	us := []Update{
		timeless(dojah, "n", rankPending, "nodes 1"), obs(dojah, "n", 601, rankSuspended), lift, timelessly, timeless(dojah, "n", rankApproved, "nodes 2"),
		weak(obs(dojah, "n", 602, rankRejected)), weak(timeless(dojah, "n", rankApproved, "nodes 3")), obs(persona, "n", 604, rankApproved),
	}
	for i := range us {
		us[i].ReceivedAt, us[i].Skew = at(620-i), 5*time.Second
	}
	us[0].Skew = 1500 * time.Microsecond
	return us
}

// stateOf is the state that a history makes.
func stateOf(us []Update) *State {
	s := &State{}
	for _, u := range us {
		s.Apply([]Update{u}, Policy{Version: 3})
	}
	return s
}

// full is the state that everything makes.
func full() *State { return stateOf(everything()) }

// normal makes empty and missing lists the same.
func normal(s *State) *State {
	if len(s.noticed) == 0 {
		s.noticed = nil
	}
	if len(s.runs) == 0 {
		s.runs = nil
	}
	if len(s.lifts) == 0 {
		s.lifts = nil
	}
	if len(s.lost) == 0 {
		s.lost = nil
	}
	if len(s.seen) == 0 {
		s.seen = nil
	}
	if len(s.words) == 0 {
		s.words = nil
	}
	clean := func(rs *[]ReasonPair) {
		if len(*rs) == 0 {
			*rs = nil
		}
	}
	clean(&s.told.reasons)
	for i := range s.words {
		clean(&s.words[i].reasons)
	}
	for i := range s.checks {
		clean(&s.checks[i].told.reasons)
	}
	return s
}

// A state says the same after it was written and read, as bytes and in JSON, and nothing is lost:
// every field of it is compared.
func TestStateRoundTrip(t *testing.T) {
	s := &State{}
	for _, u := range append(everything(), ofNodes()...) {
		s.Apply([]Update{u}, Policy{Version: 3})
		if n := copyOf(t, s); !reflect.DeepEqual(normal(n), normal(s)) {
			t.Fatalf("after %v:\n%+v\n%+v", u.ID, *n, *s)
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

// Everything is indeed everything: no field of a state, nor of what it holds, is empty in all of
// them.
func TestStateRoundTripHasEverything(t *testing.T) {
	set := map[string]bool{}
	var walk func(name string, v reflect.Value)
	walk = func(name string, v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				walk(name, v.Elem())
			}
		case reflect.Struct:
			for f, value := range v.Fields() {
				walk(name+"."+f.Name, value)
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(name, v.Index(i))
			}
		default:
			set[name] = set[name] || !v.IsZero()
		}
	}
	s := &State{}
	for _, u := range append(everything(), ofNodes()...) {
		s.Apply([]Update{u}, Policy{Version: 3})
		walk("", reflect.ValueOf(s))
	}
	// A state has room for what is not: these are of words, and a run, a lift or what is not told
	// needs no more of one.
	ordering := map[string][]string{
		".runs.begun": {"n", "check", "source", "session", "at", "received", "skew", "revision"},
		".runs.late":  {"n", "check", "source", "session", "received", "taken", "skew"},
		".lifts":      {"n", "check", "source", "session", "at", "received", "taken", "skew", "revision"},
	}
	for part, needs := range ordering {
		for name := range set {
			if of, ok := strings.CutPrefix(name, part+"."); ok && !slices.Contains(needs, of) {
				delete(set, name)
			}
		}
	}
	for name, is := range set {
		if !is && !strings.HasPrefix(name, ".checks.told.check") && name != ".checks.told.was" && !strings.HasPrefix(name, ".beyond") {
			t.Errorf("%s is nowhere set", name)
		}
	}
}

// States stand on disks: what this version wrote must be read, and it still writes it so.
func TestStateGolden(t *testing.T) {
	f := func(file string, s *State) {
		t.Helper()
		golden(t, file, hex.EncodeToString([]byte(bytesOf(t, s))))
		want, err := os.ReadFile("testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		b, err := hex.DecodeString(strings.TrimSpace(string(want)))
		if err != nil {
			t.Fatal(err)
		}
		var n State
		if err := n.UnmarshalBinary(b); err != nil || !reflect.DeepEqual(n.Checks(), s.Checks()) || !reflect.DeepEqual(n.View(), s.View()) {
			t.Errorf("%s: the state of old is %+v: %v", file, n.View(), err)
		}
	}
	f("state.hex", full())
	f("state-nodes.hex", stateOf(ofNodes()))
}

// A state is written for every record, so that of an ordinary person is small.
func TestStateSize(t *testing.T) {
	f := func(name string, most int, us ...Update) {
		t.Helper()
		s := &State{}
		for i, u := range us {
			u.ReceivedAt = at(10 + 7*i).Add(time.Duration(317*i) * time.Millisecond)
			u.OccurredAt, u.OccurredAtOrigin, u.Subject.ProviderRef = u.ReceivedAt.Add(-1234*time.Millisecond), OriginProvider, "65f2a9c4a1b2c3d4e5f60718"
			u.ID = UpdateID(u.Source, []string{strconv.Itoa(i)}, u.Kind, u.Check, u.Scope, u.Verification.Ref, 0, u.OccurredAt)
			s.Apply([]Update{u}, idv)
		}
		n := len(bytesOf(t, s))
		if t.Logf("%s: %d bytes, %d of them ids", name, n, 19*len(s.seen)); n > most {
			t.Errorf("%s: more than %d", name, most)
		}
	}
	i := func(r rank, reasons ...Reason) Update {
		return obs(sumsub, "65f2b000a1b2c3d4e5f60718", 0, r, reasons...)
	}
	yes := until(i(rankApproved), at(500000))
	f("one word", 250, i(rankRejected, DocumentUnreadable))
	f("approved at once", 400, i(rankNotStarted), i(rankPending), yes)
	f("approved with one retry", 600, i(rankNotStarted), i(rankPending), i(rankRejected, DocumentUnreadable), i(rankPending), i(rankInReview), yes)
	f("identity, screening, document, address", 1000, obs(request, "r", 0, rankPending), obs(passprt, "r", 0, rankPending), obs(address, "r", 0, rankPending), obs(passprt, "r", 0, rankRejected, DocumentUnreadable),
		obs(passprt, "r", 0, rankApproved), obs(address, "r", 0, rankApproved), obs(aml, "s", 0, rankPending), obs(aml, "s", 0, rankApproved), until(obs(request, "r", 0, rankApproved), at(500000)))
}

// Bytes that are no state are refused and change nothing: every prefix, a byte too many, another
// version.
func TestStateRefusesWhatItIsNot(t *testing.T) {
	good := bytesOf(t, full())
	was := apply(idv, obs(sumsub, "i", 3, rankApproved))
	before := bytesOf(t, was)
	f := func(name, b string) {
		t.Helper()
		if err := was.UnmarshalBinary([]byte(b)); err == nil || bytesOf(t, was) != before {
			t.Errorf("%s: %v", name, err)
			if err := was.UnmarshalBinary([]byte(before)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for n := range len(good) {
		f(fmt.Sprint("prefix of ", n), good[:n])
	}
	nodes := bytesOf(t, stateOf(ofNodes()))
	for n := range len(nodes) {
		f(fmt.Sprint("prefix of ", n, " of what several nodes received"), nodes[:n])
	}
	f("a byte too many", good+"\x00")
	f("a later version", string(rune(stateVersion+1))+good[1:])
	f("an earlier version", string(rune(stateVersion-1))+good[1:])
	f("no version", "\x00"+good[1:])
	f("a length beyond the end", string(rune(stateVersion))+"\xff\xff\xff\xff\x0f")
	f("a number without end", string(rune(stateVersion))+strings.Repeat("\xff", 12))
	if err := new(State).UnmarshalText([]byte("not base64!")); err == nil {
		t.Error("no base64 was read")
	}
}

// FuzzState reads anything without a panic; what it accepts it can fold, view and write.
func FuzzState(f *testing.F) {
	s := &State{}
	for _, u := range everything() {
		s.Apply([]Update{u}, idv)
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
		_, _ = s.View(), s.Checks()
		s.Next(idv)
		for _, u := range everything() {
			s.Apply([]Update{u}, idv)
		}
		s.Next(idv)
		if again := copyOf(t, &s); bytesOf(t, again) != bytesOf(t, &s) {
			t.Error("read back it is another")
		}
	})
}
