package store

import (
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// Name names a bucket. Each belongs to one package; the store only makes them. Its number is a part
// of every checksum: never renumber within one SchemaVersion. Within the store the high byte of a
// Name says of which part of the file the bucket is; everybody else has it from the transaction.
type Name uint16

// The buckets.
const (
	Meta       Name = iota + 1 // positions, counts, what the store knows of itself
	Journal                    // ingest/journal: records by offset
	Quarantine                 // ingest/journal: sealed bodies
	Questions                  // ingest/journal: what a provider's API has still to be asked, by ref, due time and age
	Subjects                   // relay: the state of each subject
	History                    // relay: records with their verdicts, and changes, in order of time
	Index                      // relay: what of the history and of the outcomes belongs to one subject
	Refs                       // relay: by (source, mode, ref) who is said to have it, and what waits for somebody to be known by it
	Standings                  // relay: who stands how, by (mode, status and whether a match holds, subject); it follows from the states
	Timers                     // relay: when time itself changes a subject next, by (instant, subject)
	Forward                    // relay: changes that Kafka has not acknowledged, by the offset of the record that owed them
	Registry                   // relay/registry: versions of policies, endpoints disabled, keys and tokens made at run time, providers' published keys
	Deliveries                 // outbox: bodies owed, by (endpoint, lane, sequence)
	Due                        // outbox: heads of lanes, by (endpoint, due time, lane)
	Dead                       // outbox: deliveries that ended without a 2xx
	Withheld                   // outbox: rejections and suspensions owed, by (endpoint, owed since)
	Attempts                   // outbox: failed tries, bounded per delivery
	Audit                      // relay/control: every call that changed something
	Orders                     // relay: what an Idempotency-Key was used for, and what came of it, by the id of the record
	Damaged                    // the store's own: damaged records of every bucket as they were found, put there when the file was mended
	Aside                      // relay: subjects of whom something is damaged, by lane: nothing is told of them
	Outcomes                   // relay: how deliveries ended, by (endpoint, time)
	Jobs                       // relay/replay: replays, by id
	Answers                    // outbox: the texts of answers to failed tries, a bounded number of each endpoint
	Folds                      // relay: when which records were folded, by instant
	Finder                     // relay: where in the history ids of records and changes stand; it can be made again
	Erased                     // relay: who was erased, by digest, and the last number that was told of them
	Receipts                   // relay: how deliveries ended, for other nodes, until Kafka has acknowledged it, in the order in which they ended

	buckets = int(Receipts) // how many there are
)

var names = [buckets + 1]string{
	"", "meta", "journal", "quarantine", "questions", "subjects", "history", "index", "refs", "standings", "timers", "forward", "registry", "deliveries", "due", "dead",
	"withheld", "attempts", "audit", "orders", "damaged", "aside", "outcomes", "jobs", "answers", "folds", "finder", "erased", "receipts",
}

// Names lists every bucket, in the order of their numbers.
func Names() []Name {
	all := make([]Name, buckets)
	for i := range all {
		all[i] = Name(i + 1)
	}
	return all
}

// A file holds the node's own buckets, which are its part 0, and a set of buckets for each partition
// that the node has had: parts 1 to 255. Part 0 has every bucket, for a gateway of one node keeps
// everything there. The others have what follows from the log of one partition, and what is owed
// because of it; in a cluster part 0 keeps only the rest.
//
//	of each part              meta, damaged
//	of a partition            subjects, history, index, refs, standings, timers, forward, deliveries, due, dead, withheld,
//	                          attempts, aside, outcomes, jobs, answers, folds, finder, erased
//	of the node, in a cluster journal, quarantine, questions, registry, audit, orders
var inParts = [buckets + 1]bool{
	Meta: true, Damaged: true,
	Subjects: true, History: true, Index: true, Refs: true, Standings: true, Timers: true, Forward: true, Deliveries: true, Due: true, Dead: true, Withheld: true,
	Attempts: true, Aside: true, Outcomes: true, Jobs: true, Answers: true, Folds: true, Finder: true, Erased: true, Receipts: true,
}

// namesOf lists the buckets of a part, in the order of their numbers.
func namesOf(part uint8) []Name {
	all := Names()
	if part == 0 {
		return all
	}
	all = slices.DeleteFunc(all, func(n Name) bool { return !inParts[n] })
	for i, n := range all {
		all[i] = n.of(part)
	}
	return all
}

// of is the bucket of the same number in a part.
func (n Name) of(part uint8) Name { return n.bare() | Name(part)<<8 }

// bare is the number alone.
func (n Name) bare() Name { return n & 0xff }

// number is bare as a byte.
func (n Name) number() byte { return byte(n & 0xff) }

func (n Name) part() uint8 { return uint8(n >> 8) }

// String is the bucket's name as people read it.
func (n Name) String() string {
	switch {
	case int(n.bare()) >= len(names):
		return ""
	case n.part() == 0:
		return names[n]
	default:
		return fmt.Sprintf("part%d/%s", n.part(), names[n.bare()])
	}
}

// inFile is the bucket's name in the file. The number of a part stands in it three times: with one
// bit flipped, a name is still nearer to what it was than to any other.
func (n Name) inFile() []byte {
	if n.part() == 0 {
		return []byte(n.String())
	}
	b := make([]byte, 0, 24)
	for _, sep := range []byte("../") {
		b = append(strconv.AppendUint(b, uint64(n.part()), 10), sep)
	}
	return append(b, names[n.bare()]...)
}

// bucketOf is the bucket that has a name in the file; 0: none has.
func bucketOf(key []byte) Name {
	number, name, of := strings.Cut(string(key), "/")
	part := uint64(0)
	if first, _, _ := strings.Cut(number, "."); of {
		part, _ = strconv.ParseUint(first, 10, 8) // if it is none, the names differ
	} else {
		name = number
	}
	n := Name(slices.Index(names[1:], name) + 1).of(uint8(part)) //nolint:gosec // there are few
	if n.bare() == 0 || part != 0 && !inParts[n.bare()] || string(n.inFile()) != string(key) {
		return 0
	}
	return n
}

// nearest is the bucket whose name in the file has become another by one flipped bit; 0: none has.
// No two of them are so near.
func nearest(key []byte) Name {
	for part := range 256 {
		for _, n := range namesOf(uint8(part)) {
			if oneBit(string(n.inFile()), key) {
				return n
			}
		}
	}
	return 0
}

// oneBit reports whether a name of a bucket has become another by one flipped bit.
func oneBit(name string, key []byte) bool {
	flipped := 0
	for i := range key {
		if len(key) != len(name) {
			return false
		}
		flipped += bits.OnesCount8(key[i] ^ name[i])
	}
	return flipped == 1
}

// partsOf lists the parts that a file has beside the node's own, those that are being dropped
// included, in the order of their numbers.
func partsOf(tx *bolt.Tx) (parts []uint8) {
	c := tx.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		if n := bucketOf(k); n.bare() == Meta && n.part() != 0 {
			parts = append(parts, n.part())
		}
	}
	slices.Sort(parts)
	return parts
}

// every is these parts and the node's own, which comes first.
func every(parts []uint8) []uint8 { return append([]uint8{0}, parts...) }

// fill is how full pages are packed: what is mostly written in order is seldom inserted into again.
func (n Name) fill() float64 {
	switch n.bare() {
	case Journal, History, Outcomes, Finder, Forward, Deliveries, Due, Folds, Receipts:
		return 0.9
	default:
		return bolt.DefaultFillPercent
	}
}
