package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Report is what an examination has found.
type Report struct {
	Records   int64          `json:"records"`             // in all buckets
	Damaged   map[string]int `json:"damaged,omitempty"`   // by bucket: records that cannot be read
	Corrected map[string]int `json:"corrected,omitempty"` // by bucket: records of which one bit had changed, and is known
	Bent      bool           `json:"bent,omitempty"`      // records stand where nobody would find them
	Problems  []string       `json:"problems,omitempty"`  // what is sound, and does not fit together
}

// Sound reports whether the file can be used as it is.
func (r *Report) Sound() bool { return len(r.Damaged) == 0 && len(r.Corrected) == 0 && !r.Bent }

// Auditor looks at every sound record of one part of a file, bucket by bucket in the order of Names
// and within a bucket in the order of keys, and says at the end what does not fit together. Its
// memory must not grow with the file.
type Auditor interface {
	Record(n Name, key, body []byte)
	Problems() []string
}

// NewAuditor is asked once for each part of a file, 0 being the node's own; nil: there is nothing
// to say of that one.
type NewAuditor func(part uint8) Auditor

// The steps of an examination.
const (
	StepCheck = "checking_file"  // every page and record is read
	StepMend  = "repairing_file" // what can be read of a damaged file is written to another
)

// Progress is how far an examination is.
type Progress struct {
	Step        string // StepCheck or StepMend
	Done, Total int64  // bytes of the file that this step has come by
}

// Examiner is Examine, or something that has it done in another process.
type Examiner func(ctx context.Context, path, to string, tick func(Progress)) (Report, error)

// during is a tick of one step, or nil where nobody asks.
func during(step string, tick func(Progress)) func(done, total int64) {
	if tick == nil {
		return nil
	}
	return func(done, total int64) { tick(Progress{step, done, total}) }
}

// maxDamaged is how many damaged records are still records, and no longer a damaged file.
const maxDamaged = 10_000

// mendedKey stands in meta from the mending of a file until its owners have seen to what was
// damaged.
var mendedKey = []byte("store/mended")

// Unrepaired reports whether the owners of what is in the file have to look at what was damaged, or
// what does not fit together, before they use it. Repaired says that they have.
func (s *Store) Unrepaired() (yes bool, err error) {
	if s.found != nil && len(s.found.Problems) > 0 {
		return true, nil
	}
	err = s.View(func(tx *Tx) error {
		n, err := tx.Number(mendedKey)
		yes = n != 0
		return err
	})
	return yes, err
}

// Repaired ends what Unrepaired reports, with the transaction.
func (tx *Tx) Repaired() error { return tx.Bucket(Meta).Delete(mendedKey) }

// Examine reads a whole database that nobody writes to, believes nothing of it, and says what is
// damaged. Its memory is bounded, whatever stands in the file. An error wraps ErrCorrupt, and names
// the file: then records have gone, or are there as they once were, and nobody can say whose. Where
// to is given, and something is damaged, a new file is made there with all that is sound, what
// could be corrected, and the damaged records, as they are, in a bucket of their own: it is on
// stable storage then. The file itself is never changed.
func Examine(ctx context.Context, path, to string, tick func(Progress), auditors ...NewAuditor) (Report, error) {
	reading := during(StepCheck, tick)
	e, harder := examine(ctx, path, reading, false, auditors), false
	if e.err != nil && ctx.Err() == nil {
		if again := examine(ctx, path, reading, true, nil); again.err == nil {
			e, harder = again, true
		}
	}
	err := e.err
	var other *versionError
	switch {
	case ctx.Err() != nil:
		return e.report, ctx.Err()
	case errors.As(err, &other), errors.As(err, new(*os.PathError)), errors.Is(err, ErrLocked):
		return e.report, fmt.Errorf("%s: %w", path, err)
	case err != nil:
		return e.report, fmt.Errorf("%s: %w (%w); it is left as it is: restore a backup or move it aside", path, ErrCorrupt, err)
	}
	e.audited() // by none that have seen but some of the file
	if to == "" || e.report.Sound() {
		return e.report, nil
	}
	if err := rewrite(ctx, path, to, during(StepMend, tick), harder); err != nil {
		return e.report, fmt.Errorf("repair %s: %w; the new file needs as much room as the damaged one takes: make some, or restore a backup", path, err)
	}
	return e.report, nil
}

