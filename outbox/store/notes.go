package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
)

// errManyChanges says that a copy cannot keep up with the writer.
var errManyChanges = errors.New("too many records change meanwhile: try again when less comes in")

const (
	maxNoted  = 32 << 20 // bytes that the notes of one copy may take
	noteBytes = 64       // of them, what each takes beside its key
)

// notes are the records that the writer has changed since a copy of the file took them last: the
// bucket's number, with that of its part, and the key of each. The writer adds them once their transaction is on stable
// storage, so whoever takes them and reads the file after that finds what they say, or what is
// newer.
type notes struct {
	mu    sync.Mutex // guards the fields below
	keys  map[string]struct{}
	bytes int
	many  bool // there were more than the bound: the copy is lost
}

// add is called by the writer alone.
func (n *notes) add(keys []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.many {
		return
	}
	if n.keys == nil {
		n.keys = make(map[string]struct{}, len(keys))
	}
	for _, k := range keys {
		if _, ok := n.keys[k]; !ok {
			n.keys[k] = struct{}{}
			n.bytes += len(k) + noteBytes
		}
	}
	if n.bytes > maxNoted {
		n.keys, n.many = nil, true
	}
}

// take empties the notes and returns what was in them, in the order of the file.
func (n *notes) take() ([]string, error) {
	n.mu.Lock()
	keys, many := n.keys, n.many
	n.keys, n.bytes = nil, 0
	n.mu.Unlock()
	if many {
		return nil, errManyChanges
	}
	list := make([]string, 0, len(keys))
	for k := range keys {
		list = append(list, k)
	}
	slices.Sort(list)
	return list, nil
}

// len is how many there are.
func (n *notes) len() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.keys)
}

// pressing reports whether they should be taken soon.
func (n *notes) pressing() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.bytes > maxNoted/4
}

// note remembers that a write transaction has changed a record, if somebody copies the file.
func (tx *Tx) note(n Name, key []byte) {
	if watch := tx.watch; watch != nil {
		key := bytes.Clone(key)
		tx.OnCommit(func() { (*watch)(n.bare(), key) })
	}
	if tx.noting {
		tx.noted = append(tx.noted, noted(n, key))
	}
}

func noted(n Name, key []byte) string {
	return string(append(binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(key)), uint16(n)), key...))
}

// denoted is what noted has made one of.
func denoted(k string) (n Name, key []byte) {
	return Name(binary.BigEndian.Uint16([]byte(k[:2]))), []byte(k[2:])
}

// follow has the writer note what it changes from now on. While a part is dropped nobody can.
func (s *Store) follow(n *notes) func() error {
	return func() error {
		s.state.Lock()
		defer s.state.Unlock()
		if s.drops > 0 {
			return errDropping
		}
		s.copies = append(s.copies, n)
		return nil
	}
}

// leave ends that.
func (s *Store) leave(n *notes) func() error {
	return func() error {
		s.copies = slices.DeleteFunc(s.copies, func(m *notes) bool { return m == n })
		return nil
	}
}
