package main

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// topicFindings are what the ledger of the topics says beside that of the provider and, where there
// are some, those of the partner.
type topicFindings struct {
	Acked    int            `json:"acked_events"`
	Marks    int            `json:"faults_made"` // kills of the gateway, and what was done to brokers
	Updates  streamFindings `json:"updates"`
	Changes  streamFindings `json:"changes"`
	Examples []string       `json:"examples,omitempty"`
}

// streamFindings are what is to be said of one topic.
type streamFindings struct {
	Records  int `json:"records"`
	Distinct int `json:"distinct"` // ids
	Others   int `json:"others"`   // distinct ones that no callback makes: not held against anything

	Lost        int `json:"lost"`
	Invented    int `json:"invented"`
	Altered     int `json:"altered"`       // one id with two values, or another content than was sent
	Malformed   int `json:"malformed"`     // headers or form
	Moved       int `json:"moved"`         // a key in two partitions
	OutOfOrder  int `json:"out_of_order"`  // once repeated ids are dropped
	Gaps        int `json:"sequence_gaps"` // of a subject's changes, which are numbered from 1
	Holes       int `json:"offset_holes"`  // the reader was not given everything, so that nothing can be said
	PartnerOnly int `json:"partner_only"`  // changes that a partner was told and the topic was not
	TopicOnly   int `json:"topic_only"`    // status changes that the topic was told and no partner was

	Again       int `json:"taken_again"`            // a callback that was sent again: the same id, taken at another moment
	Repeated    int `json:"repeated"`               // the same record again
	Unexplained int `json:"repeated_without_fault"` // of these, those that no fault explains
	Allowed     int `json:"repeats_faults_excuse"`  // a bound: one repeat of whatever was read around a fault, and of no more than what may be under way
}

// faults is how much is wrong beyond what any fault excuses.
func (s *streamFindings) faults() int {
	return s.Lost + s.Invented + s.Altered + s.Malformed + s.Moved + s.OutOfOrder + s.Gaps + s.Holes + s.PartnerOnly + s.TopicOnly
}

func (f *topicFindings) faults() int { return f.Updates.faults() + f.Changes.faults() }

// problems are what is wrong though no record is.
func (f *topicFindings) problems() (problems []string) {
	for name, s := range map[string]*streamFindings{topicUpdates: &f.Updates, topicChanges: &f.Changes} {
		if s.Unexplained > 0 {
			problems = append(problems, fmt.Sprintf("%s: %d repeats are explained by no fault", name, s.Unexplained))
		}
		if s.Repeated > s.Allowed {
			problems = append(problems, fmt.Sprintf("%s: %d repeats are more than the %d that the faults excuse", name, s.Repeated, s.Allowed))
		}
	}
	return problems
}

func (f *topicFindings) example(format string, args ...any) {
	if len(f.Examples) < maxExamples {
		f.Examples = append(f.Examples, fmt.Sprintf(format, args...))
	}
}

// What a fault explains. A reader may be as late as a broker is gone, which the marks at both its
// ends take care of.
const (
	// beforeFault is how long before a fault a record may have gone out without the gateway having
	// noted that it arrived.
	beforeFault = time.Second
	// afterKill is how long after the gateway was killed a reader may still be given what went out
	// before.
	afterKill = time.Second
	// afterBroker is how long answers may be missing after something was done to a broker: its
	// session ends after 9 s, and a request under way with it may take as long again.
	afterBroker = 20 * time.Second
)

// mark is one fault that was made.
type mark struct {
	t     int64
	after time.Duration
}

func (m mark) covers(t int64) bool {
	return t >= m.t-beforeFault.Nanoseconds() && t <= m.t+m.after.Nanoseconds()
}

// firedEvent is one event, to be found by the digest of its body.
type firedEvent struct {
	firedLine
	place int // among the events of its subject, in the order in which they went out first
	sent  int // how often
	acked bool
	id    string // of the update that tells it; "": none was seen
}

