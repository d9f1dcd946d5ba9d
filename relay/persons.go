package relay

import (
	"bytes"
	"errors"
	"slices"
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
// ("": there is none). It finds them by the index of standings, so it looks at those that it lists
// and at hardly any other, whoever else is kept. Should much of that be damaged, it looks at ListLook
// entries at most, and a page may have fewer than its limit, or none, and go on.
func (r *Relay) Persons(q Persons) (list []PersonView, next string, looked int, err error) {
	prefix := ""
	if q.Partner != "" {
		prefix = r.kept(q.Partner) + "/" + q.Begins
	}
	err = r.o.Store.View(func(tx *store.Tx) error {
		last, seen := "", 0
		eachStanding(tx, q.Livemode, standingsOf(q.Status, q.Held), prefix, q.After, func(lane string) bool {
			if len(list) == q.Limit || seen == ListLook {
				next = last
				return false
			}
			last = lane
			seen++
			v, err := tx.Bucket(store.Subjects).Get([]byte(lane))
			if v == nil && err == nil {
				return true // it has no state: something is damaged
			}
			if p, ok := r.person(lane, v, &q); ok {
				list = append(list, p)
			}
			return true
		})
		looked = tx.Looked()
		return nil
	})
	return list, next, looked, err
}

// eachStanding calls fn with the lanes of one mode that stand in one of these ways, whose names begin
// so and come after another, in their order, until fn says no.
func eachStanding(tx *store.Tx, live bool, ways []standing, prefix, after string, fn func(lane string) bool) {
	type row struct {
		c    *store.Cursor
		part []byte // that their keys begin with
		lane string
	}
	var rows []*row
	for _, way := range ways {
		r := &row{c: tx.Bucket(store.Standings).Cursor(), part: append([]byte{standingMode(live), byte(way)}, prefix...)}
		from := r.part
		if after >= prefix && after != "" {
			from = append(append(bytes.Clone(r.part[:2]), after...), 0) // no lane ends so
		}
		if k, _ := r.c.Seek(from); bytes.HasPrefix(k, r.part) {
			r.lane = string(k[2:])
			rows = append(rows, r)
		}
	}
	for len(rows) > 0 {
		first := 0
		for i := range rows {
			if rows[i].lane < rows[first].lane {
				first = i
			}
		}
		r := rows[first]
		if !fn(r.lane) {
			return
		}
		if k, _ := r.c.Next(); bytes.HasPrefix(k, r.part) {
			r.lane = string(k[2:])
		} else {
			rows = slices.Delete(rows, first, first+1)
		}
	}
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
	p.Held = s.State.Held()
	if s.Told != (place{}) {
		p.ChangedAt = time.UnixMicro(s.Told.At).UTC()
	}
	return p, !q.Held || p.Held > 0
}
