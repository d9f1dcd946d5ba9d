package main

import (
	"maps"
	"slices"
)

// change judges a change that is read for the first time, by its place and by what a partner was
// told.
func (c *topicCourt) change(k *line, l *topicLine) {
	f := c.changes.found
	seq := int(l.Seq) //nolint:gosec // far smaller
	switch want := max(k.highest, 0) + 1; {
	case seq < want:
		f.OutOfOrder++
		c.found.example("out of order: change %s: sequence %d of %s after %d", l.ID, seq, l.Key, k.highest)
	case seq > want:
		f.Gaps++
		c.found.example("gap: change %s: sequence %d of %s where %d was due", l.ID, seq, l.Key, want)
	}
	k.highest = max(k.highest, seq)
	status, tells := statusOf(l.Type)
	switch {
	case !tells:
		f.Others++
		return
	case string(status) != l.Status:
		k.statuses = append(k.statuses, l.Type+"≠"+l.Status)
	default:
		k.statuses = append(k.statuses, l.Status)
	}
	if c.told == nil {
		return
	}
	switch r := c.told[l.ID]; {
	case r == nil:
		f.TopicOnly++
		c.found.example("on the topic only: change %s, sequence %d of %s, was told to no partner", l.ID, seq, l.Key)
	case r.Subject != l.Subject || r.Status != l.Status || r.Seq != l.Seq || r.Type != l.Type:
		f.Altered++
		c.found.example("altered: change %s is %s %s %s %d on the topic and %s %s %s %d at the partner", l.ID, l.Subject, l.Type, l.Status, l.Seq, r.Subject, r.Type, r.Status, r.Seq)
	}
}

// compareChanges holds the statuses on the topic against those that were sent, and the partner's
// against the topic's.
func (c *topicCourt) compareChanges() {
	f := c.changes.found
	bySubject := map[string][]string{}
	for _, d := range c.changes.ids {
		if bySubject[d.first.Subject] == nil {
			bySubject[d.first.Subject] = c.changes.keys[d.first.Key].statuses
		}
	}
	for _, subject := range slices.Sorted(maps.Keys(bySubject)) {
		if n := len(bySubject[subject]); c.stories[subject] == nil && n > 0 {
			f.Invented += n
			c.found.example("invented: %s tells of %s, who was never sent", topicChanges, subject)
		}
	}
	for _, subject := range slices.Sorted(maps.Keys(c.stories)) {
		s, told := c.stories[subject], bySubject[subject]
		lost, invented := s.against(told)
		f.Lost += lost
		f.Invented += invented
		if lost+invented > 0 {
			acked, doubt := s.statuses()
			c.found.example("%d lost, %d invented: %s tells of %s %v; acknowledged were %v, in doubt are %v", lost, invented, topicChanges, subject, told, acked, doubt)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.told)) {
		if c.changes.ids[id] == nil {
			f.PartnerOnly++
			r := c.told[id]
			c.found.example("at the partner only: %s, sequence %d of %s, is not on %s", id, r.Seq, r.Subject, topicChanges)
		}
	}
}

func (f *topicFindings) figures() []figure {
	return append(f.Updates.figures(topicUpdates), f.Changes.figures(topicChanges)...)
}

func (s *streamFindings) figures(topic string) []figure {
	figures := []figure{
		count("records", s.Records), count("different ones", s.Distinct), count("of these, not from a callback or not a status", s.Others),
		count("lost", s.Lost), count("invented", s.Invented), count("altered", s.Altered), count("malformed", s.Malformed), count("keys in two partitions", s.Moved),
		count("out of order", s.OutOfOrder), count("sequence gaps", s.Gaps), count("offset holes", s.Holes),
		count("at the partner only", s.PartnerOnly), count("on the topic only", s.TopicOnly),
		count("callbacks that came again", s.Again), count("repeated", s.Repeated), count("of these, explained by no fault", s.Unexplained), count("repeats that the faults excuse", s.Allowed),
	}
	return under(topic, figures)
}

// under puts a heading before each name.
func under(heading string, figures []figure) []figure {
	for i := range figures {
		figures[i].name = heading + ": " + figures[i].name
	}
	return figures
}
