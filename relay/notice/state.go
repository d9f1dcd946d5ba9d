package notice

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"countersign/outbox"
	"countersign/outbox/store"
)

// What is kept stands among the positions and counts of the file. A record that is damaged counts
// as not there: then something may be told once more, and nothing less.

var sequenceKey = []byte("notice/sequence") // of notices, over all endpoints

const (
	statePrefix = "notice/endpoint/"
	deathPrefix = "notice/dead/"
	keyPrefix   = "notice/key/"
)

func stateKey(endpoint string) []byte  { return []byte(statePrefix + endpoint) }
func deathsKey(endpoint string) []byte { return []byte(deathPrefix + endpoint) }

func keyKey(endpoint string, until time.Time) []byte {
	return []byte(keyPrefix + endpoint + "/" + strconv.FormatInt(until.Unix(), 10))
}

// state is what has been told last of an endpoint.
type state struct {
	Disabled string    `json:"disabled,omitempty"` // why it was
	Trouble  bool      `json:"trouble,omitempty"`  // told of, and not yet that it has recovered
	Since    time.Time `json:"since,omitzero"`
}

// deaths are deliveries that have died at an endpoint and of which nobody has been told.
type deaths struct {
	Count      int            `json:"count"`
	Rejections int            `json:"rejections,omitempty"`
	Reasons    map[string]int `json:"reasons"`
	Since      time.Time      `json:"since"`
	Deliveries []string       `json:"deliveries"` // the first of them, by id
}

func readStates(tx *store.Tx) map[string]*state {
	all := map[string]*state{}
	each(tx, statePrefix, func(id string, v []byte) {
		s := &state{}
		if json.Unmarshal(v, s) == nil {
			all[id] = s
		}
	})
	return all
}

func readDeaths(tx *store.Tx) map[string]deaths {
	all := map[string]deaths{}
	each(tx, deathPrefix, func(id string, v []byte) {
		var d deaths
		if json.Unmarshal(v, &d) == nil {
			all[id] = d
		}
	})
	return all
}

func each(tx *store.Tx, prefix string, fn func(id string, v []byte)) {
	c := tx.Bucket(store.Meta).Cursor()
	for k, v := c.Seek([]byte(prefix)); bytes.HasPrefix(k, []byte(prefix)); k, v = c.Next() {
		if v != nil {
			fn(strings.TrimPrefix(string(k), prefix), v)
		}
	}
}

func deathsOf(tx *store.Tx, endpoint string) (d deaths) {
	v, err := tx.Bucket(store.Meta).Get(deathsKey(endpoint))
	if err != nil || v == nil || json.Unmarshal(v, &d) != nil {
		return deaths{} // none, or damaged: begun anew
	}
	return d
}

// state is a copy of what has been told last of an endpoint.
func (n *Notifier) state(endpoint string) state {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s := n.states[endpoint]; s != nil {
		return *s
	}
	return state{}
}

// write keeps a state, in memory once the transaction is on stable storage.
func (n *Notifier) write(tx *store.Tx, endpoint string, s state) error {
	tx.OnCommit(func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.states[endpoint] = &s
		delete(n.recovered, endpoint)
	})
	if s == (state{}) {
		return tx.Bucket(store.Meta).Delete(stateKey(endpoint))
	}
	v, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return tx.Bucket(store.Meta).Put(stateKey(endpoint), v)
}

// hasRecovered reports whether an endpoint in trouble has accepted something since, and when. What
// one that is disabled had under way says nothing.
func (n *Notifier) hasRecovered(endpoint string, enabled bool) (at time.Time, yes bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !enabled {
		delete(n.recovered, endpoint)
	}
	at, yes = n.recovered[endpoint]
	return at, yes
}

// Settled notes how a delivery ended, in the transaction that ends it. It is a hook of the outbox,
// and may be called again if the transaction is.
func (n *Notifier) Settled(tx *store.Tx, a outbox.Attempt) error {
	id := a.Delivery.Endpoint
	switch a.Outcome {
	case outbox.Done:
		if n.state(id).Trouble {
			at := a.At.Add(a.Took).UTC() // else each attempt would be kept, for those that need it
			tx.OnCommit(func() {
				n.mu.Lock()
				defer n.mu.Unlock()
				n.recovered[id] = at
			})
		}
	case outbox.Died:
		if a.Reason != outbox.Overtaken && !IsNotice(a.Delivery.Lane) { // what is overtaken nobody misses; a notice about notices nobody wants
			return died(tx, &a)
		}
	case outbox.Retry, outbox.Cancelled:
	}
	return nil
}

func died(tx *store.Tx, a *outbox.Attempt) error {
	id := a.Delivery.Endpoint
	d := deathsOf(tx, id)
	if d.Count++; d.Since.IsZero() {
		d.Since = a.At.UTC()
	}
	if d.Reasons == nil {
		d.Reasons = map[string]int{}
	}
	d.Reasons[a.Reason]++
	if a.Delivery.Restrictive {
		d.Rejections++
	}
	if len(d.Deliveries) < named {
		d.Deliveries = append(d.Deliveries, a.Delivery.ID())
	}
	v, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("record a dead-lettered delivery: %w", err)
	}
	return tx.Bucket(store.Meta).Put(deathsKey(id), v)
}
