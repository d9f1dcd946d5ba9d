package relay

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox/store"
)

// overwriting is how whose a ref is was learnt when a claim took the place of another: the copy that the
// strand is held to, said without a file. What it does is what learn, contested, serves and
// settleRef did.
type overwriting struct {
	lane              string
	submitted, served bool
	contested         bool
	claims            []claim         // of a contested ref: whom it may be of
	refused           map[string]bool // lanes that are told that it is somebody else's
	woke              bool            // by the last step
}

func (o *overwriting) clone() *overwriting {
	c := *o
	c.claims, c.refused = slices.Clone(o.claims), maps.Clone(o.refused)
	return &c
}

func (o *overwriting) learn(lane string, registers bool) {
	o.woke = false
	was, submitted, served := *o, o.submitted, o.served
	switch {
	case o.contested:
		o.contest(claim{Lane: lane, Registered: registers})
		return
	case o.lane == "", o.lane == lane:
		submitted, served = submitted || registers, served || !registers
	case registers && served:
		o.refused[lane] = true
		return
	case !registers && !served:
		o.refused[o.lane] = true
		submitted, served = false, true
	default:
		o.lane, o.submitted, o.served, o.contested = "", false, false, true
		o.contest(claim{Lane: was.lane, Registered: submitted}, claim{Lane: lane, Registered: registers})
		return
	}
	o.lane, o.submitted, o.served = lane, submitted, served
	o.woke = was.lane != lane || was.submitted != submitted
}

func (o *overwriting) contest(said ...claim) {
	for _, s := range said {
		if !claimedBy(o.claims, s.Lane) && len(o.claims) < maxClaims {
			o.claims = append(o.claims, s)
		}
	}
}

func (o *overwriting) serve() {
	if o.woke = false; o.submitted {
		o.served = true
	}
}

func (o *overwriting) settle(lane string) {
	delete(o.refused, lane)
	*o = overwriting{lane: lane, submitted: true, served: true, refused: o.refused, woke: true}
}

// strandNow is a strand with what beside it follows from a claim, as learn has it.
type strandNow struct {
	refStrand
	refused map[string]bool
	woke    bool
	add     func(*refStrand, claim) bool // refStrand.add, or a mistake
}

func (n *strandNow) clone() *strandNow {
	c := *n
	c.claims, c.refused = slices.Clone(n.claims), maps.Clone(n.refused)
	return &c
}

func (n *strandNow) learn(lane string, registers bool) {
	c := claim{Lane: lane, Registered: registers}
	was := n.leads()
	comes := was.fate(&c)
	if comes == refused {
		n.refused[lane] = true
	}
	if n.woke = n.add(&n.refStrand, c); !n.woke {
		return
	}
	if comes == replaces {
		n.refused[was.lane] = true
	}
	is := n.leads()
	n.woke = !is.contested && comes != refused && (was.lane != lane || was.submitted != is.submitted)
}

func (n *strandNow) serve() {
	if l := n.leads(); l.submitted {
		n.refStrand.serve(l.lane)
	}
	n.woke = false
}

func (n *strandNow) settle(lane string) {
	delete(n.refused, lane)
	n.decide(lane)
	n.woke = true
}

// outcomeText is all that anybody can see of it.
func outcomeText(l lead, list []claim, refused map[string]bool, woke bool) string {
	who := make([]string, len(list))
	for i, c := range list {
		who[i] = fmt.Sprint(c.Lane, c.Registered)
	}
	return fmt.Sprintf("%+v of %v, refused %v, woke %v", l, who, slices.Sorted(maps.Keys(refused)), woke)
}

func (o *overwriting) String() string {
	return outcomeText(lead{o.lane, o.submitted, o.served, o.contested}, o.claims, o.refused, o.woke)
}

func (n *strandNow) String() string {
	return outcomeText(n.leads(), n.contenders(), n.refused, n.woke)
}

// refStep is something that happens to a ref.
type refStep struct {
	name string
	lane string
	does string // registers, says, serves or settles
}

func (s refStep) to(o *overwriting, n *strandNow) {
	switch s.does {
	case "registers", "says":
		o.learn(s.lane, s.does == "registers")
		n.learn(s.lane, s.does == "registers")
	case "serves":
		o.serve()
		n.serve()
	case "settles":
		o.settle(s.lane)
		n.settle(s.lane)
	}
}

