package relay

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"countersign/kyc"
	"countersign/kyc/truth"
)

// replayed is what the ledger says of somebody at an instant.
type replayed struct {
	status     truth.Status
	until      time.Time
	policy     int
	counts     []string             // ids of records that had been folded and counted
	received   map[string]bool      // by then
	folded     map[string]time.Time // when what a record says was applied, by its id; also of those to come
	redelivery map[string][]time.Time
}

// replay goes through the ledger again, and asks the definition.
func (w *lives) replay(p *person, at time.Time) (out replayed) {
	out.received, out.folded, out.redelivery = map[string]bool{}, map[string]time.Time{}, map[string][]time.Time{}
	var said truth.History
	var ids, waiting []string
	var last time.Time
	known := map[string]bool{}
	bound := false
	apply := func(id string) {
		x := p.words[id]
		x.ID = id
		said, ids = append(said, x), append(ids, id)
		if x.Received.After(last) {
			last = x.Received
		}
	}
	for _, e := range w.entries {
		mine, in := e.u.Subject.ID == p.id || p.nameless[e.u.ID], !e.folded.After(at)
		if !mine {
			continue
		}
		if !e.appended.After(at) {
			out.received[e.u.ID] = true
		}
		if _, ok := out.folded[e.u.ID]; !ok && !p.nameless[e.u.ID] {
			out.folded[e.u.ID] = e.folded
		}
		if in && out.policy == 0 && !p.nameless[e.u.ID] && (p.words[e.u.ID].ID != "" || e.u.UnroutedID != "") {
			out.policy = e.newest
		}
		switch {
		case !in:
		case e.u.Kind == kyc.Redelivery:
			id := e.u.ChangeID
			out.redelivery[id] = append(out.redelivery[id], e.folded)
		case e.u.Kind == kyc.Timer:
			last = laterOf(last, e.u.ReceivedAt)
		case e.u.Kind == kyc.PolicyChange:
			out.policy, last = e.u.PolicyVersion, laterOf(last, e.u.ReceivedAt)
		case e.u.TakenBack != "":
			last, bound = laterOf(last, e.u.ReceivedAt), false
			waiting = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !p.nameless[id] })
			said = slices.DeleteFunc(said, func(x truth.Update) bool { return p.nameless[x.ID] })
			ids = slices.DeleteFunc(ids, func(id string) bool { return p.nameless[id] })
		case e.u.UnroutedID != "":
			for _, id := range waiting {
				apply(id)
			}
			waiting, bound = nil, true
		case known[e.u.ID]:
		case p.nameless[e.u.ID] && !bound:
			known[e.u.ID] = true
			waiting = append(waiting, e.u.ID)
		default:
			known[e.u.ID] = true
			apply(e.u.ID)
		}
	}
	out.counts = slices.Sorted(slices.Values(ids))
	policy := w.policy[p.partner][max(out.policy, 1)]
	var required []string
	for _, c := range policy.Required {
		required = append(required, string(c))
	}
	for i := range said {
		x := &said[i]
		if x.Status != truth.Approved || !x.Assumed && !x.Expires.IsZero() {
			continue
		}
		x.Expires, x.Assumed = time.Time{}, false
		if x.Key.Type == "identity_verification" || x.Key.Type == "business_verification" {
			x.Expires, x.Assumed = kyc.AddMonths(laterOf(x.At, time.Time{}), policy.ValidityMonths), true
			if x.At.IsZero() {
				x.Expires = kyc.AddMonths(x.Received, policy.ValidityMonths)
			}
		}
	}
	out.status, out.until = said.Tell(truth.Policy{Required: required}, last)
	return out
}

func laterOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// judge compares what the relay says of random instants with the ledger.
func (w *lives) judge(steps []time.Time) {
	g := w.g
	compared, owed, dead, seen := 0, 0, 0, map[kyc.Status]int{}
	wrong := 0
	for i, p := range w.people {
		today, err := allOf(g.relay, p.partner, p.id, true, Asked{Limit: 1000})
		if err != nil {
			g.t.Fatal(err)
		}
		if i%4 == 0 {
			now, err := allOf(g.relay, p.partner, p.id, true, Asked{At: g.clock.now(), Limit: 1000})
			if err != nil {
				g.t.Fatal(err)
			}
			if what := differs(&now, &today); what != "" {
				g.t.Errorf("%s: %s differ: as of now\n%+v\nand today\n%+v", p.id, what, now, today)
				wrong++
			}
		}
		for k := range 3 {
			if p.partner != "acme" && k != i%3 {
				continue
			}
			at := steps[w.r.IntN(len(steps))]
			at = at.Add([]time.Duration{0, 30 * time.Second, -time.Microsecond}[k])
			if failed := w.failed(&today); k == 1 && len(failed) > 0 {
				at = failed[max(0, len(failed)-1-w.r.IntN(2))].Add(30 * time.Second)
			}
			v, err := allOf(g.relay, p.partner, p.id, true, Asked{At: at, Limit: []int{8, 1000}[min(i%8, 1)]})
			if err != nil {
				g.t.Fatal(err)
			}
			for i := range v.Endpoints {
				owed, dead = owed+len(v.Endpoints[i].Owed), dead+len(v.Endpoints[i].Dead)
			}
			compared++
			seen[v.Status.Status]++
			for _, what := range w.compare(p, &v, &today, at, k == 1) {
				g.t.Errorf("%s of %s at %s (%d): %s", p.id, p.partner, at.Format(time.RFC3339Nano), k, what)
				wrong++
			}
		}
		if wrong > 8 {
			g.t.Fatal("and so on")
		}
	}
	g.t.Log(len(w.people), "people,", len(w.entries), "records,", compared, "instants:", seen, len(w.tries), "webhooks,", owed, "owed and", dead, "dead at them")
	if n := len(w.people); n >= 1000 && (owed < 10 || len(seen) < 6) {
		g.t.Error("too little was tried")
	}
}

// failed is when tries to tell of somebody failed: then something was owed.
func (w *lives) failed(v *SubjectView) (all []time.Time) {
	for _, c := range v.Changes {
		for _, t := range w.tries[c.ID] {
			if t.code != 200 {
				all = append(all, t.at)
			}
		}
	}
	return all
}

// differs is what an instant of now has otherwise than today.
func differs(a, b *SubjectView) string {
	switch {
	case !reflect.DeepEqual(a.Status, b.Status):
		return "status"
	case !reflect.DeepEqual(a.Checks, b.Checks):
		return "checks"
	case !reflect.DeepEqual(a.Why, b.Why):
		return "reasons why"
	case !reflect.DeepEqual(a.Policy, b.Policy):
		return "policies"
	case !reflect.DeepEqual(a.Records, b.Records) || !reflect.DeepEqual(a.Changes, b.Changes) || !reflect.DeepEqual(a.Deliveries, b.Deliveries):
		return "histories"
	case len(a.Endpoints) != len(b.Endpoints):
		return "endpoints"
	}
	for i := range a.Endpoints {
		x, y := &a.Endpoints[i], &b.Endpoints[i]
		if x.Accepted != y.Accepted || len(x.Owed) != len(y.Owed) || len(x.Dead) != len(y.Dead) {
			return "deliveries"
		}
	}
	return ""
}

// compare says what is wrong with what the relay says of an instant.
func (w *lives) compare(p *person, v, today *SubjectView, at time.Time, told bool) (wrong []string) {
	say := func(text string, args ...any) { wrong = append(wrong, fmt.Sprintf(text, args...)) }
	r := w.replay(p, at)
	want := spoken[r.status].status
	if v.At == nil || v.At.By != ByFold || !v.At.KnownFrom.IsZero() {
		say("known by %+v", v.At)
	}
	if v.Status.Status != want || want == kyc.Approved && !v.Status.ExpiresAt.Equal(r.until) {
		say("stands at %s until %s, want %s until %s", v.Status.Status, v.Status.ExpiresAt, want, r.until)
	}
	if len(r.counts) > 0 && v.Policy.Version != max(r.policy, 1) {
		say("folded under version %d, want %d", v.Policy.Version, r.policy)
	}
	var counts []string
	for _, rec := range v.Records {
		if !r.received[rec.Update.ID] {
			say("record %s, which had not come", rec.Update.ID)
		}
		if id := rec.Update.ID; p.words[id].ID != "" && rec.TakenBack == "" && rec.Verdict != WasUnfolded && rec.Verdict != kyc.Unrouted && rec.Verdict != kyc.Duplicate {
			counts = append(counts, id)
		}
	}
	slices.Sort(counts)
	if !slices.Equal(counts, r.counts) {
		say("these records counted: %q, want %q", counts, r.counts)
	}
	causes := map[string]time.Time{}
	for _, rec := range today.Records { // what had waited was applied with the order that set it free
		if id := rec.Update.ID; !p.nameless[id] {
			causes[id] = r.folded[id]
		}
	}
	var decided []uint64
	last := kyc.NotStarted
	for _, c := range today.Changes {
		when, ok := causes[c.CauseID]
		if !ok {
			when = w.freed(p, c.ReceivedAt, c.CauseID)
		}
		if !when.After(at) {
			decided = append(decided, c.Sequence)
			if Decides(c.Type) {
				last = c.Status
			}
		}
	}
	var got []uint64
	for _, c := range v.Changes {
		got = append(got, c.Sequence)
	}
	if p.given < 2 && (!slices.Equal(got, decided) || last != want) { // else a change may have had its cause twice
		say("changes %d, want %d; the last says %s", got, decided, last)
	}
	if len(got) > 0 {
		if i := slices.IndexFunc(today.Changes, func(c kyc.Change) bool { return c.Sequence > got[len(got)-1] }); i >= 0 && i != len(got) {
			say("changes %d, which is not all up to the last", got)
		}
	}
	if told && p.partner == "acme" && p.given < 2 {
		wrong = append(wrong, w.compareTold(v, today, got, r, at)...)
	}
	return wrong
}

