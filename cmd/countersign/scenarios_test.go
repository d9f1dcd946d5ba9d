package main

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/kyc/truth"
)

// performance is a scenario as it is played over HTTP.
type performance struct {
	truth.Scenario // with the times as they are played
	about          string
	notes          []string // how it differs from the scenario as it is written
	scale          scale
	policy         truth.Policy
	until          time.Time // while it is approved, with the policy's twelve months where the provider gives no date

	lines []string // of the table
	seen  int      // webhooks that stand in the table
}

// The scales of scenarios whose ends the policy gives: a hundred minutes, or five hundred, are its
// twelve months.
const (
	hundred     = scale(365 * 24 * time.Hour / 100)
	fiveHundred = scale(365 * 24 * time.Hour / 500)
)

// TestScenarios plays every scenario of the definition over HTTP: what the partner is told last is
// what the scenario wants, the poll says the same, sequences have no gap, and the exact webhooks
// that each word owes stand in a table. UPDATE_GOLDEN=1 writes the table.
func TestScenarios(t *testing.T) {
	var all []*performance
	for i, sc := range truth.Scenarios() {
		if slices.ContainsFunc(sc.History, func(x truth.Update) bool { return !x.Taken.IsZero() || x.Skew > 0 }) {
			continue // here every word says whose it is, and one node receives it; TestTakenBefore of relay has words that wait
		}
		p := cast(sc)
		if p == nil {
			t.Errorf("%s: the definition says something else of every way in which it could come over HTTP", sc.Name)
			continue
		}
		p.about = partnerFor(p.policy) + ":" + fmt.Sprintf("s%03d", i+1)
		all = append(all, p)
	}
	for _, s := range []scale{scale(time.Minute), hundred, fiveHundred} {
		play(t, slices.DeleteFunc(slices.Clone(all), func(p *performance) bool { return p.scale != s }))
	}
	var table strings.Builder
	for _, p := range all {
		table.WriteString(p.block())
	}
	compareGolden(t, "scenarios.golden", table.String())
}

// cast finds how a scenario can be played; nil: it cannot. It is, of the ways that the definition
// says come to the same, the one that is nearest to how it is written.
func cast(sc truth.Scenario) *performance {
	type change struct {
		note string
		to   func(truth.Scenario) (truth.Scenario, bool)
	}
	same := func(sc truth.Scenario) (truth.Scenario, bool) { return sc, true }
	arrivals := []change{{"", same}, {"nothing arrives before it has happened", noSooner}, {"all arrives as it happens", atOnce}}
	for _, ends := range []struct {
		scale
		change
	}{
		{scale(time.Minute), change{"", undated}},
		{hundred, change{"a hundred minutes are the policy's twelve months", hundred.stretched}},
		{fiveHundred, change{"five hundred minutes are the policy's twelve months", fiveHundred.stretched}},
	} {
		for _, a := range arrivals {
			for _, policy := range policiesFor(sc) {
				arrived, ok := a.to(sc)
				if !ok {
					continue
				}
				p := &performance{scale: ends.scale, policy: policy}
				if p.Scenario, ok = ends.to(arrived); !ok || !p.possible() {
					continue
				}
				for _, note := range []string{a.note, ends.note} {
					if note != "" {
						p.notes = append(p.notes, note)
					}
				}
				if len(sc.Policy.Required) == 0 {
					p.notes = append(p.notes, "the scenario requires nothing, which no partner can")
				}
				return p
			}
		}
	}
	return nil
}

// possible reports whether it can happen so: nothing comes before it happened, the clock does not
// go back, and the definition says of it what the scenario wants.
func (p *performance) possible() bool {
	last := t0.Add(-time.Hour)
	for i := range p.History {
		x := &p.History[i]
		if x.At.After(x.Received.Add(5*time.Minute)) || x.Received.Before(last) {
			return false
		}
		last = x.Received
	}
	if last.After(p.Now) {
		return false
	}
	var got truth.Status
	got, p.until = dated(p.History).Tell(p.policy, p.Now)
	return (got == p.Want) != p.Not && (!p.Dated || p.Until.IsZero() || p.until.Equal(p.Until))
}

