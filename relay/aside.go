package relay

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"countersign/kyc"
	"countersign/outbox/store"
	"countersign/relay/registry"
)

// A subject of whom something is damaged on disk is set aside: nothing new is told of it, what is
// said of it is kept in the order of its arrival, and everybody else goes on. What was owed before,
// and is whole, is still delivered. RebuildSubject ends it.

// ErrAside says that a subject is set aside.
var ErrAside = errors.New("a record of this subject is damaged: it is set aside, partners are told nothing new about it, and updates are kept, until it is rebuilt")

// asideMark is the value of the aside bucket.
type asideMark struct {
	Since  time.Time `json:"since"`
	Bucket string    `json:"bucket"` // of what is damaged
}

// asides is the aside bucket in memory: damage is rare, and every record asks.
type asides struct {
	mu    sync.RWMutex // guards lanes
	lanes map[string]asideMark
}

func (a *asides) has(lane string) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	_, ok := a.lanes[lane]
	return ok
}

func (a *asides) set(lane string, m asideMark) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lanes[lane] = m
}

func (a *asides) end(lane string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.lanes, lane)
}

func (a *asides) count() int {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return len(a.lanes)
}

// AsideView is a subject that is set aside.
type AsideView struct {
	Partner  string    `json:"partner"`
	ID       string    `json:"id"`
	Livemode bool      `json:"livemode"`
	Since    time.Time `json:"since"`
	Bucket   string    `json:"bucket"` // of what is damaged
}

// Aside lists the subjects that are set aside.
func (r *Relay) Aside() []AsideView {
	r.aside.mu.RLock()
	defer r.aside.mu.RUnlock()
	views := make([]AsideView, 0, len(r.aside.lanes))
	for _, lane := range slices.Sorted(maps.Keys(r.aside.lanes)) {
		m := r.aside.lanes[lane]
		v := AsideView{Since: m.Since, Bucket: m.Bucket}
		v.Partner, v.ID, v.Livemode = r.shownOf(lane)
		views = append(views, v)
	}
	return views
}

// openAside reads who is set aside.
func (r *Relay) openAside(tx *store.Tx) error {
	r.aside.lanes = map[string]asideMark{}
	return tx.Bucket(store.Aside).ForEach(func(k, v []byte) error {
		var m asideMark
		if json.Unmarshal(v, &m) != nil { // that there is a mark is what counts
			m.Bucket = store.Aside.String()
		}
		r.aside.lanes[string(k)] = m
		return nil
	})
}

// putAside marks a subject in a transaction.
func (r *Relay) putAside(tx *store.Tx, lane string, n store.Name) error {
	if tx.Bucket(store.Aside).Has([]byte(lane)) {
		return nil
	}
	m := asideMark{r.o.Now().UTC(), n.String()}
	v, err := json.Marshal(m)
	if err != nil {
		return err
	}
	tx.OnCommit(func() {
		r.aside.set(lane, m)
		r.o.Logger.Error("subject_set_aside", "partner", strings.SplitN(lane, "/", 2)[0], "bucket", m.Bucket)
	})
	return tx.Bucket(store.Aside).Put([]byte(lane), v)
}

// load is loadSubject for whoever must not look at half the truth.
func (r *Relay) load(tx *store.Tx, lane string) (*subject, error) {
	return r.loadBy(tx, r.o.Registry.Read(), lane)
}

// loadBy is load of somebody whose policy stands in a snapshot.
func (r *Relay) loadBy(tx *store.Tx, now *registry.Snapshot, lane string) (*subject, error) {
	if r.aside.has(lane) {
		return nil, ErrAside
	}
	v, err := tx.Bucket(store.Subjects).Get([]byte(lane))
	return r.loaded(tx, now, lane, v, err)
}

// loaded is loadBy of what has been read.
func (r *Relay) loaded(tx *store.Tx, now *registry.Snapshot, lane string, v []byte, err error) (*subject, error) {
	s, err := readSubject(lane, v, err)
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrAside, err)
	}
	if !s.known {
		if s.Floor, err = r.erasedUpTo(tx, lane); err != nil {
			return nil, fmt.Errorf("%w (%w)", ErrAside, err)
		}
	}
	if s.known && !knowsPolicy(now, s) {
		return nil, fmt.Errorf("%w (the version of its policy is)", ErrAside)
	}
	return s, nil
}

// knowsPolicy reports whether the version that a subject is folded under can be read. What is no
// longer configured has none.
func knowsPolicy(now *registry.Snapshot, s *subject) bool {
	partner, _, _ := strings.Cut(s.lane, "/")
	return s.Policy == 0 || now.Partner(partner) == nil || knows(now, partner, s.Policy)
}

// asideRef is the ref under which the records of a subject that is set aside wait. No provider's
// ref begins so.
func asideRef(lane string) string { return "\x03" + lane }

// withhold keeps what is said of a subject that is set aside, or is now, because of a bucket. Our
// own timers come again.
func (b *batch) withhold(lane string, said []saying, n store.Name) error {
	if !b.r.aside.has(lane) && b.asideNow[lane] == 0 {
		b.asideNow[lane] = n
	}
	for i := range said {
		if b.tallies[kyc.SetAside]++; said[i].u.Kind == kyc.Timer {
			continue
		}
		if err := b.keep(unroutedRecord{Record: *said[i].rec, Reason: kyc.SetAside}, []string{asideRef(lane)}); err != nil {
			return err
		}
	}
	return nil
}