// topicCourt is one judgement of the topics under way.
type topicCourt struct {
	court   // for what was sent, and the statuses it has to come to
	events  map[string]*firedEvent
	counts  map[string]int // events by subject
	marks   []mark
	updates *stream
	changes *stream
	told    map[string]*receivedLine // by webhook-id; nil: no partner is asked
	found   topicFindings
}

// stream is what was read of one topic.
type stream struct {
	found *streamFindings
	next  map[int32]int64 // offset expected, by partition
	ids   map[string]*copies
	keys  map[string]*line
}

// copies are the records that bear one id.
type copies struct {
	first topicLine
	last  map[string]int64 // when the latest was read, by the digest of its value
}

// line is the records of one key, repeats left out.
type line struct {
	partition int32
	highest   int // place of an update, or sequence of a change
	statuses  []string
}

func newStream(found *streamFindings) *stream {
	return &stream{found: found, next: map[int32]int64{}, ids: map[string]*copies{}, keys: map[string]*line{}}
}

// judgeTopics reads the ledgers and compares. Nothing in it knows the gateway.
func judgeTopics(o judgeOptions) (topicFindings, error) {
	c := &topicCourt{court: court{stories: map[string]*story{}}, events: map[string]*firedEvent{}, counts: map[string]int{}}
	c.updates, c.changes = newStream(&c.found.Updates), newStream(&c.found.Changes)
	if err := readLedgers(o.Fired, c.fired); err != nil {
		return c.found, err
	}
	c.found.Marks = len(c.marks)
	if len(o.Received) > 0 {
		c.told = map[string]*receivedLine{}
		if err := readLedgers(o.Received, c.received); err != nil {
			return c.found, err
		}
	}
	if err := readLedgers(o.Topics, c.record); err != nil {
		return c.found, err
	}
	c.missing()
	c.compareChanges()
	for _, s := range []*stream{c.updates, c.changes} {
		s.found.Allowed = min(s.found.Allowed, c.found.Marks*len(s.next)*atRisk)
	}
	return c.found, nil
}

// atRisk is how many records of one partition a fault may leave in doubt, by what docs/DESIGN.md
// says: a batch under way, and as many whose acknowledgement is not kept yet.
const atRisk = 1000

func (c *topicCourt) fired(l *firedLine) {
	switch l.Ev {
	case evKilled:
		c.marks = append(c.marks, mark{l.T, afterKill})
		return
	case evBroker:
		c.marks = append(c.marks, mark{l.T, afterBroker})
		return
	}
	c.court.fired(l)
	e := c.events[l.SHA]
	if e == nil {
		e = &firedEvent{firedLine: *l, place: c.counts[l.Subject]}
		c.counts[l.Subject]++
		c.events[l.SHA] = e
	}
	switch l.Ev {
	case evSent:
		e.sent++
	case evAcked:
		e.acked = true
	}
}

// received keeps what a partner has accepted.
func (c *topicCourt) received(r *receivedLine) {
	if r.OK && r.Answer >= 200 && r.Answer < 300 && c.told[r.ID] == nil {
		kept := *r
		c.told[r.ID] = &kept
	}
}

// record judges one record by all those before it.
func (c *topicCourt) record(l *topicLine) {
	s := c.updates
	if l.Topic == topicChanges {
		s = c.changes
	}
	next, begun := s.next[l.Partition]
	if begun && l.Offset < next {
		return // a reader that began anew
	}
	if begun && l.Offset > next {
		s.found.Holes++
		c.found.example("hole: %s/%d: offset %d follows %d", l.Topic, l.Partition, l.Offset, next-1)
	}
	s.next[l.Partition] = l.Offset + 1
	s.found.Records++
	if l.Bad != "" {
		s.found.Malformed++
		c.found.example("malformed: %s/%d/%d: %s", l.Topic, l.Partition, l.Offset, l.Bad)
	}
	k := s.keys[l.Key]
	if k == nil {
		k = &line{partition: l.Partition, highest: -1}
		s.keys[l.Key] = k
	} else if k.partition != l.Partition {
		s.found.Moved++
		c.found.example("moved: %s: key %s in partitions %d and %d", l.Topic, l.Key, k.partition, l.Partition)
	}
	if d := s.ids[l.ID]; d != nil {
		c.repeat(s, d, l)
		return
	}
	s.ids[l.ID] = &copies{first: *l, last: map[string]int64{l.SHA: l.T}}
	s.found.Distinct++
	c.allow(s, l)
	if s == c.updates {
		c.update(k, l)
	} else {
		c.change(k, l)
	}
}

