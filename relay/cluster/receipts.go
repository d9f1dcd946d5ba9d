package cluster

import (
	"context"
	"encoding/json"
	"fmt"

	"countersign/ingest/forward"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay"
)

// receiptsTogether is how many receipts are told at once.
const receiptsTogether = 500

// TellReceipts tells others how deliveries ended that nobody was told yet, and reports whether there
// were any. It asks no fence: a receipt that was not told is as true as before, whoever owns the
// partition.
func (p *Partition) TellReceipts(ctx context.Context) (did bool, err error) {
	var rs []relay.Receipt
	var last []byte
	err = p.o.Store.View(func(tx *store.Tx) error {
		rs, last = relay.ReceiptsQueued(tx, receiptsTogether)
		return nil
	})
	if err != nil || last == nil {
		return false, p.wrap("tell receipts", err)
	}
	ms := make([]*forward.Message, len(rs))
	for i := range rs {
		if ms[i], err = p.receipt(&rs[i]); err != nil {
			return false, p.wrap("tell receipts", err)
		}
	}
	if err := p.o.Topics.Produce(ctx, Receipts, ms...); err != nil {
		return false, p.wrap("tell receipts", err)
	}
	return true, p.wrap("tell receipts", p.o.Store.Update(ctx, func(tx *store.Tx) error { return relay.ReceiptsTold(tx, last) }))
}

// receipt is one as it stands in the topic.
func (p *Partition) receipt(r *relay.Receipt) (*forward.Message, error) {
	r.Node, r.Generation = p.o.Node, p.generation
	value, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("a receipt: %w", err)
	}
	e := forward.Event{
		ID: fmt.Sprintf("%s@%s/%d", r.ID, r.Endpoint, r.Order), Type: "kyc.delivery." + outcomes[r.Outcome],
		Subject: forward.SubjectKey(r.Partner, r.Subject), At: r.At, Taken: p.o.Now(),
	}
	e.Key = e.Subject
	return e.Message(value), nil
}

// outcomes are the types of receipts by how a delivery ended.
var outcomes = map[outbox.Outcome]string{outbox.Done: "accepted", outbox.Died: "dead_lettered", outbox.Cancelled: "cancelled"}
