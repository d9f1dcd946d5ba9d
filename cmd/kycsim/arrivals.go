package main

import "slices"

// endpoint is what one path of the partner saw.
type endpoint struct {
	copies map[string]*delivered // by webhook-id
	lanes  map[string]*lane      // by subject
}

// lane is what one path saw of one subject.
type lane struct {
	bySequence map[uint64]*delivered // the first id of each sequence
	accepted   []*delivered          // in the order of their first 2xx
	highest    uint64                // of these
}

// delivered is one webhook-id on one path, however often it came.
type delivered struct {
	subject, sha   string
	status, change string
	seq, prev      uint64
	accepted       int64 // when it was last answered 2xx; 0: never
}

// received judges one arrival by all those before it.
func (c *court) received(r *receivedLine) {
	f := &c.found
	f.Deliveries++
	for _, k := range c.kills {
		if r.T >= k-c.o.Around.Nanoseconds() && r.T <= k+stillCrossing.Nanoseconds() {
			f.AllowedRepeats++
		}
	}
	if !r.OK {
		f.BadlySigned++
		f.example("badly signed: %s %s", r.Path, r.ID)
		return
	}
	e := c.path(r.Path)
	l := e.lanes[r.Subject]
	if l == nil {
		l = &lane{bySequence: map[uint64]*delivered{}}
		e.lanes[r.Subject] = l
	}
	d := e.copies[r.ID]
	if d == nil {
		d = &delivered{subject: r.Subject, sha: r.SHA, status: r.Status, change: r.Type, seq: r.Seq, prev: r.Prev}
		e.copies[r.ID] = d
	} else if d.sha != r.SHA || d.subject != r.Subject || d.seq != r.Seq {
		f.Altered++
		f.example("altered: %s %s: another body than the time before", r.Path, r.ID)
	}
	c.order(l, d, r)
	if r.Answer >= 200 && r.Answer < 300 {
		if d.accepted == 0 {
			f.Accepted++
			l.accepted = append(l.accepted, d)
			l.highest = max(l.highest, d.seq)
		}
		d.accepted = r.T
	}
}

// order judges the place of an arrival within its lane.
func (c *court) order(l *lane, d *delivered, r *receivedLine) {
	f := &c.found
	first := l.bySequence[d.seq]
	if first == nil {
		first = d
		l.bySequence[d.seq] = d
	}
	switch {
	case d.accepted != 0:
		f.Duplicated++
		if !c.excused(d.accepted, r.T) {
			f.RepeatedAfter2xx++
			f.example("repeated after 2xx: %s %s", r.Path, r.ID)
		}
	case first != d:
		f.DuplicateWithOtherID++
		f.example("duplicate with other id: %s %s: sequence %d came before under another id", r.Path, r.ID, d.seq)
	case d.seq <= l.highest:
		f.OutOfOrder++
		f.example("out of order: %s %s: sequence %d of %s after %d was accepted", r.Path, r.ID, d.seq, r.Subject, l.highest)
	}
}

// excused reports whether a kill explains that what was accepted at one time came again at another.
func (c *court) excused(accepted, again int64) bool {
	if len(c.kills) == 0 {
		return c.o.Kills > 0 && again-accepted <= soonAfter.Nanoseconds()
	}
	i, _ := slices.BinarySearch(c.kills, accepted-c.o.Around.Nanoseconds())
	return i < len(c.kills) && c.kills[i] <= accepted+c.o.Around.Nanoseconds() && again >= c.kills[i]
}

// statuses are what the subject's status deliveries told, in the order of their sequence. One whose
// type and status disagree tells neither.
func (l *lane) statuses() (told []string) {
	for _, d := range sortBySequence(l.accepted) {
		status, ok := statusOf(d.change)
		switch {
		case !ok:
		case string(status) != d.status:
			told = append(told, d.change+"≠"+d.status)
		default:
			told = append(told, d.status)
		}
	}
	return told
}

// gaps counts accepted deliveries whose previous_sequence is not the one accepted before them.
func (e *endpoint) gaps(report func(subject string, d *delivered)) (n int) {
	for subject, l := range e.lanes {
		last := uint64(0)
		for _, d := range sortBySequence(l.accepted) {
			if d.prev != last {
				n++
				report(subject, d)
			}
			last = d.seq
		}
	}
	return n
}
