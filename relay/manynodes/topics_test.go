package manynodes

const (
	partitions, relays, persons, endpoints = 3, 4, 6, 2

	firstRef         = 100 // strands below are persons'
	refs, linkedRefs = 8, 16
)

type kind int

const (
	full       kind = iota // names a person, and may teach a ref
	submission             // an API call: teaches a ref
	bare                   // names a ref only
	routed                 // a bare update, produced again under its person
	claim                  // a person's owner says whose a ref is
	decide                 // an operator says it
	marker                 // from here on a version counts
	timer                  // a person's timer fired
	redelivery             // an operator orders a change again
	link                   // a ref's owner wants to hear who claims another ref
	answered               // that has told all it knew
	erasure                // all that was received of a person before is to be forgotten
	forget                 // a person's owner, or a ref's, says so of a claim
)

// record is one of kyc.status-updates.
type record struct {
	kind                    kind
	strand, id, ref, person int
	others                  [2]int // full, bare, routed: further refs
	by                      int    // claim, answered: the ref whose owner passes it on; 0: a person's does
	callback, index         int    // of an update among several: whose it is, and which of this partition
	at                      int    // the provider's time
	source                  int    // routed: offset of the bare record; claim, forget: offset + 1 of a person's that made it
	instant                 int    // erasure: when it was received, by ids of updates
	claims                  int    // decide: how many the operator saw
	version                 int    // marker
	sequence, endpoint      int    // redelivery
}

// timerOf is the id of a person's timer that an update has set.
func timerOf(update int) int { return firstTimer + update }

const (
	firstTimer = 1000 // ids below are updates'
	firstOrder = 2000 // and from here on redeliveries'
)

// partitionOf seldom puts a ref where its person is.
func partitionOf(strand int) int { return strand % firstRef * 5 % partitions }

// change is what a person's endpoints are told: because of which update, under which version.
type change struct{ id, version int }

// number is one change of a person at one endpoint.
type number struct{ person, sequence, endpoint int }

// delivery is what an endpoint is owed; when it is settled, it is its receipt.
type delivery struct {
	number
	change
	order int // offset + 1 of the record that owed it, or owed it again
}

// ends says whether a receipt ends a delivery: not one that was ordered after it.
func (d delivery) ends(o delivery, anyOrder bool) bool {
	return d.number == o.number && (o.order <= d.order || anyOrder)
}

type checkpointKey struct{ strand, generation int }

// watermark is what all checkpoints together cover: everything before updates and receipts.
// Its generation is that of its round; taken is the last that was given out.
type watermark struct{ generation, taken, updates, receipts, version int }

// broker keeps one partition of each topic, and the group's commit for it. Its checkpoints are
// always compacted. Nothing is taken out of the logs: reading before their beginning is an error.
type broker struct {
	updates       []record
	receipts      []delivery
	firstUpdate   int
	firstReceipt  int
	checkpoints   map[checkpointKey]state
	member        int // of the group, to whom the partition is assigned: no two are the same
	assignments   int // the group's own number of them, which begins again when the group is forgotten
	mark          watermark
	markers       []record // that the registry's writer has still to append
	claims        []looseClaim
	claimsWritten int
}

func newBroker() *broker { return &broker{checkpoints: map[checkpointKey]state{}} }

// commit is the group's offset commit: the coordinator refuses any but the owner's.
func (b *broker) commit(member int, m watermark, unfenced bool) bool {
	if member != b.member && (!unfenced || m.generation < b.mark.generation) {
		return false
	}
	b.mark = m
	return true
}

// assign is the group: a partition has a new member from here on.
func (b *broker) assign() (member int) {
	b.member++
	b.assignments++
	return b.member
}

// group is how many records stand together at an offset that one callback brought.
func (b *broker) group(at int) (n int) {
	x := b.updates[at]
	for n = 1; x.callback != 0 && at+n < len(b.updates); n++ {
		if y := b.updates[at+n]; y.callback != x.callback || y.index != x.index+n {
			break
		}
	}
	return n
}

// clear takes older generations' checkpoints away.
func (b *broker) clear(below int) {
	for k := range b.checkpoints {
		if k.generation < below {
			delete(b.checkpoints, k)
		}
	}
}

// retain is retention, which never passes the watermark here.
func (b *broker) retain() {
	b.firstUpdate, b.firstReceipt = max(b.firstUpdate, b.mark.updates), max(b.firstReceipt, b.mark.receipts)
}

// produce appends for good: acks of all. Of the mistakes with a topic of claims, claims go there.
func (w *world) produce(x record) {
	b := w.brokers[partitionOf(x.strand)]
	if x.kind == claim && w.claimsApart() {
		b.addClaim(x.strand, x.person)
		return
	}
	b.updates = append(b.updates, x)
}
