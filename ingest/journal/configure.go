package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"countersign/outbox/store"
)

// Settings are what of a journal can change while it is used; see Options for what each means.
type Settings struct {
	Asking    []string
	Questions map[string]int
	Endpoints int
}

// Configure makes these count: nil once they do. With an error everything is as it was. What a
// source that has ended left open stays open, is counted and is listed.
func (j *Bolt) Configure(ctx context.Context, to Settings) error {
	err := j.o.Store.Update(ctx, func(tx *store.Tx) error { // the writer's turn: nothing is counted meanwhile
		was := j.unproved.Load()
		now := countOn(to.Questions, was)
		open := map[string]int{}
		eachQuestion(tx, func(source string, q *Question) {
			open[source]++
			if q != nil && was.counts(source) == nil {
				now.add(source, weight(q))
			}
		})
		tx.OnCommit(func() {
			j.unproved.Store(now)
			j.cost.of(to.Endpoints)
			j.m.follow(to.Asking, was, now, open)
		})
		return nil
	})
	if err != nil {
		return fmt.Errorf("configure the journal: %w", err)
	}
	return nil
}

// eachQuestion goes over all that are open. q is nil of one that cannot be read.
func eachQuestion(tx *store.Tx, fn func(source string, q *Question)) {
	prefix := []byte("q\x00")
	c := tx.Bucket(store.Questions).Cursor()
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		if v == nil {
			continue
		}
		source, _, _ := bytes.Cut(k[len(prefix):], []byte{0})
		q := new(Question)
		if json.Unmarshal(v, q) != nil {
			q = nil
		}
		fn(string(source), q)
	}
}

// follow makes the series of sources that are new, and takes out those of sources that have ended
// and left nothing open.
func (m *metrics) follow(asking []string, was, now *unproved, open map[string]int) {
	asks := map[string]bool{}
	for _, source := range asking {
		asks[source] = true
		m.open.WithLabelValues(source).Set(float64(open[source]))
	}
	for source := range m.asking {
		if !asks[source] && open[source] == 0 {
			m.open.DeleteLabelValues(source)
		}
	}
	m.asking = asks
	for source := range was.open {
		if now.open[source] == nil {
			m.unproved.DeleteLabelValues(source)
		}
	}
	for source, n := range now.open {
		m.unproved.WithLabelValues(source).Set(float64(n.Load()))
	}
}