// dated gives the approvals without a date of the provider's the end that the policy gives them.
func dated(h truth.History) truth.History {
	h = slices.Clone(h)
	for i := range h {
		x := &h[i]
		whole := x.Key.Type == string(kyc.IdentityVerification) || x.Key.Type == string(kyc.BusinessVerification)
		if whole && x.Status == truth.Approved && (x.Expires.IsZero() || x.Assumed) {
			x.Expires, x.Assumed = kyc.AddMonths(happens(x), 12), true
		}
	}
	return h
}

func happens(x *truth.Update) time.Time {
	if x.At.IsZero() {
		return x.Received
	}
	return x.At
}

// undated refuses scenarios with ends that a policy would have to give after minutes.
func undated(sc truth.Scenario) (truth.Scenario, bool) {
	return sc, !slices.ContainsFunc(sc.History, func(x truth.Update) bool { return x.Assumed })
}

// stretched makes a year of so many minutes that a policy can give the ends.
func (s scale) stretched(sc truth.Scenario) (truth.Scenario, bool) {
	longer := func(t time.Time) time.Time {
		if t.IsZero() {
			return t
		}
		return t0.Add(t.Sub(t0) / time.Minute * time.Duration(s))
	}
	out := sc
	out.History, out.Now, out.Until = slices.Clone(sc.History), longer(sc.Now), longer(sc.Until)
	for i := range out.History {
		x := &out.History[i]
		x.At, x.Received, x.AskedAt = longer(x.At), longer(x.Received), longer(x.AskedAt)
		switch {
		case !x.Assumed:
			x.Expires = longer(x.Expires)
		case x.Expires.Equal(sc.Until):
			out.Until = kyc.AddMonths(happens(x), 12)
		}
	}
	return out, true
}

// noSooner lets what a provider's clock puts after its arrival arrive then.
func noSooner(sc truth.Scenario) (truth.Scenario, bool) {
	return arriving(sc, func(x *truth.Update) time.Time {
		if x.At.After(x.Received) {
			return x.At
		}
		return x.Received
	}), true
}

// atOnce lets everything arrive as it happens.
func atOnce(sc truth.Scenario) (truth.Scenario, bool) {
	return arriving(sc, func(x *truth.Update) time.Time {
		if x.At.IsZero() && x.Received.After(sc.Now) {
			return t0
		}
		return happens(x)
	}), true
}

func arriving(sc truth.Scenario, when func(x *truth.Update) time.Time) truth.Scenario {
	sc.History = slices.Clone(sc.History)
	last := t0
	for i := range sc.History {
		x := &sc.History[i]
		if x.Received = when(x); x.Received.Before(last) {
			x.Received = last
		}
		last = x.Received
	}
	return sc
}

// policiesFor are the scenario's policy; if it requires nothing, which cannot be configured, what a
// partner may require in its place.
func policiesFor(sc truth.Scenario) []truth.Policy {
	if len(sc.Policy.Required) > 0 {
		return []truth.Policy{sc.Policy}
	}
	var types []string
	for i := range sc.History {
		if t := sc.History[i].Key.Type; !slices.Contains(types, t) {
			types = append(types, t)
		}
	}
	all := []truth.Policy{{Required: []string{string(kyc.IdentityVerification)}}}
	for _, t := range types {
		all = append(all, truth.Policy{Required: []string{t}})
	}
	return append(all, truth.Policy{Required: types})
}

func partnerFor(p truth.Policy) string { return strings.Join(p.Required, "+") }

// play plays performances together on one stage: all that happens at one time, and then the next.
func play(t *testing.T, all []*performance) {
	t.Helper()
	policies, sources, times := map[string]kyc.Policy{}, map[string]bool{}, map[time.Time]bool{}
	for _, p := range all {
		var required []kyc.Check
		for _, c := range p.policy.Required {
			required = append(required, kyc.Check(c))
		}
		policies[partnerFor(p.policy)] = kyc.Policy{Required: required}
		times[p.Now] = true
		for _, x := range p.History {
			sources[x.Key.Source], times[x.Received] = true, true
		}
	}
	g := newStage(t, slices.Collect(maps.Keys(sources)), policies)
	playing := slices.Clone(all)
	for _, now := range slices.SortedFunc(maps.Keys(times), time.Time.Compare) {
		g.goOn(now, func(at time.Time) { g.look(playing, at) })
		g.speak(playing, now)
		playing = slices.DeleteFunc(playing, func(p *performance) bool {
			over := p.Now.Equal(now)
			if over {
				p.judge(g)
			}
			return over
		})
	}
}

