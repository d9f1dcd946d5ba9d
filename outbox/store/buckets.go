package store

// The buckets. Each belongs to one package; the store only makes them.
var (
	Meta       = []byte("meta")       // schema version, positions, counts
	Journal    = []byte("journal")    // ingest/journal: records by offset
	Quarantine = []byte("quarantine") // ingest/journal: sealed bodies
	Questions  = []byte("questions")  // ingest/journal: what a provider's API has still to be asked, by ref, due time and age
	Subjects   = []byte("subjects")   // relay: the state of each subject
	History    = []byte("history")    // relay: records with their verdicts, changes, how deliveries ended, in order of time
	Index      = []byte("index")      // relay: what of the history belongs to one subject
	Refs       = []byte("refs")       // relay: (source, ref) -> subject
	Held       = []byte("held")       // relay: records that nobody could be found for, by (source, ref)
	Timers     = []byte("timers")     // relay: when time itself changes a subject next, by (instant, subject)
	Forward    = []byte("forward")    // relay: changes that Kafka has not acknowledged, by the offset of the record that owed them
	Registry   = []byte("registry")   // relay: versions of policies, endpoints disabled
	Deliveries = []byte("deliveries") // outbox: bodies owed, by (endpoint, lane, sequence)
	Due        = []byte("due")        // outbox: heads of lanes, by (endpoint, due time, lane)
	Dead       = []byte("dead")       // outbox: deliveries that ended without a 2xx
	Grave      = []byte("grave")      // outbox: rejections and suspensions owed, by (endpoint, owed since)
	Audit      = []byte("audit")      // relay/admin: every call that changed something
	Orders     = []byte("orders")     // relay: what an Idempotency-Key was used for, and what came of it, by the id of the record
	Attempts   = []byte("attempts")   // outbox: failed tries, bounded per delivery
	buckets    = [][]byte{Meta, Journal, Quarantine, Questions, Subjects, History, Index, Refs, Held, Timers, Forward, Registry, Deliveries, Due, Dead, Grave, Attempts, Audit, Orders}
)
