package cluster

// mistake is a step that an owner takes in another way than it must, to see that this is noticed.
type mistake int

const (
	none                   mistake = iota
	unfencedMark                   // anybody may commit the watermark
	marksFirst                     // the watermark is committed before the checkpoints of its round
	clearsFirst                    // older owners' checkpoints go before a watermark of ours is committed
	warmKeepsClean                 // a warm takeover trusts what it published long ago
	deliversBeforeReceipts         // an owner delivers before it has read what others have delivered
	receivesEarly                  // a receipt is read before the record is folded that it is of
	receiptEndsAnyOrder            // a receipt ends what was ordered after it
)