// examine walks a file once.
func examine(ctx context.Context, path string, tick func(done, total int64), harder bool, auditors []NewAuditor) *examination {
	e := newExamination(auditors)
	var bent bool
	bent, e.err = walkFile(ctx, path, e.record, tick, harder)
	if e.report.Bent = bent || e.bent; e.err == nil {
		e.err = e.compare()
	}
	return e
}

// examination is what is known of a file while it is walked.
type examination struct {
	auditors []NewAuditor
	parts    map[uint8]*examinedPart
	report   Report
	err      error // why the file cannot be used
	damaged  int
	bent     bool // a record stands in another bucket than its own
}

// examinedPart is what is known of one part.
type examinedPart struct {
	auditors []Auditor
	is, was  sums // as counted, and as the file says
}

func newExamination(auditors []NewAuditor) *examination {
	return &examination{auditors: auditors, parts: map[uint8]*examinedPart{}, report: Report{Damaged: map[string]int{}, Corrected: map[string]int{}}}
}

// part is that of a number.
func (e *examination) part(n uint8) *examinedPart {
	p := e.parts[n]
	if p == nil {
		p = &examinedPart{}
		for _, of := range e.auditors {
			if a := of(n); a != nil {
				p.auditors = append(p.auditors, a)
			}
		}
		e.parts[n] = p
	}
	return p
}

// audited asks the auditors of each part.
func (e *examination) audited() {
	for _, n := range slices.Sorted(maps.Keys(e.parts)) {
		for _, a := range e.parts[n].auditors {
			for _, text := range a.Problems() {
				if n != 0 {
					text = fmt.Sprintf("part %d: %s", n, text)
				}
				e.report.Problems = append(e.report.Problems, text)
			}
		}
	}
}

// versionError says that a file has another layout.
type versionError struct{ version []byte }

// Error implements error.
func (e *versionError) Error() string {
	return fmt.Sprintf("schema version %v, but this program knows %d only; use the program that wrote it", e.version, SchemaVersion)
}

func (e *examination) record(r leafRecord) error {
	key, value, ok := r.key, r.value, true
	if r.bucket == Meta && bytes.Equal(key, schemaKey) && len(value) == 1 { // as it was before records had heads
		return &versionError{bytes.Clone(value)}
	}
	body, err := unwrap(r.bucket, key, value)
	if err != nil {
		*r.last = true
		if e.damaged++; e.damaged > maxDamaged {
			return fmt.Errorf("more than %d damaged records", maxDamaged)
		}
		if n := home(r); n != 0 {
			r.bucket, e.bent, body = n, true, r.value[recordHeader:]
		} else if key, value, ok = correct(r); ok {
			e.report.Corrected[r.bucket.String()]++
			body = value[recordHeader:]
		} else {
			e.report.Damaged[r.bucket.String()]++
			value = r.value
		}
	}
	e.report.Records++
	p, n := e.part(r.bucket.part()), r.bucket.bare()
	if n != Meta {
		p.is.of[n].count++
		p.is.of[n].total += stored(value)
	}
	if !ok {
		return nil
	}
	if n == Meta {
		if err := p.meta(key, body); err != nil {
			return err
		}
	}
	for _, a := range p.auditors {
		a.Record(n, key, body)
	}
	return nil
}

func (p *examinedPart) meta(key, body []byte) error {
	switch {
	case bytes.Equal(key, schemaKey) && (len(body) != 1 || body[0] != SchemaVersion):
		return &versionError{bytes.Clone(body)}
	case bytes.Equal(key, sumsKey):
		return p.was.decode(body)
	case bytes.Equal(key, droppedKey): // nobody will read it: what is left need not fit together
		p.auditors = nil
	}
	return nil
}