// allow counts what faults excuse one repeat of: records read while a fault may have left open
// whether they had arrived.
func (c *topicCourt) allow(s *stream, l *topicLine) {
	if slices.ContainsFunc(c.marks, func(m mark) bool { return m.covers(l.T) }) {
		s.found.Allowed++
	}
}

// repeat judges a record whose id has been read before.
func (c *topicCourt) repeat(s *stream, d *copies, l *topicLine) {
	before, same := d.last[l.SHA]
	d.last[l.SHA] = l.T
	e := c.events[l.Body]
	switch {
	case l.Key != d.first.Key || l.Type != d.first.Type || !same && (l.Core != d.first.Core || e == nil):
		s.found.Altered++
		c.found.example("altered: %s: id %s has another value at %d/%d than at %d/%d", l.Topic, l.ID, l.Partition, l.Offset, d.first.Partition, d.first.Offset)
	case !same && len(d.last) > e.sent:
		s.found.Invented++
		c.found.example("invented: %s: id %s was taken %d times, and sent %d times", l.Topic, l.ID, len(d.last), e.sent)
	case !same:
		s.found.Again++
		c.allow(s, l)
	default:
		s.found.Repeated++
		if !c.excused(before, l.T) {
			s.found.Unexplained++
			c.found.example("repeated without a fault: %s/%d/%d: id %s, %s after the one before", l.Topic, l.Partition, l.Offset, l.ID, time.Duration(l.T-before))
		}
	}
}

// excused reports whether a fault explains that what was read at one time was read again at
// another.
func (c *topicCourt) excused(before, again int64) bool {
	return slices.ContainsFunc(c.marks, func(m mark) bool { return m.covers(before) && again >= m.t-beforeFault.Nanoseconds() })
}

// update judges an update that is read for the first time: by what was sent, and by its place.
func (c *topicCourt) update(k *line, l *topicLine) {
	f := c.updates.found
	if l.Type != "kyc.update.observation" && l.Body == "" {
		f.Others++
		return
	}
	e := c.events[l.Body]
	switch {
	case e == nil:
		f.Invented++
		c.found.example("invented: update %s of %s was never sent", l.ID, l.Key)
		return
	case e.id != "":
		f.Invented++
		c.found.example("invented: update %s tells what %s told before, event %d of %s", l.ID, e.id, e.N, e.Subject)
		return
	}
	e.id = l.ID
	if l.Subject != e.Subject || l.Status != e.Status || l.At != e.At {
		f.Altered++
		c.found.example("altered: update %s says %s %s at %d, and what was sent says %s %s at %d", l.ID, l.Subject, l.Status, l.At, e.Subject, e.Status, e.At)
	}
	if e.place < k.highest {
		f.OutOfOrder++
		c.found.example("out of order: update %s of %s: event %d was sent before what it follows", l.ID, l.Key, e.N)
	}
	k.highest = max(k.highest, e.place)
}

// missing counts the acknowledged events that no update tells.
func (c *topicCourt) missing() {
	for _, sha := range slices.Sorted(maps.Keys(c.events)) {
		e := c.events[sha]
		if !e.acked {
			continue
		}
		c.found.Acked++
		if e.id == "" {
			c.found.Updates.Lost++
			c.found.example("lost: event %d of %s was acknowledged and is not on %s", e.N, e.Subject, topicUpdates)
		}
	}
}
