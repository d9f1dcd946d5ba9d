package manynodes

// mistake is one deliberate fault of the protocol, or several. docs/CLUSTER.md, section 3, says
// of each which rule it breaks.
type mistake uint64

const (
	refsTopic             mistake = 1 << iota // claims stand in a compacted topic by ref, as a person or as ambiguous
	refsTopicPerClaim                         // the same by ref and person, so that compaction merges none
	routeBeforeCaughtUp                       // routing begins before the refs are loaded
	claimLastWins                             // a claim, perhaps a zombie's old one, takes the place of what is known
	claimAfterPosition                        // a claim is produced after the position is saved
	routeAfterPosition                        // so is a routed update
	heldNotInCheckpoints                      // what is held is on the disk only
	heldByOffset                              // what is held is offsets of the log, which retention passes
	overtakeHeld                              // what is held is released newest first
	refForgetsIDs                             // only persons drop ids that they know
	personForgetsIDs                          // persons do not
	policyFromRegistry                        // a fold takes the newest version, not the one that its log has reached
	timerIntoState                            // a timer changes the state without a record
	unfencedMark                              // anybody may write the watermark
	earlyTombstones                           // older checkpoints go before the first watermark of our own
	warmKeepsClean                            // a warm takeover trusts what was published long ago
	receiptEndsAnyOrder                       // a receipt ends what has been ordered after it
	generationOfGroup                         // a generation is the group's number, which may come again
	linkAfterPosition                         // a link is produced after the position is saved
	linksNotInCheckpoints                     // who waits to hear of a ref is known on the disk only
	answersOnce                               // a ref answers a link with what it knows, and never again
	answersLaterOnly                          // it answers with what it learns from then on
	answersPassedOn                           // what it is answered it tells whoever waits to hear of it
	routesUnanswered                          // an update does not wait for the answers about its further refs
	routedTeachesNothing                      // a routed update claims none of its further refs
	erasedRemoved                             // an erased person's strand is removed, and no mark stays
	markStaysClean                            // a new owner does not write again what was erased
	lateCounts                                // what was received before an erasure counts after it
	numbersFromOne                            // who is erased begins anew with number 1
	claimsUnordered                           // a ref does not ask whether a claim was made before the erasure
	apiClaims                                 // an API's node claims a ref, and no log says when
	freesOthers                               // of a contested ref the claimant that is left has what is held
	filesStay                                 // a node keeps a partition's file that retention has passed
	groupCut                                  // the forwarder cuts a group
	eachByItself                              // an owner weighs each update of a group by itself
	marksBeforeCommit                         // a marker stands before the commit that its version waits for
	marksPassedOver                           // an owner passes a marker over that is of an older writer than it has read of
	readsFirst                                // a new writer has read the registry before its generation is committed
	latestCounts                              // the latest record of a name counts, also an older writer's
	keysWithoutGeneration                     // the registry's keys do not name their writer
	answersBeforeCommit                       // an operator is answered without a commit
	receivesEarly                             // a receipt is read before the record is folded that it is of
	newestNotMarked                           // a new writer does not mark the newest version once more
)

// conditions are what a history is lived through under.
type conditions struct {
	mistakes mistake
	quiet    bool // nobody dies, and next to nothing moves
	haunted  bool // who is replaced never notices at once, and works as much as the owner does
	linked   bool // updates have up to three refs
	erasing  bool // persons are erased
	grouped  bool // callbacks bring several updates
	handed   bool // the registry is a log, and its writer changes
}

func (w *world) makes(m mistake) bool { return w.mistakes&m != 0 }
