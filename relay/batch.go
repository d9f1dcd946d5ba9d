package relay

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay/registry"
)

// batch is the effect of some records, worked out against a read transaction and then written in
// one: nothing is decoded, applied or rendered while the store's writer waits. The fold is the only
// writer of what it reads here, so what it has read still stands when it writes.
//
// One batch follows another, so what they need is made once (spare): maps, lists, and the room for
// keys and records. BenchmarkFold shows what that saves.
type batch struct {
	r        *Relay
	tx       *store.Tx
	now      *registry.Snapshot    // what decides about the whole batch; see registry
	taken    time.Time             // when the record that is worked on was taken: from then on what it owes is owed
	subjects map[string]*subject   // by lane
	refs     map[string]*refStrand // by refKey: those that this batch has changed
	writes   []write
	owed     []outbox.Delivery
	repeated []outbox.Delivery // what replays owe, perhaps once more
	decided  []decided         // for Kafka
	queued   queued
	orders   []order
	tallies  map[kyc.Verdict]int
	statuses map[kyc.Status]int
	claims   int
	unclear  int // refs that became ambiguous
	unasked  int // changes that a filter failed about

	counted     map[string]int64 // by how much what is counted moves
	submissions map[string]int   // what became of claims in the fold, where the door could not know
	folded      map[string]int64 // submissions, by partner
	unrouted    int64
	besideNow   map[string][]byte     // what this batch has written to the refs bucket beside strands, by key; nil: deleted
	routed      []effect              // what refs have told persons since the last release
	asideNow    map[string]store.Name // subjects that this batch sets aside, and for what
	back        map[string]bool       // subjects that it makes anew
	moved       []string              // entries of the timers bucket that this batch takes away
	timed       bool                  // it has put others there
	at          journal.Position      // of the record that is worked on, or the last of those that are
	freed       int                   // groups of unrouted records that it has set free so far
	freeing     bool                  // such a group is worked on
	late        int                   // which it is itself among those, if it comes after some; 0: it comes first

	traced []tracedRecord // those that are sampled
	begun  time.Time      // where something is traced: when the work on the current record began

	partners map[string]*partnerNow // by any id
	last     *partnerNow            // the one that was asked for last, and
	lastID   string                 // by which id
	room     arena                  // of keys and records: the file's until the commit has ended
	reads    [2]*store.Cursor       // of subjects and refs, in the read transaction
	scratch                         // used by one step, and by the next
}

// scratch is used again by each record.
type scratch struct {
	key  []byte
	said []saying        // of together
	us   []kyc.Update    // of apply
	did  []historyRecord // of apply
	told []effect        // of teach
	read refStrand       // of whose
}

type write struct {
	bucket     store.Name
	key, value []byte // value: a record that the store completes; nil: delete
}

// order is a redelivery that an operator asked for.
type order struct {
	id       string
	lane     string
	at       time.Time // when its record was taken
	offset   int64     // of that
	force    bool
	replayed bool // by a replay
}

// newBatch is the last one, emptied, or a new one. r.folding is held.
func (r *Relay) newBatch() *batch {
	b := r.spare
	if r.spare = nil; b != nil {
		return b
	}
	return &batch{
		r: r, subjects: map[string]*subject{}, refs: map[string]*refStrand{}, tallies: map[kyc.Verdict]int{}, statuses: map[kyc.Status]int{},
		counted: map[string]int64{}, submissions: map[string]int{}, folded: map[string]int64{}, besideNow: map[string][]byte{},
		asideNow: map[string]store.Name{}, back: map[string]bool{}, partners: map[string]*partnerNow{},
	}
}

// What is kept from one batch to the next, at most.
const (
	spareWrites = 16 << 10
	spareRoom   = 4 << 20 // bytes
)

// done gives a batch back when nobody reads it any more: its commit has ended, or there was none. A
// batch whose commit may still be under way is never given back. r.folding is held.
func (b *batch) done() {
	if len(b.writes) > spareWrites || b.room.size() > spareRoom {
		return
	}
	clear(b.subjects)
	clear(b.refs)
	clear(b.tallies)
	clear(b.statuses)
	clear(b.counted)
	clear(b.submissions)
	clear(b.folded)
	clear(b.besideNow)
	clear(b.asideNow)
	clear(b.back)
	clear(b.partners)
	is := batch{
		r: b.r, subjects: b.subjects, refs: b.refs, tallies: b.tallies, statuses: b.statuses, counted: b.counted, submissions: b.submissions, folded: b.folded,
		besideNow: b.besideNow, asideNow: b.asideNow, back: b.back, partners: b.partners,
		writes: empty(b.writes), owed: empty(b.owed), repeated: empty(b.repeated), room: b.room, scratch: b.scratch,
	}
	is.room.reset()
	*b = is
	b.r.spare = b
}

// empty is a list that holds nothing, and keeps its room.
func empty[T any](list []T) []T {
	clear(list)
	return list[:0]
}

