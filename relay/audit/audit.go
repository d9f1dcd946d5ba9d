// Package audit is the audit trail: who called what, and what came of it. It owns the bucket audit.
//
// Its promises: what was written is never changed, and each entry carries the hash of all before
// it, so that whoever noted a head once finds out whether anything up to it was changed, removed,
// inserted or moved since (Verify). What has had its time leaves its hash behind (Retain). No
// person is named in it: whoever is, stands there as a keyed digest, which its caller makes.
package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign/outbox/store"
)

// Kind is what an entry says.
type Kind byte

// The kinds. Their numbers are a part of every hash: never renumber.
const (
	Begun   Kind = iota + 1 // a call is changing something: what came of it is said by another entry, which names this one
	Done                    // it was done
	Failed                  // it was not done, or not all of it, and may have had an effect
	Refused                 // it did nothing, because of its caller's own mistake
)

// String is the kind as the API shows it.
func (k Kind) String() string {
	switch k {
	case Begun:
		return "begun"
	case Done:
		return "done"
	case Failed:
		return "failed"
	case Refused:
		return "refused"
	default:
		return ""
	}
}

// Entry is one call. Every text in it is bounded, and none names a person.
type Entry struct {
	Kind   Kind      `json:"-"`
	At     time.Time `json:"-"` // to the microsecond, UTC
	Number uint64    `json:"-"` // from 1 on, given by Append
	Call   string    `json:"call"`
	Actor  string    `json:"actor"`
	Scope  string    `json:"scope,omitempty"`
	Path   string    `json:"path,omitempty"`
	Status int       `json:"status,omitempty"` // of the answer, unless it was 200
	Error  string    `json:"error,omitempty"`  // its code
	Key    string    `json:"key,omitempty"`    // the id of the endpoint's key that it made

	Changed bool     `json:"changed,omitempty"` // it was refused, and has had an effect all the same
	Persons []string `json:"persons,omitempty"` // digests of whom it was about
	Refs    []string `json:"refs,omitempty"`    // digests of providers' refs that it was about

	Endpoints []string  `json:"endpoints,omitempty"` // ids of the endpoints that it was about
	Set       []Setting `json:"set,omitempty"`       // what it changed of how they are configured

	Begun uint64 `json:"begun,omitempty"` // the entry of kind Begun that this one completes

	Because string `json:"because,omitempty"` // why, where the call said so: of an erasure, a release, a discard
	Last    *Last  `json:"last,omitempty"`    // of an erasure: what was decided last of the person
}

// Setting is a key of an endpoint's config that a call has changed. It never holds a secret.
type Setting struct {
	Endpoint string `json:"endpoint"`
	Key      string `json:"key"`
	Was      string `json:"was,omitempty"` // empty: it was not set
	Is       string `json:"is,omitempty"`  // empty: it is not set any more
}

// Last is what was decided last of somebody who was erased.
type Last struct {
	Status   string    `json:"status"`
	At       time.Time `json:"at"`
	Sequence uint64    `json:"sequence"`
}

// Hash is of an entry with all before it.
type Hash [sha256.Size]byte

// Head is an entry by its number, and the hash of the chain up to it. The zero Head is that of a
// trail in which nothing has ever stood.
type Head struct {
	Number uint64
	Hash   Hash
	At     time.Time // when its entry was written; zero where nobody knows
}

// String is the head as an auditor notes it.
func (h Head) String() string { return fmt.Sprintf("%d:%x", h.Number, h.Hash[:]) }

// ParseHead reads what String wrote.
func ParseHead(s string) (h Head, err error) {
	number, hash, _ := strings.Cut(s, ":")
	if h.Number, err = strconv.ParseUint(number, 10, 64); err == nil {
		var b []byte
		if b, err = hex.DecodeString(hash); err == nil && copy(h.Hash[:], b) != len(h.Hash) || len(b) != len(h.Hash) {
			err = errors.New("the hash has not 32 bytes")
		}
	}
	if err != nil {
		return Head{}, fmt.Errorf("a head is a number, a colon and 64 hex digits: %w", err)
	}
	return h, nil
}

// An entry in the file is: a version (1 byte), the kind (1, with the mark of one that was reduced),
// the time (8, microseconds), the number (8), the hash of the chain before it (32) and with it
// (32), and what it says (JSON), or of one that was reduced the SHA-256 of that.
const (
	version = 1
	reduced = 0x80 // in the kind: what it said has had its time
	atKind  = 1
	atTime  = 2
	atNum   = 10
	atPrev  = 18
	atHash  = 50
	atText  = 82
)

