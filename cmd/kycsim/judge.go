package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// judgeOptions say where the ledgers are. Nothing in judging knows the gateway: it compares what
// was sent with what arrived.
type judgeOptions struct {
	Fired    []string
	Received []string
	Topics   []string // for judgeTopics
	Paths    []string // that must have been told everything; empty: those that were told something
	Kills    int      // of the gateway during the run, as the caller counted them

	Around time.Duration // a kill, in place of aroundKill: for a machine that is so busy that a gateway waits for its turn
}

// findings are what the ledgers say. Every fault is counted per path.
type findings struct {
	Persons    int `json:"persons"`
	Acked      int `json:"acked_events"`
	InDoubt    int `json:"in_doubt"` // sent, never acknowledged: may have arrived or not
	Deliveries int `json:"deliveries"`
	Accepted   int `json:"accepted"` // different ones, answered 2xx

	Lost                 int `json:"lost"`
	Invented             int `json:"invented"`
	Altered              int `json:"altered"`
	BadlySigned          int `json:"badly_signed"`
	OutOfOrder           int `json:"out_of_order"`
	DuplicateWithOtherID int `json:"duplicate_with_other_id"`

	Gaps             int `json:"sequence_gaps"`        // no fault by itself: a delivery that died leaves one
	Duplicated       int `json:"duplicated"`           // the same id again after a 2xx; a crash may do that
	RepeatedAfter2xx int `json:"repeated_after_2xx"`   // of these, those that no kill explains
	Kills            int `json:"kills"`                // in the ledgers
	AllowedRepeats   int `json:"repeats_kills_excuse"` // deliveries under way, or answered within 50 ms before a kill

	Examples []string `json:"examples,omitempty"`
}

// faults is how much is wrong beyond what any crash excuses.
func (f *findings) faults() int {
	return f.Lost + f.Invented + f.Altered + f.BadlySigned + f.OutOfOrder + f.DuplicateWithOtherID
}

const (
	maxExamples = 20
	// aroundKill is how long before or after a kill a 2xx may have been lost on its way to the
	// disk.
	aroundKill = 50 * time.Millisecond
	// stillCrossing is how long after a kill the partner may still read what was sent before it.
	stillCrossing = 50 * time.Millisecond
	// soonAfter explains a repeat where it is known that there were kills, but not when.
	soonAfter = 10 * time.Second
)

func (f *findings) example(format string, args ...any) {
	if len(f.Examples) < maxExamples {
		f.Examples = append(f.Examples, fmt.Sprintf(format, args...))
	}
}

// story is what was sent about one subject.
type story struct {
	events    map[int]*sentEvent
	lastFirst int // n of the last event that was sent for the first time
	reordered bool
}

type sentEvent struct {
	status string
	at     int64
	acked  bool
}

// court is one judgement under way.
type court struct {
	o       judgeOptions
	stories map[string]*story
	kills   []int64
	paths   map[string]*endpoint
	found   findings
}

// judge reads the ledgers and compares.
func judge(o judgeOptions) (findings, error) {
	o.Around = cmp.Or(o.Around, aroundKill)
	c := &court{o: o, stories: map[string]*story{}, paths: map[string]*endpoint{}}
	for _, p := range o.Paths {
		c.path(p)
	}
	if err := readLedgers(o.Fired, c.fired); err != nil {
		return c.found, err
	}
	slices.Sort(c.kills)
	if c.found.Kills = len(c.kills); c.found.Kills > 0 && o.Kills > 0 && c.found.Kills != o.Kills {
		return c.found, fmt.Errorf("judge: the ledgers tell of %d kills, not of %d", c.found.Kills, o.Kills)
	}
	if err := readLedgers(o.Received, c.received); err != nil {
		return c.found, err
	}
	c.count()
	if len(c.paths) == 0 {
		c.path("(nowhere)")
	}
	for _, name := range slices.Sorted(maps.Keys(c.paths)) {
		c.compare(name, c.paths[name])
	}
	return c.found, nil
}

func (c *court) path(name string) *endpoint {
	e := c.paths[name]
	if e == nil {
		e = &endpoint{copies: map[string]*delivered{}, lanes: map[string]*lane{}}
		c.paths[name] = e
	}
	return e
}