// put writes a record that store.NewRecord or StartRecord began; nil deletes.
func (b *batch) put(bucket store.Name, key, value []byte) {
	b.writes = append(b.writes, write{bucket, key, value})
}

// registry is the snapshot that a batch is worked out by: one for all of it, so that no two of its
// records are told to different endpoints. The fold, and all that it calls, learns from it alone
// what decides whom a change is owed to, and how it is said: by Options.Snapshot that is a function
// of where its records stand. Without, it is what counts now: what a record needs to be there was
// published before it was appended.
func (b *batch) registry() *registry.Snapshot {
	if b.now == nil {
		b.now = b.r.o.Registry.Read()
	}
	return b.now
}

// errNotRead says that nobody knows here yet what decides about a record.
var errNotRead = errors.New("the registry has not been read as far as this record says")

// governed are the first of some records that one snapshot decides about, which the batch is then
// worked out by. errNotRead: it is not known which.
func (b *batch) governed(records []journal.Record) ([]journal.Record, error) {
	if b.r.o.Snapshot == nil {
		return records, nil
	}
	for i := range records {
		switch now := b.r.o.Snapshot(records[i].Position); {
		case i == 0 && now == nil:
			return nil, errNotRead
		case i == 0:
			b.now = now
		case now != b.now:
			return records[:i], nil
		}
	}
	return records, nil
}

// partnerNow is what a batch needs to know of one partner, looked up once.
type partnerNow struct {
	kept      string // the id that it is kept under
	shown     string // the one that it has now
	claims    string // the name under which its open claims are counted
	known     bool
	policies  map[int]kyc.Policy
	endpoints []endpointNow
}

type endpointNow struct {
	*registry.Endpoint
	names []string // that it had before
}

// partner is a partner by any id that it has or had.
func (b *batch) partner(id string) *partnerNow {
	if b.last != nil && b.lastID == id {
		return b.last
	}
	p := b.partners[id]
	if p == nil {
		now := b.registry()
		p = &partnerNow{kept: now.Kept(id), shown: now.Shown(id), claims: openClaims + id, policies: now.Policies(id)}
		if is := now.Partner(id); is != nil {
			p.known, p.endpoints = true, make([]endpointNow, len(is.Endpoints))
			for i := range is.Endpoints {
				e := &is.Endpoints[i]
				p.endpoints[i] = endpointNow{e, now.Formerly(e.ID)}
			}
		}
		if b.partners == nil {
			b.partners = map[string]*partnerNow{}
		}
		b.partners[id] = p
	}
	b.last, b.lastID = p, id
	return p
}

// laneOf is Relay.laneOf within the batch.
func (b *batch) laneOf(partner, id string, livemode bool) string {
	return laneOf(b.partner(partner).kept, id, livemode)
}

// get reads what stands in the file under a key. Its cursor stays where it is for the next: that
// saves what bbolt allocates for each look-up.
func (b *batch) get(n store.Name, key []byte) (body []byte, err error) {
	at := 0
	if n == store.Refs {
		at = 1
	}
	if b.reads[at] == nil {
		b.reads[at] = b.tx.Bucket(n).Cursor()
	}
	k, body := b.reads[at].Seek(key)
	switch {
	case !bytes.Equal(k, key):
		return nil, nil
	case body == nil:
		return nil, store.ErrBadRecord
	}
	return body, nil
}

// arena is room for keys and records. What it has given is whole until reset, which whoever wrote
// them calls after the commit.
type arena struct {
	chunks [][]byte // of arenaChunk bytes each
	full   int      // chunks before the one that is filled
	used   int      // of that
}

const arenaChunk = 64 << 10

// begin gives an empty slice with room for size bytes at least. Whatever is appended to it, end
// takes it; only one is begun at a time.
func (a *arena) begin(size int) []byte {
	if size > arenaChunk {
		return make([]byte, 0, size)
	}
	if arenaChunk-a.used < size {
		a.full, a.used = a.full+1, 0
	}
	if a.full == len(a.chunks) {
		a.chunks = append(a.chunks, make([]byte, arenaChunk))
	}
	return a.chunks[a.full][a.used:a.used]
}

// end keeps what begin gave. If it has grown beyond its room it stands elsewhere, and is as good.
func (a *arena) end(b []byte) []byte {
	if cap(b) == arenaChunk-a.used { // what has moved has more
		a.used += len(b)
	}
	return slices.Clip(b)
}

// text is a copy of a string.
func (a *arena) text(s string) []byte { return a.end(append(a.begin(len(s)), s...)) }

// bare is a record without a body.
func (a *arena) bare() []byte { return a.end(store.AppendRecord(a.begin(store.RecordHeader))) }

func (a *arena) size() int { return len(a.chunks) * arenaChunk }

func (a *arena) reset() { a.full, a.used = 0, 0 }