// refSteps are the claims of three persons, and what may happen between: a callback is applied to
// whoever the ref leads to (of anybody else it would serve nothing), and an operator settles it.
func refSteps(settles bool) (claims, others []refStep) {
	others = []refStep{{"serves", "", "serves"}}
	for _, lane := range []string{"acme/ann", "acme/bob", "globex/eve"} {
		for _, does := range []string{"registers", "says"} {
			claims = append(claims, refStep{does + " " + lane, lane, does})
		}
		if settles {
			others = append(others, refStep{"settles " + lane, lane, "settles"})
		}
	}
	return claims, others
}

// The differences that are wanted: claims are added, never overwritten, so one that is there already
// changes nothing.
const (
	decidedAgain = "the provider says again what an operator has decided against: it was contested anew each time, and the claim is one that the decision saw"
	replacedOnce = "a registration that the provider's word has replaced is made again of a ref that is contested since: it became a claim of that contest, and it is one of the list already"
)

// whichWanted says which of the wanted differences a step makes; "": none.
func whichWanted(s refStep, was *overwriting, n *strandNow) string {
	claimed := slices.IndexFunc(n.claims, func(c claim) bool { return c.Lane == s.lane && c.Registered == (s.does == "registers") })
	switch {
	case s.does == "says" && n.decided != "" && claimed >= 0 && claimed < n.seen && !was.contested && was.lane != s.lane:
		return decidedAgain
	case (s.does == "registers" || s.does == "says") && claimed >= 0 && was.contested && !claimedBy(was.claims, s.lane):
		return replacedOnce
	}
	return ""
}

// strandsApart goes through all orders of so many claims, with what may happen between, and returns
// how often what is seen differs, by the difference that is wanted or by the steps that lead there.
// What follows a difference is not looked at. Who claims first may be called ann.
func strandsApart(most int, settles bool, add func(*refStrand, claim) bool) (apart map[string]int, orders int) {
	apart = map[string]int{}
	claims, others := refSteps(settles)
	var path []string
	var walk func(o *overwriting, n *strandNow, left, between int)
	walk = func(o *overwriting, n *strandNow, left, between int) {
		try := func(s refStep, left, between int) {
			orders++
			now, then := n.clone(), o.clone()
			s.to(then, now)
			path = append(path, s.name)
			defer func() { path = path[:len(path)-1] }()
			if now.String() == then.String() {
				walk(then, now, left, between)
				return
			}
			which := whichWanted(s, o, n)
			if which == "" {
				which = fmt.Sprintf("%s: %s, and was %s", strings.Join(path, ", "), now, then)
			}
			apart[which]++
		}
		for _, s := range claims {
			if left > 0 && (left < most || s.lane == "acme/ann") {
				try(s, left-1, 1)
			}
		}
		for _, s := range others {
			if between > 0 {
				try(s, left, between-1)
			}
		}
	}
	walk(&overwriting{refused: map[string]bool{}}, &strandNow{refused: map[string]bool{}, add: add}, most, 0)
	return apart, orders
}

// TestClaimsComeToTheSame: all orders of up to five claims of three persons, registered or not,
// served between or not, and of up to four with what an operator settles between, come to what they came to when a claim took another's place:
// whom the ref leads to and how, who may have it, who is refused, and whether what waits is set
// free. Where "added, never overwritten" has to differ, the difference is named.
func TestClaimsComeToTheSame(t *testing.T) {
	apart, steps := strandsApart(5, false, (*refStrand).add)
	settled, more := strandsApart(4, true, (*refStrand).add)
	for what, n := range settled {
		apart[what] += n
	}
	t.Logf("%d steps, and %d with what an operator settles", steps, more)
	for _, wanted := range []string{decidedAgain, replacedOnce} {
		if apart[wanted] == 0 {
			t.Errorf("it makes no difference: %s", wanted)
		}
		t.Logf("%d: %s", apart[wanted], wanted)
		delete(apart, wanted)
	}
	unwanted := slices.SortedFunc(maps.Keys(apart), func(a, b string) int { return len(a) - len(b) })
	for _, what := range unwanted[:min(len(unwanted), 5)] {
		t.Error(what)
	}
	if len(unwanted) > 0 {
		t.Errorf("%d orders come to something else", len(unwanted))
	}
}