// freed is when a record without a name was applied whose change says that its newest record was
// received then: with the first order after it that gave it to the person, or at once.
func (w *lives) freed(p *person, _ time.Time, id string) time.Time {
	bound, waits := false, false
	for _, e := range w.entries {
		switch {
		case e.u.ID == id && bound:
			return e.folded
		case e.u.ID == id:
			waits = true
		case e.u.Subject.ID != p.id:
		case e.u.TakenBack != "":
			bound = false
		case e.u.UnroutedID != "":
			if bound = true; waits {
				return e.folded
			}
		}
	}
	return time.Time{}
}

// compareTold compares what the partner had accepted, and what was owed to him or dead, with what
// he saw himself. Two tries in vain are a death; an order gives two more.
func (w *lives) compareTold(v, today *SubjectView, decided []uint64, r replayed, at time.Time) (wrong []string) {
	var accepted uint64
	var owed, dead []uint64
	for _, c := range today.Changes {
		if !slices.Contains(decided, c.Sequence) || !strings.HasPrefix(c.Type, "kyc.status.") {
			continue
		}
		tries := slices.DeleteFunc(slices.Clone(w.tries[c.ID]), func(t tried) bool { return t.at.After(at) })
		orders := r.redelivery[c.ID]
		failed, is := 0, "owed"
		for _, t := range tries {
			if failed++; t.code == 200 {
				is = "accepted"
				accepted = max(accepted, c.Sequence)
			} else if is == "owed" && failed == 2 {
				is = "dead"
				if i := slices.IndexFunc(orders, func(o time.Time) bool { return !o.Before(t.at) }); i >= 0 {
					failed, is, orders = 0, "owed", orders[i+1:]
				}
			}
		}
		switch is {
		case "owed":
			owed = append(owed, c.Sequence)
		case "dead":
			dead = append(dead, c.Sequence)
		}
	}
	e := v.Endpoints[0]
	var isOwed, isDead []uint64
	for _, o := range e.Owed {
		isOwed = append(isOwed, o.Sequence)
	}
	for _, d := range e.Dead {
		isDead = append(isDead, d.Sequence)
	}
	if e.Accepted != accepted || !slices.Equal(isOwed, owed) || !slices.Equal(isDead, dead) {
		wrong = append(wrong, fmt.Sprintf("accepted up to %d, owed %d, dead %d; want %d, %d, %d", e.Accepted, isOwed, isDead, accepted, owed, dead))
		for _, c := range today.Changes {
			if slices.Contains(isOwed, c.Sequence) != slices.Contains(owed, c.Sequence) || slices.Contains(isDead, c.Sequence) != slices.Contains(dead, c.Sequence) {
				wrong = append(wrong, fmt.Sprintf("tries of %d: %v; ordered again %v; it ended %+v", c.Sequence, w.tries[c.ID], r.redelivery[c.ID], slices.DeleteFunc(slices.Clone(today.Deliveries), func(o OutcomeView) bool { return o.Sequence != c.Sequence })))
			}
		}
	}
	return wrong
}
