package relay

import (
	"encoding/binary"
	"slices"
	"strings"

	"countersign/outbox/store"
)

// A subject on disk: its lane first, so that one whose rest is damaged still names whose it is; then
// what the relay keeps beside the state, as varints and texts with their length; then the state in
// its own encoding. Equal subjects give equal bytes.
//
// It is read and written for every record: as JSON, what stands beside the state was more than half
// of both (BenchmarkSubject).
const subjectVersion = 3

// subjectRoom is what most subjects take, beside their lane, in bytes.
const subjectRoom = 1 << 10

// Flags.
const (
	subjectTold   = 1 // where the last change of the status stands is known
	subjectAhead  = 2
	subjectDriven = 4

	subjectFlags = subjectTold | subjectAhead | subjectDriven
)

// appendTo appends the subject, as decode reads it.
func (s *subject) appendTo(b []byte) []byte {
	b = appendText(append(b, subjectVersion), s.lane)
	flags := byte(0)
	if s.Told != (place{}) {
		flags |= subjectTold
	}
	if s.Ahead {
		flags |= subjectAhead
	}
	if s.Driven {
		flags |= subjectDriven
	}
	b = append(b, flags, byte(s.Stands))
	b = binary.AppendVarint(b, int64(s.Policy))
	b = binary.AppendVarint(b, int64(s.First))
	b = binary.AppendVarint(b, s.Timer)
	b = binary.AppendVarint(b, int64(s.Refs))
	b = binary.AppendUvarint(b, s.Floor)
	b = binary.AppendVarint(b, s.Upto)
	if flags&subjectTold != 0 {
		b = binary.AppendVarint(b, s.Told.At)
		b = binary.AppendVarint(b, int64(s.Told.Partition))
		b = binary.AppendVarint(b, s.Told.Offset)
		b = binary.AppendUvarint(b, s.Told.Sequence)
	}
	b = binary.AppendUvarint(b, uint64(len(s.Owed)))
	for i := range s.Owed {
		b = binary.AppendUvarint(appendText(b, s.Owed[i].endpoint), s.Owed[i].sequence)
	}
	b = binary.AppendUvarint(b, uint64(len(s.Trusts)))
	for _, endpoint := range s.Trusts {
		b = appendText(b, endpoint)
	}
	b, _ = s.State.AppendBinary(b) // it never fails
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// encode is the subject as a record that the store completes.
func (s *subject) encode() []byte { return s.appendTo(store.StartRecord(subjectRoom + len(s.lane))) }

// decode undoes appendTo. Of bytes that are damaged it reads as much as it can: the lane stands
// first.
func (s *subject) decode(b []byte) error {
	r := unpacker{b: b}
	version, lane := r.flag(), r.part()
	if s.Lane = s.lane; string(lane) != s.lane {
		s.Lane = string(lane)
	}
	if version != subjectVersion {
		return store.ErrBadRecord
	}
	flags := r.flag()
	s.Stands = standing(r.flag())
	s.Policy, s.First, s.Timer, s.Refs = int(r.signed()), int(r.signed()), r.signed(), int(r.signed())
	s.Floor, s.Upto = r.number(), r.signed()
	s.Ahead, s.Driven = flags&subjectAhead != 0, flags&subjectDriven != 0
	if flags&subjectTold != 0 {
		s.Told = place{r.signed(), int32(r.signed()), r.signed(), r.number()} //nolint:gosec // written from one
	}
	s.Owed = nil
	if n := r.count(); n > 0 {
		s.Owed = make(lastOwed, 0, n)
		for range n {
			s.Owed = append(s.Owed, owedMark{r.text(), r.number()})
		}
	}
	s.Trusts = nil
	for range r.count() {
		s.Trusts = append(s.Trusts, r.text())
	}
	if r.bad || flags&^subjectFlags != 0 || s.Lane != s.lane || !s.Owed.sorted() {
		return store.ErrBadRecord
	}
	return s.State.UnmarshalBinary(r.b)
}

// lastOwed is the last sequence that each endpoint was owed, sorted by endpoint. There are a few of
// them, so a list costs less than a map, and is written as it stands.
type lastOwed []owedMark

type owedMark struct {
	endpoint string
	sequence uint64
}

func (o lastOwed) find(endpoint string) (at int, ok bool) {
	return slices.BinarySearchFunc(o, endpoint, func(m owedMark, endpoint string) int { return strings.Compare(m.endpoint, endpoint) })
}

// of is what an endpoint was owed last; 0: nothing.
func (o lastOwed) of(endpoint string) uint64 {
	if at, ok := o.find(endpoint); ok {
		return o[at].sequence
	}
	return 0
}

// set notes what an endpoint was owed last.
func (o *lastOwed) set(endpoint string, sequence uint64) {
	at, ok := o.find(endpoint)
	if !ok {
		*o = slices.Insert(*o, at, owedMark{endpoint: endpoint})
	}
	(*o)[at].sequence = sequence
}

func (o lastOwed) sorted() bool {
	for i := 1; i < len(o); i++ {
		if o[i-1].endpoint >= o[i].endpoint {
			return false
		}
	}
	return true
}

// all is a copy by endpoint, for whoever shows it; nil: nobody was owed anything.
func (o lastOwed) all() map[string]uint64 {
	if len(o) == 0 {
		return nil
	}
	m := make(map[string]uint64, len(o))
	for _, x := range o {
		m[x.endpoint] = x.sequence
	}
	return m
}

// owedOf is what stands in a map.
func owedOf(m map[string]uint64) (o lastOwed) {
	for endpoint, seq := range m {
		o.set(endpoint, seq)
	}
	return o
}