// compare finds out whether what is there is what was written. A damaged record may be counted with
// a damaged checksum: then its bucket's sum says nothing of the others, which is all right unless
// whole pages have changed their places.
func (e *examination) compare() error {
	if believe {
		return nil
	}
	for _, part := range slices.Sorted(maps.Keys(e.parts)) {
		if err := e.comparePart(part, e.parts[part]); err != nil {
			return err
		}
	}
	return nil
}

func (e *examination) comparePart(part uint8, p *examinedPart) error {
	if n := e.report.Damaged[Meta.of(part).String()]; n > 0 {
		return fmt.Errorf("%d records of %s are damaged: the state of the file is unknown", n, Meta.of(part))
	}
	for _, n := range namesOf(part) {
		is, was := p.is.of[n.bare()], p.was.of[n.bare()]
		switch {
		case is.count != was.count:
			return fmt.Errorf("bucket %s has %d records and should have %d", n, is.count, was.count)
		case is.total != was.total && (e.report.Bent || e.report.Damaged[n.String()] == 0):
			return fmt.Errorf("bucket %s has records that are not the last that were written", n)
		}
	}
	return nil
}

// damagedKey says in which bucket of its part a damaged record was found, and when: at tells records apart whose keys are
// equal, also those of an earlier mending.
func damagedKey(n Name, at uint64, key []byte) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{n.number()}, at), key[:min(len(key), 1024)]...)
}

const (
	damagedHead = 9    // bytes before the key that it was found under
	seenTo      = 0x80 // in the first byte: its owner has done what there is to do
)

// DamagedRecord is one that was put aside when a file was mended.
type DamagedRecord struct {
	ID     []byte // of the entry in Damaged
	Bucket Name
	Key    []byte // as it was found: it may itself be what is damaged
	Record []byte // as it was found, head and all
}

// Damaged lists up to n of the damaged records of a bucket, of the transaction's part, after an entry (nil: from the first)
// that SeenTo has not marked. Their slices are copies.
func (tx *Tx) Damaged(bucket Name, after []byte, n int) (list []DamagedRecord) {
	c := tx.Bucket(Damaged).Cursor()
	from := damagedKey(bucket, 0, nil)[:1]
	if after != nil {
		from = append(bytes.Clone(after), 0)
	}
	for k, v := c.Seek(from); len(k) >= damagedHead && k[0] == from[0] && len(list) < n; k, v = c.Next() {
		list = append(list, DamagedRecord{bytes.Clone(k), bucket, bytes.Clone(k[damagedHead:]), bytes.Clone(v)})
	}
	return list
}

// SeenTo marks a damaged record: it is kept, and Damaged does not list it any more.
func (tx *Tx) SeenTo(d *DamagedRecord) error {
	marked := bytes.Clone(d.ID)
	marked[0] |= seenTo
	return errors.Join(tx.Bucket(Damaged).Put(marked, d.Record), tx.Bucket(Damaged).Delete(d.ID))
}

// What is written in one transaction, at most.
const (
	mendBatch = 5000
	mendBytes = 8 << 20
)

// rewrite makes a new file of what can be read of another. Records come in the order of their keys,
// so that its pages are full.
func rewrite(ctx context.Context, path, to string, tick func(done, total int64), harder bool) (err error) {
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) { // of a try that was cut off
		return err
	}
	db, err := bolt.Open(to, 0o600, &bolt.Options{Timeout: lockWait, FreelistType: bolt.FreelistMapType, NoFreelistSync: true})
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, db.Close()); err != nil {
			err = errors.Join(err, os.Remove(to))
		}
	}()
	if err := db.Update(initialise); err != nil {
		return err
	}
	w := &rewriting{db: db, sums: partSums{}, parts: map[uint8]bool{0: true}, damaged: uint64(time.Now().UnixMicro())}
	if _, err = walkFile(ctx, path, w.record, tick, harder); err == nil {
		err = w.flush()
	}
	return errors.Join(err, db.Sync(), syncDir(filepath.Dir(to)))
}

