package store

import bolt "go.etcd.io/bbolt"

// Name names a bucket. Each belongs to one package; the store only makes them. Its number is a part
// of every checksum: never renumber within one SchemaVersion.
type Name byte

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

// String is the bucket's name in the file.
func (n Name) String() string {
	if int(n) >= len(names) {
		return ""
	}
	return names[n]
}

// fill is how full pages are packed: what is mostly written in order is seldom inserted into again.
func (n Name) fill() float64 {
	switch n {
	case Journal, History, Outcomes, Finder, Forward, Deliveries, Due, Folds, Receipts:
		return 0.9
	default:
		return bolt.DefaultFillPercent
	}
}