func (c *court) fired(l *firedLine) {
	switch l.Ev {
	case evKilled:
		c.kills = append(c.kills, l.T)
		return
	case evBroker:
		return // no reason for a partner to be told twice
	}
	s := c.stories[l.Subject]
	if s == nil {
		s = &story{events: map[int]*sentEvent{}, lastFirst: -1}
		c.stories[l.Subject] = s
	}
	e := s.events[l.N]
	if e == nil {
		e = &sentEvent{status: l.Status, at: l.At}
		s.events[l.N] = e
		s.reordered = s.reordered || l.N < s.lastFirst
		s.lastFirst = l.N
	}
	e.acked = e.acked || l.Ev == evAcked
}

func (c *court) count() {
	c.found.Persons = len(c.stories)
	for _, s := range c.stories {
		for _, e := range s.events {
			if e.acked {
				c.found.Acked++
			} else {
				c.found.InDoubt++
			}
		}
	}
}

// compare holds what one path was told against what was sent.
func (c *court) compare(name string, e *endpoint) {
	f := &c.found
	f.Gaps += e.gaps(func(subject string, d *delivered) {
		f.example("gap: %s %s: sequence %d follows another than its previous_sequence %d", name, subject, d.seq, d.prev)
	})
	for _, subject := range slices.Sorted(maps.Keys(e.lanes)) {
		if l := e.lanes[subject]; c.stories[subject] == nil && len(l.accepted) > 0 {
			f.Invented += len(l.accepted)
			f.example("invented: %s was told about %s, who was never sent", name, subject)
		}
	}
	for _, subject := range slices.Sorted(maps.Keys(c.stories)) {
		s, told := c.stories[subject], []string(nil)
		if l := e.lanes[subject]; l != nil {
			told = l.statuses()
		}
		lost, invented := s.against(told)
		f.Lost += lost
		f.Invented += invented
		if lost+invented > 0 {
			acked, doubt := s.statuses()
			f.example("%d lost, %d invented: %s was told of %s %v; acknowledged were %v, in doubt are %v", lost, invented, name, subject, told, acked, doubt)
		}
	}
}

// statuses are those acknowledged and those in doubt, in provider time.
func (s *story) statuses() (acked, doubt []string) {
	for _, n := range slices.Sorted(maps.Keys(s.events)) {
		if e := s.events[n]; e.acked {
			acked = append(acked, e.status)
		} else {
			doubt = append(doubt, e.status)
		}
	}
	return acked, doubt
}

// against counts the acknowledged events that told does not show, and what it shows beyond the
// events.
func (s *story) against(told []string) (lost, invented int) {
	if s.reordered {
		return s.lastOnly(told)
	}
	acked, _ := s.statuses()
	if slices.Equal(acked, told) {
		return 0, 0
	}
	return len(acked) - commonLength(acked, told), len(told) - commonLength(s.inOrder(), told)
}

// inOrder is everything that was sent, in provider time.
func (s *story) inOrder() (all []string) {
	for _, n := range slices.Sorted(maps.Keys(s.events)) {
		all = append(all, s.events[n].status)
	}
	return all
}

// lastOnly judges a person whose events were sent out of order: which of them became changes
// depends on the order, but the last word does not.
func (s *story) lastOnly(told []string) (lost, invented int) {
	var last *sentEvent
	for _, e := range s.events {
		if e.acked && (last == nil || e.at > last.at) {
			last = e
		}
	}
	sent := s.inOrder()
	for _, t := range told {
		if !slices.Contains(sent, t) {
			invented++
		}
	}
	if last == nil {
		return 0, invented
	}
	var possible []string
	for _, e := range s.events {
		if e == last || !e.acked && e.at > last.at {
			possible = append(possible, e.status)
		}
	}
	if len(told) == 0 || !slices.Contains(possible, told[len(told)-1]) {
		lost = 1
	}
	return lost, invented
}

// commonLength is the length of the longest common subsequence.
func commonLength(a, b []string) int {
	row := make([]int, len(b)+1)
	for _, x := range a {
		diagonal := 0
		for j, y := range b {
			above := row[j+1]
			if x == y {
				row[j+1] = diagonal + 1
			} else {
				row[j+1] = max(above, row[j])
			}
			diagonal = above
		}
	}
	return row[len(b)]
}

// sortBySequence puts what a lane accepted into the order that its numbers give it.
func sortBySequence(ds []*delivered) []*delivered {
	return slices.SortedFunc(slices.Values(ds), func(a, b *delivered) int { return cmp.Compare(a.seq, b.seq) })
}