// TestClaimsComeToTheSameSees: a claim that takes the place of those before it is found out.
func TestClaimsComeToTheSameSees(t *testing.T) {
	f := func(what string, add func(*refStrand, claim) bool) {
		t.Helper()
		apart, _ := strandsApart(3, false, add)
		delete(apart, decidedAgain)
		delete(apart, replacedOnce)
		if len(apart) == 0 {
			t.Errorf("nobody sees that %s", what)
		}
	}
	f("the last claim wins", func(s *refStrand, c claim) bool {
		s.claims = []claim{c}
		s.seen = 0
		return true
	})
	f("a claim is added once for each person", func(s *refStrand, c claim) bool {
		return !claimedBy(s.claims, c.Lane) && s.add(c)
	})
	f("the first claim stays", func(s *refStrand, c claim) bool { return len(s.claims) == 0 && s.add(c) })
}

// TestClaimsEndAtSixteen: one that finds no place makes the ref contested, if it would have, until
// an operator decides, and then again; and one that would have been refused does not.
func TestClaimsEndAtSixteen(t *testing.T) {
	s := &refStrand{}
	s.add(claim{Lane: "acme/ann"})
	for i := range 2 * maxClaims {
		s.add(claim{Lane: fmt.Sprint("globex/mallory", i), Registered: true})
	}
	if l := s.leads(); l.lane != "acme/ann" || len(s.claims) != maxClaims {
		t.Errorf("registrations that are refused: %+v, %d claims", l, len(s.claims))
	}
	f := func(what string, want lead) {
		t.Helper()
		var again refStrand
		if err := again.decode(s.appendTo(nil)); err != nil || s.leads() != want || again.leads() != want {
			t.Errorf("%s: %+v, and from the disk %+v, %v; want %+v", what, s.leads(), again.leads(), err, want)
		}
	}
	s.add(claim{Lane: "acme/bob"})
	f("the provider's word about another", lead{contested: true})
	for i := range maxClaims {
		s.add(claim{Lane: fmt.Sprint("acme/", i)})
	}
	f("and about others", lead{contested: true})
	s.decide("acme/bob")
	f("decided", lead{lane: "acme/bob", submitted: true, served: true})
	s.add(claim{Lane: "acme/ann"})
	f("what the decision saw", lead{lane: "acme/bob", submitted: true, served: true})
	s.add(claim{Lane: "acme/eve"})
	f("another, for which there is no place", lead{contested: true})
	s.decide("acme/bob")
	f("decided again", lead{lane: "acme/bob", submitted: true, served: true})
}

// TestStrandOnDisk: a strand reads as it was written, and what is cut off or of another version is
// none.
func TestStrandOnDisk(t *testing.T) {
	at := time.Unix(1_800_000_000, 123_456_789).UTC()
	full := &refStrand{
		claims: []claim{
			{"acme/ann", "01J", at, true, true}, {"acme/bob", "01K", at.Add(1), true, false}, {"globex/eve", "", time.Time{}, false, false},
		},
		decided: "acme/ann", seen: 2, partial: true, since: at,
	}
	for _, s := range []*refStrand{{}, {partial: true}, {claims: full.claims[2:]}, {claims: full.claims, since: at}, {decided: "acme/ann"}, full} {
		b := s.appendTo(nil)
		var is refStrand
		if err := is.decode(b); err != nil || !bytes.Equal(is.appendTo(nil), b) || fmt.Sprint(is) != fmt.Sprint(*s) {
			t.Errorf("%+v comes back as %+v, %v", *s, is, err)
		}
		for _, lane := range []string{"acme/ann", "acme/bob", "globex/eve", ""} {
			want := slices.ContainsFunc(s.claims, func(c claim) bool { return c.Lane == lane && !c.Registered })
			if got := wordIn(b, lane); got != want {
				t.Errorf("%+v: the provider's word about %q: %v", *s, lane, got)
			}
		}
		for n := range b {
			if is.decode(b[:n]) == nil {
				t.Errorf("%+v: %d bytes of %d are one", *s, n, len(b))
			}
			wordIn(b[:n], "acme/ann")
		}
		b[0]++
		if is.decode(b) == nil || wordIn(b, "globex/eve") {
			t.Errorf("%+v: another version is one", *s)
		}
		if is.decode(append(s.appendTo(nil), 0)) == nil {
			t.Errorf("%+v: something behind it is passed over", *s)
		}
	}
}

