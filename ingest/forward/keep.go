package forward

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"countersign/ingest/journal"
	"countersign/outbox/store"
)

func (f *Forwarder) key() []byte { return []byte("forward/" + f.o.Name) }

// kept is how far a topic is, as it stands in the file.
type kept struct {
	Places []journal.Position `json:"places"` // in the feed, by partition of the topic
}

// lowest is the one of some places that is behind the others; there is at least one.
func lowest(places []journal.Position) journal.Position {
	return slices.MinFunc(places, journal.Position.Compare)
}

// load reads how far each partition is; none: the topic has never been written to.
func (f *Forwarder) load() (places []journal.Position, err error) {
	err = f.o.Store.View(func(tx *store.Tx) error {
		v, err := tx.Bucket(store.Meta).Get(f.key())
		if v == nil {
			return err
		}
		var k kept
		err = json.Unmarshal(v, &k)
		places = k.Places
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read how far %s is: %w", f.o.Name, err)
	}
	return places, nil
}

// save writes how far each partition is, and tells the feed.
func (f *Forwarder) save(places []journal.Position) func(*store.Tx) error {
	body, err := json.Marshal(kept{places})
	return func(tx *store.Tx) error {
		return errors.Join(err, tx.Bucket(store.Meta).Put(f.key(), body), f.o.Feed.Pass(tx, lowest(places)))
	}
}

func (f *Forwarder) setKept(places []journal.Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept = lowest(places)
}

// publish tells everybody else how far each partition is.
func (r *run) publish() {
	f := r.f
	f.mu.Lock()
	defer f.mu.Unlock()
	for p := range r.w.parts {
		f.places[p], f.stuck[p] = r.w.place(p), r.w.parts[p].stuck
		if len(f.waiting[p]) == 0 {
			continue
		}
		left := f.waiting[p][:0]
		for _, w := range f.waiting[p] {
			if f.places[p].Reaches(w.place) {
				close(w.done)
				continue
			}
			left = append(left, w)
		}
		f.waiting[p] = left
	}
}