// record is an entry as it stands in the file.
type record struct {
	kind    Kind
	reduced bool
	at      int64
	number  uint64
	prev    Hash
	hash    Hash
	text    []byte // JSON; of a reduced one the SHA-256 of it. A part of the file
}

func parse(v []byte) (r record, ok bool) {
	if len(v) < atText || v[0] != version {
		return r, false
	}
	r.kind, r.reduced = Kind(v[atKind]&^reduced), v[atKind]&reduced != 0
	r.at, r.number = int64(binary.BigEndian.Uint64(v[atTime:])), binary.BigEndian.Uint64(v[atNum:]) //nolint:gosec // as it was written
	copy(r.prev[:], v[atPrev:])
	copy(r.hash[:], v[atHash:])
	r.text = v[atText:]
	return r, !r.reduced || len(r.text) == sha256.Size
}

// sum is the hash that an entry should have: over what it says, when, as which, and all before it.
// Every part has a fixed length, so that none can pass for a part of another.
func (r *record) sum() Hash {
	text := textSum(r.text)
	if r.reduced {
		copy(text[:], r.text)
	}
	b := append(make([]byte, 0, 128), "countersign/audit/1"...)
	b = append(b, byte(r.kind))
	b = binary.BigEndian.AppendUint64(b, uint64(r.at)) //nolint:gosec // the same bits
	b = binary.BigEndian.AppendUint64(b, r.number)
	b = append(b, r.prev[:]...)
	return sha256.Sum256(append(b, text[:]...))
}

// textSum is what is left of what an entry says, when it has had its time.
func textSum(text []byte) [sha256.Size]byte { return sha256.Sum256(text) }

func (r *record) bytes() []byte {
	kind := byte(r.kind)
	if r.reduced {
		kind |= reduced
	}
	b := make([]byte, 0, atText+len(r.text))
	b = append(b, version, kind)
	b = binary.BigEndian.AppendUint64(b, uint64(r.at)) //nolint:gosec // the same bits
	b = binary.BigEndian.AppendUint64(b, r.number)
	b = append(append(b, r.prev[:]...), r.hash[:]...)
	return append(b, r.text...)
}

// entry reads what it says; of a reduced one, when and as which.
func (r *record) entry() (e Entry, err error) {
	if !r.reduced {
		err = json.Unmarshal(r.text, &e)
	}
	e.Kind, e.At, e.Number = r.kind, time.UnixMicro(r.at).UTC(), r.number
	return e, err
}

func (r *record) head() Head { return Head{r.number, r.hash, time.UnixMicro(r.at).UTC()} }

// The keys of the bucket. Entries stand by number; the head and the anchor, which cannot be made
// again, stand there twice.
var (
	headKey   = []byte("h")
	anchorKey = []byte("a") // up to which entry the front has had its time
)

const (
	entryKeys     = 'e' // number
	completedKeys = 'c' // number of an entry of kind Begun that another completes
	personKeys    = 'p' // digest of a person or an endpoint, number
)

func entryKey(n uint64) []byte { return binary.BigEndian.AppendUint64([]byte{entryKeys}, n) }

func completedKey(n uint64) []byte { return binary.BigEndian.AppendUint64([]byte{completedKeys}, n) }

// personKey is where an entry about a person is found; n 0: where they begin.
func personKey(digest string, n uint64) []byte {
	sum := sha256.Sum256([]byte(digest)) // a digest may have any length
	return binary.BigEndian.AppendUint64(append([]byte{personKeys}, sum[:16]...), n)
}

// endpointDigest is an endpoint in the place of a person's digest, which it is never equal to.
func endpointDigest(id string) string { return "endpoint\x00" + id }

// about are the digests under which an entry is found.
func (e *Entry) about() []string {
	all := slices.Clone(e.Persons)
	for _, id := range e.Endpoints {
		all = append(all, endpointDigest(id))
	}
	return all
}

// numbered is the number in the key of an entry.
func numbered(k []byte) (n uint64, ok bool) {
	if len(k) != 9 || k[0] != entryKeys {
		return 0, false
	}
	return binary.BigEndian.Uint64(k[1:]), true
}