type rewriting struct {
	db      *bolt.DB
	sums    partSums
	parts   map[uint8]bool // that it has met
	pending []mendedRecord
	bytes   int    // of what is pending
	damaged uint64 // number of the next damaged record
}

type mendedRecord struct {
	bucket     Name
	key, value []byte
}

func (w *rewriting) record(r leafRecord) error {
	m := mendedRecord{r.bucket, r.key, r.value}
	if _, err := unwrap(m.bucket, m.key, m.value); err != nil {
		*r.last = true
		if n := home(r); n != 0 {
			m.bucket = n
			return w.add(m)
		}
		key, record, ok := correct(r)
		switch {
		case ok:
			m.key, m.value = key, record
		case r.key == nil:
			m = mendedRecord{Damaged.of(r.bucket.part()), damagedKey(r.bucket, w.damaged, nil), NewRecord(r.elem)}
			w.damaged++
		default:
			m = mendedRecord{Damaged.of(r.bucket.part()), damagedKey(r.bucket, w.damaged, r.key), NewRecord(r.value)}
			w.damaged++
		}
	}
	return w.add(m)
}

func (w *rewriting) add(m mendedRecord) error {
	w.parts[m.bucket.part()] = true
	if m.bucket.bare() == Meta && bytes.Equal(m.key, sumsKey) {
		return nil // counted anew
	}
	m.key, m.value = bytes.Clone(m.key), bytes.Clone(m.value) // they are parts of the file that is walked
	w.pending = append(w.pending, m)
	if w.bytes += len(m.key) + len(m.value); len(w.pending) < mendBatch && w.bytes < mendBytes {
		return nil
	}
	return w.flush()
}

func (w *rewriting) flush() error {
	var j *joint
	err := w.db.Update(func(bare *bolt.Tx) error {
		j = newJoint(bare, w.sums)
		j.raw = true
		for _, m := range w.pending {
			if err := j.tx(m.bucket.part()).Bucket(m.bucket).PutRecord(m.key, m.value); err != nil {
				return err
			}
		}
		for _, part := range slices.Sorted(maps.Keys(w.parts)) {
			tx := j.tx(part)
			tx.sums.moved = true
			if err := tx.SetNumber(mendedKey, 1); err != nil {
				return err
			}
		}
		return j.keep()
	})
	if err == nil {
		j.into(w.sums)
	}
	w.pending, w.bytes = w.pending[:0], 0
	return err
}

// mend puts a file in the place of a damaged one, which keeps everything under another name.
func mend(ctx context.Context, o Options, path string, tick func(Progress)) (Report, error) {
	to := path + ".mended"
	rep, err := o.Examine(ctx, path, to, tick)
	if err != nil || rep.Sound() {
		return rep, err
	}
	aside := fmt.Sprintf("%s.damaged-%s", path, time.Now().UTC().Format("20060102T150405.000000Z"))
	if err := replace(path, to, aside); err != nil {
		return rep, fmt.Errorf("repair %s: %w; it is left as it is", path, errors.Join(err, os.Remove(to)))
	}
	o.Logger.Error("file_repaired", "path", path, "damaged_file", aside, "damaged", total(rep.Damaged), "corrected", total(rep.Corrected), "structure_damaged", rep.Bent)
	return rep, nil
}

// replace puts a file in the place of another, which has its other name before it loses this one:
// at no moment is there no file, and what was there is never lost.
func replace(path, with, aside string) error {
	if err := os.Link(path, aside); err != nil {
		return err
	}
	if err := os.Rename(with, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func total(by map[string]int) (n int) {
	for _, m := range by {
		n += m
	}
	return n
}
