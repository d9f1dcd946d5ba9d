package relay

import (
	"bytes"
	"errors"
	"strings"
	"time"

	"countersign/kyc"
	"countersign/outbox/store"
)

// Persons is which persons are asked for. The zero Persons is all test persons.
type Persons struct {
	Partner  string     // by any id that it has or had; "": of every partner
	Begins   string     // with Partner: whose ids begin so
	Livemode bool       // live persons, or test persons
	Status   kyc.Status // who stands so; "": wherever they stand
	Held     bool       // only those of whom a sanctions or PEP match stands that nobody has released
	After    string     // the next of the page before
	Limit    int        // of entries
}

// PersonView is one person in a list.
type PersonView struct {
	Partner   string
	ID        string
	Livemode  bool
	Status    kyc.View
	ChangedAt time.Time // of the status, as it was decided last; zero: never
	Held      int       // sanctions and PEP matches that nobody has released
	SetAside  bool      // something is damaged: nobody knows where they stand
}

// Persons lists who is kept, in the order of partners and ids: a page, and where the next one begins
// ("": there is none). It looks at ListLook of them at most, so a page may have fewer entries than
// its limit, or none, and go on.
func (r *Relay) Persons(q Persons) (list []PersonView, next string, looked int, err error) {
	prefix := ""
	if q.Partner != "" {
		prefix = r.kept(q.Partner) + "/" + q.Begins
	}
	from := []byte(prefix)
	if q.After != "" {
		from = []byte(q.After + "\x00") // no lane ends so
	}
	err = r.o.Store.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.Subjects).Cursor()
		last := ""
		for k, v := c.Seek(from); k != nil && bytes.HasPrefix(k, []byte(prefix)); k, v = c.Next() {
			if len(list) == q.Limit || looked == ListLook {
				next = last
				return nil
			}
			last = string(k)
			looked++
			if strings.HasSuffix(last, "\x01t") == q.Livemode {
				continue
			}
			if p, ok := r.person(last, v, &q); ok {
				list = append(list, p)
			}
		}
		return nil
	})
	return list, next, looked, err
}

// person is one entry, if it is asked for. v is its state as it was read; nil: it is damaged.
func (r *Relay) person(lane string, v []byte, q *Persons) (p PersonView, ok bool) {
	p.Partner, p.ID, p.Livemode = r.shownOf(lane)
	var err error
	if v == nil {
		err = errors.New("it cannot be read")
	}
	s, err := readSubject(lane, v, err)
	if p.SetAside = err != nil || r.aside.has(lane); p.SetAside {
		return p, q.Status == "" && !q.Held
	}
	if p.Status = s.State.View(); q.Status != "" && p.Status.Status != q.Status {
		return p, false
	}
	for _, c := range s.State.Checks() {
		p.Held += len(c.HeldBy)
	}
	if s.Told != (place{}) {
		p.ChangedAt = time.UnixMicro(s.Told.At).UTC()
	}
	return p, !q.Held || p.Held > 0
}