// speak says what is said at a time: everybody's first word, then everybody's second.
func (g *stage) speak(all []*performance, now time.Time) {
	for round, more := 0, true; more; round++ {
		more = false
		var speaking sync.WaitGroup
		slots := make(chan struct{}, 16)
		for _, p := range all {
			word, nth := -1, 0
			for i := range p.History {
				if p.History[i].Received.Equal(now) {
					if nth == round {
						word = i
					}
					nth++
				}
			}
			if word < 0 {
				continue
			}
			more = true
			w := said{Update: p.History[word]}
			p.lines = append(p.lines, w.line(p.scale, now))
			speaking.Go(func() {
				slots <- struct{}{}
				g.say(p.about, fmt.Sprintf("%s word %d", p.about, word), w)
				<-slots
			})
		}
		speaking.Wait()
		g.settled()
		g.look(all, time.Time{})
	}
}

// look writes into the table what partners have been told since; without a time it is what was said
// last that owed it.
func (g *stage) look(all []*performance, at time.Time) {
	for _, p := range all {
		got := g.post.told(p.about)
		if len(got) > p.seen && !at.IsZero() {
			p.lines = append(p.lines, p.scale.when(at)+" time")
		}
		for i := p.seen; i < len(got); i++ {
			p.lines = append(p.lines, got[i].line(p.scale))
		}
		p.seen = len(got)
	}
}

// judge compares what has been told with what the scenario wants.
func (p *performance) judge(g *stage) {
	got := g.post.told(p.about)
	last := lastStatus(g, p.about, got)
	is := last.Data.Status == outcomes[p.Want] && last.Data.Terminal == (p.Want == truth.RejectedTerminal)
	if is == p.Not {
		g.t.Errorf("%s (%s): told %s, terminal %v; want %v (not: %v)", p.Name, p.about, last.Data.Status, last.Data.Terminal, p.Want, p.Not)
	}
	if last.Data.Status == kyc.Approved && !last.Data.ExpiresAt.Equal(p.until) {
		g.t.Errorf("%s (%s): told until %s, want %s", p.Name, p.about, last.Data.ExpiresAt, p.until)
	}
	p.lines = append(p.lines, fmt.Sprintf("%s is %s", p.scale.when(p.Now), p.Want))
}

// lastStatus is the last change of the status that was told; sequences must have no gap, and the
// poll must say the same.
func lastStatus(g *stage, about string, got []webhook) (last webhook) {
	last.Data.Status, last.Data.PreviousStatus = kyc.NotStarted, kyc.NotStarted
	for i := range got {
		h := &got[i]
		if h.Data.Sequence != uint64(i+1) || h.Data.PreviousSequence != uint64(i) {
			g.t.Errorf("%s: webhook %d has sequence %d after %d", about, i+1, h.Data.Sequence, h.Data.PreviousSequence)
		}
		if strings.HasPrefix(h.Type, "kyc.status.") && h.Type != "kyc.status.expiring" {
			last = *h
		}
	}
	if len(got) == 0 {
		return last
	}
	poll, err := g.poll(about)
	want := last.Data
	want.Sequence, want.PreviousSequence, want.PreviousStatus, want.Subject.ID, want.Document.Type = uint64(len(got)), 0, "", "", "" // of the last change of any type; the others are a webhook's own
	if want.DecidedBy == "" {                                                                                                        // a webhook names only what takes away
		poll.DecidedBy = ""
	}
	if err != nil || !reflect.DeepEqual(poll, want) {
		g.t.Errorf("%s: the poll says\n%+v, %v, and the last webhook\n%+v", about, poll, err, want)
	}
	return last
}

// block is a scenario in the table.
func (p *performance) block() string {
	head := p.Name + "\nrequires " + strings.Join(p.policy.Required, ", ")
	if len(p.notes) > 0 {
		head += " (" + strings.Join(p.notes, "; ") + ")"
	}
	return head + "\n" + strings.Join(p.lines, "\n") + "\n\n"
}