// Append writes an entry behind all others, with its number, in the transaction that it is about.
func Append(tx *store.Tx, e *Entry) (Head, error) {
	b := tx.Bucket(store.Audit)
	last, err := headOf(b)
	if err != nil {
		return last, err
	}
	text, err := json.Marshal(e)
	if err != nil {
		return last, err
	}
	r := record{kind: e.Kind, at: e.At.UnixMicro(), number: last.Number + 1, prev: last.Hash, text: text}
	r.hash = r.sum()
	e.Number = r.number
	head := r.head()
	if err := errors.Join(b.Put(entryKey(r.number), r.bytes()), b.PutTwice(headKey, head.bytes())); err != nil {
		return head, err
	}
	if e.Begun != 0 {
		if err := b.Put(completedKey(e.Begun), nil); err != nil {
			return head, err
		}
	}
	for _, p := range e.about() {
		if err := b.Put(personKey(p, r.number), nil); err != nil {
			return head, err
		}
	}
	return head, nil
}

// HeadOf is the head of the trail.
func HeadOf(tx *store.Tx) (Head, error) { return headOf(tx.Bucket(store.Audit)) }

// headOf reads the head. Where both copies are damaged, the last entry tells what it was; and if
// that is damaged too, the chain begins anew behind it, which Verify says.
func headOf(b store.Bucket) (Head, error) {
	v, err := b.GetEither(headKey)
	if h, ok := parseHead(v); ok {
		return h, nil
	}
	if err != nil && !errors.Is(err, store.ErrBadRecord) {
		return Head{}, err
	}
	k, v := lastEntry(b.Cursor())
	n, ok := numbered(k)
	if !ok {
		return anchorOf(b).Head, nil
	}
	if r, ok := parse(v); ok && r.number == n {
		return r.head(), nil
	}
	return Head{Number: n}, nil
}

// lastEntry moves to the last entry; its key is none of an entry where there is none.
func lastEntry(c *store.Cursor) (k, v []byte) { return before(c, ^uint64(0)) }

// before moves to the last entry whose number is smaller.
func before(c *store.Cursor, n uint64) (k, v []byte) {
	if k, _ = c.Seek(entryKey(n)); k == nil {
		return c.Last()
	}
	return c.Prev()
}

func (h Head) bytes() []byte {
	b := binary.BigEndian.AppendUint64(nil, h.Number)
	return binary.BigEndian.AppendUint64(append(b, h.Hash[:]...), uint64(h.At.UnixMicro()))
}

const headBytes = 8 + sha256.Size + 8

func parseHead(v []byte) (h Head, ok bool) {
	if len(v) < headBytes {
		return h, false
	}
	h.Number = binary.BigEndian.Uint64(v)
	copy(h.Hash[:], v[8:])
	h.At = time.UnixMicro(int64(binary.BigEndian.Uint64(v[8+sha256.Size:]))).UTC() //nolint:gosec // as it was written
	return h, true
}

// Anchor is up to which entry the front of the trail has had its time and has left: the hash of
// that one is what the first that is kept was written after.
type Anchor struct {
	Head
	Left time.Time // when it left
}

func (a *Anchor) bytes() []byte {
	return binary.BigEndian.AppendUint64(a.Head.bytes(), uint64(a.Left.UnixMicro()))
}

// anchorOf reads the anchor; zero: nothing has left, or nobody can tell.
func anchorOf(b store.Bucket) (a Anchor) {
	v, err := b.GetEither(anchorKey)
	if h, ok := parseHead(v); ok && err == nil && len(v) == headBytes+8 {
		a = Anchor{h, time.UnixMicro(int64(binary.BigEndian.Uint64(v[headBytes:]))).UTC()} //nolint:gosec // as it was written
	}
	return a
}

// says reports whether an entry's text has a value under a name, without reading all of it.
func says(text []byte, name, value string) bool {
	quoted, err := json.Marshal(value)
	return err == nil && bytes.Contains(text, append([]byte(`"`+name+`":`), quoted...))
}

// Holds reports whether an entry stands where and as Append said.
func Holds(tx *store.Tx, h Head) bool {
	v, err := tx.Bucket(store.Audit).Get(entryKey(h.Number))
	r, ok := parse(v)
	return err == nil && ok && r.number == h.Number && r.hash == h.Hash
}