// TestForgottenClaims: whose claim was erased is named nowhere, and what it did to others' stays.
func TestForgottenClaims(t *testing.T) {
	f := func(want string, s refStrand, erased ...string) {
		t.Helper()
		was := s.leads().contested
		for _, lane := range erased {
			s.forget(lane)
			if s.names(lane) || bytes.Contains(s.appendTo(nil), []byte(lane)) {
				t.Errorf("%s is named by %+v", lane, s)
			}
		}
		var who []string
		for _, c := range s.contenders() {
			who = append(who, c.Lane)
		}
		if got := strings.Join(who, " "); got != want || s.leads().contested != was {
			t.Errorf("without %v: of %q, contested %v; want %q, %v", erased, got, s.leads().contested, want, was)
		}
	}
	word := func(lane string) claim { return claim{Lane: lane, Update: lane} }
	registers := func(lane string) claim { return claim{Lane: lane, Registered: true} }
	f("b", refStrand{claims: []claim{registers("a"), registers("b")}}, "a")
	f("c", refStrand{claims: []claim{word("a"), word("b"), registers("c")}}, "a", "b")
	f("c", refStrand{claims: []claim{word("a"), word("b"), registers("c")}}, "b", "a")
	f("", refStrand{claims: []claim{word("a"), word("b")}}, "b", "a")
	f("c", refStrand{claims: []claim{registers("a"), word("c")}, decided: "b", seen: 1}, "a", "b")
	f("", refStrand{claims: []claim{word("a"), registers("b")}}, "b")
}

// TestSettledStays: the provider's word that an operator has decided against says nothing new, and
// another's opens the question again.
func TestSettledStays(t *testing.T) {
	g := start(t, acme(), Partner{ID: "globex"})
	own := func(id string, minute int) kyc.Update {
		return of(said(id, minute, kyc.Pending), "persona", "act_1", "", "")
	}
	g.tell(own("ann", 1), own("bob", 2))
	g.folded()
	if _, err := g.relay.SettleRef(t.Context(), Settlement{Submission: submits("ann", "act_1"), Note: "the provider says so"}); err != nil {
		t.Fatal(err)
	}
	g.appended++
	g.tell(own("bob", 3), unknown(4, kyc.Approved, "act_1", "", ""))
	g.folded()
	g.restart()
	held(t, g, 0)
	if a, b := stands(g, "acme", "ann"), stands(g, "acme", "bob"); a != kyc.Approved || b != kyc.Pending {
		t.Errorf("they are %q and %q", a, b)
	}
	g.tell(own("eve", 5), unknown(6, kyc.Suspended, "act_1", "", ""))
	g.folded()
	held(t, g, 1)
	if list, _, err := g.relay.ContestedRefs("", 10); err != nil || len(list) != 1 || len(list[0].Claims) != 2 || list[0].Since.IsZero() {
		t.Errorf("contested: %+v, %v", list, err)
	}
}

// TestBesideRefsMadeAnew: the order in which what waits arrived, and the list of contested refs,
// follow from what they are of. The auditor sees where they do not, and a repair makes them anew.
func TestBesideRefsMadeAnew(t *testing.T) {
	g := start(t, acme(), Partner{ID: "globex"})
	g.tell(claimed(submits("ann", "ref_1")), claimed(globex("bob", "ref_1")), unknown(3, kyc.Approved, "ref_1", "", ""), unknown(4, kyc.Approved, "act_9", "inq_9", ""))
	g.folded()
	key := refKey("persona-eu", "ref_1", true)
	for _, k := range [][]byte{placeKey(journal.At(3)), contestKey(key)} {
		if err := g.store.Update(t.Context(), func(tx *store.Tx) error { return tx.Bucket(store.Refs).Delete(k) }); err != nil {
			t.Fatal(err)
		}
		if list := g.audited(); len(list) != 1 {
			t.Errorf("without %q the auditor says %q", k, list)
		}
		if err := g.relay.reholdAll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range [][]byte{placeKey(journal.At(3)), contestKey(key), contestMark(laneOf("acme", "ann", true), key), heldKey(key, journal.At(3))} {
		g.tamper(func(tx *store.Tx) error { return spoil(tx, store.Refs, k) })
	}
	g.restart()
	eventually(t, "the repair is over", func() bool { yes, err := g.store.Unrepaired(); return !yes && err == nil })
	list, _, err := g.relay.UnroutedItems("", 10)
	if err != nil || len(list) != 1 || list[0].ID != unroutedID(journal.At(4)) || list[0].Reason != string(kyc.Unrouted) || g.relay.Unrouted() != 1 {
		t.Errorf("what waits: %+v, %v, %d counted", list, err, g.relay.Unrouted())
	}
	if refs, _, err := g.relay.ContestedRefs("", 10); err != nil || len(refs) != 1 || contestedOf(t, g, "acme", "ann") != "contested ref_1" {
		t.Errorf("contested: %+v, %v", refs, err)
	}
	if list := g.audited(); len(list) > 0 {
		t.Errorf("the auditor says %q", list)
	}
}
