package cluster

import (
	"context"
	"encoding/json"
	"strings"

	"countersign/ingest/forward/group"
	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay"
)

// FoldSome folds what a fetch brings of the log, and reports whether there was anything. Before
// CaughtUp it folds up to what was the log's end when the partition was taken, at least, and then
// reads the receipts up to theirs.
func (p *Partition) FoldSome(ctx context.Context) (did bool, err error) {
	if err := p.open(); err != nil {
		return false, err
	}
	from := p.position()
	if !p.caughtUp && from >= p.behind {
		return true, p.catchUp(ctx)
	}
	f, err := p.o.Topics.Fetch(ctx, Updates, from)
	if err != nil || len(f.Records) == 0 {
		return false, p.wrap("read the log", err)
	}
	rs := make([]journal.Record, len(f.Records))
	for i := range f.Records {
		rs[i] = p.updateOf(&f.Records[i])
	}
	return true, p.wrap("evaluate the log", p.o.Relay.Fold(ctx, rs))
}

// position is the offset of the next record to fold. Our positions are one more than Kafka's
// offsets, so it is also our position of the last that was folded.
func (p *Partition) position() int64 { return p.o.Relay.Position().Offset }

// updateOf is a record of the topic as the relay folds it.
func (p *Partition) updateOf(r *group.Record) journal.Record {
	rec := journal.Record{
		Position: journal.Position{Partition: p.o.Number, Offset: r.Offset + 1},
		Appended: r.Time.UTC(), Body: r.Value, Batch: r.Batch,
	}
	for i := range r.Headers {
		if kind, ok := strings.CutPrefix(string(r.Headers[i].Value), "kyc.update."); ok && r.Headers[i].Name == "ce_type" {
			rec.Kind = kyc.Kind(kind)
		}
	}
	return rec
}

// catchUp reads the receipts up to their end. From then on the owner may deliver: what no receipt
// ends is owed.
func (p *Partition) catchUp(ctx context.Context) error {
	if !p.makes(deliversBeforeReceipts) {
		_, end, err := p.o.Topics.Bounds(ctx, Receipts)
		if err != nil {
			return p.wrap("read the receipts", err)
		}
		for p.receipts < end && p.position() >= p.behind {
			if err := p.receiveSome(ctx); err != nil {
				return err
			}
		}
		if p.receipts < end {
			return nil // there is more to fold first
		}
	}
	p.caughtUp = true
	return nil
}

// ReceiveSome reads receipts that came since, of an owner who does not know yet that it is none, and
// our own. It reports whether there were any.
func (p *Partition) ReceiveSome(ctx context.Context) (did bool, err error) {
	if err := p.open(); err != nil {
		return false, err
	}
	was := p.receipts
	err = p.receiveSome(ctx)
	return p.receipts > was, err
}

var receiptsAt = []byte("cluster/receipts") // the next receipt to read

// receiveSome reads some receipts. One of a record that is not folded here yet waits until it is: it
// is of somebody who was ahead of us, and what it ends would be owed after it.
func (p *Partition) receiveSome(ctx context.Context) error {
	f, err := p.o.Topics.Fetch(ctx, Receipts, p.receipts)
	if err != nil {
		return p.wrap("read the receipts", err)
	}
	rs, next := make([]outbox.Receipt, 0, len(f.Records)), f.Next
	for i := range f.Records {
		var r relay.Receipt
		if json.Unmarshal(f.Records[i].Value, &r) != nil {
			continue // its delivery is repeated
		}
		is := r.Ends()
		if is.Order > p.position() && !p.makes(receivesEarly) {
			p.behind, next = max(p.behind, is.Order), f.Records[i].Offset
			break
		}
		if p.makes(receiptEndsAnyOrder) {
			is.Order = 1 << 62
		}
		rs = append(rs, is)
	}
	if next == p.receipts {
		return nil
	}
	err = p.o.Store.Update(ctx, func(tx *store.Tx) error {
		if err := p.o.Outbox.Receive(tx, rs...); err != nil {
			return err
		}
		return tx.SetNumber(receiptsAt, next)
	})
	if err == nil {
		p.receipts = next
	}
	return p.wrap("read the receipts", err)
}
