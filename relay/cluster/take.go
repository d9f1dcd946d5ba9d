package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"countersign/ingest/forward/group"
	"countersign/ingest/journal"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay"
)

// Why a partition cannot be taken.
var (
	// ErrCold: the file is older than the watermark, or than what retention has left. Put its receipts
	// aside, drop it, and take the partition with an empty one.
	ErrCold = errors.New("the file is older than what others have gone on from")
	// ErrNoWatermark: there are checkpoints, or records have gone, and nothing says from where to go on.
	// An operator has to decide.
	ErrNoWatermark = errors.New("nothing was committed, or the commit was forgotten, and the log does not begin at its beginning or has checkpoints")
	// ErrOvertaken: retention has taken records that no checkpoint covers. An operator has to decide.
	ErrOvertaken = errors.New("retention has overtaken the watermark")
)

// Unsent are the receipts of a file that nobody was told yet: what has to be put aside before it is
// dropped. They are as true as ever.
func Unsent(tx *store.Tx) []relay.Receipt {
	rs, _ := relay.ReceiptsQueued(tx, 1<<30)
	return rs
}

// Take makes this node the partition's owner, once the group has given it. With an empty file it
// restores what others have published, and queues the receipts that were put aside. Errors are
// ErrCold, ErrNoWatermark, ErrOvertaken, ErrCheckpoint, those of the topics and of the store; after
// one the file may be half restored, and is to be dropped.
func (p *Partition) Take(ctx context.Context, unsent []relay.Receipt) error {
	return p.wrap("take it over", p.take(ctx, unsent))
}

func (p *Partition) take(ctx context.Context, unsent []relay.Receipt) error {
	w, known, err := p.o.Topics.Watermark(ctx)
	if err != nil {
		return err
	}
	w.Taken++
	if err := p.commit(ctx, w); err != nil {
		return err
	}
	p.generation = w.Taken
	start, end, err := p.o.Topics.Bounds(ctx, Updates)
	if err != nil {
		return err
	}
	told, _, err := p.o.Topics.Bounds(ctx, Receipts)
	if err != nil {
		return err
	}
	from, upTo, err := p.o.Topics.Bounds(ctx, Subjects)
	if err != nil {
		return err
	}
	p.behind, p.published = end, &published{strands: map[relay.Strand]*versions{}, end: from}
	switch {
	case !known && (start > 0 || told > 0 || from < upTo):
		return ErrNoWatermark
	case w.Updates < start || w.Receipts < told:
		return fmt.Errorf("%w: it is at %d and %d, and they begin at %d and %d", ErrOvertaken, w.Updates, w.Receipts, start, told)
	}
	is, err := p.stands()
	switch {
	case err != nil:
		return err
	case is == fileEmpty:
		return p.restore(ctx, unsent)
	case is != fileWhole, p.position() < w.Updates || p.receipts < w.Receipts || p.position() < start || p.receipts < told:
		return ErrCold
	}
	return p.republish()
}

// What a file is to us.
const (
	fileEmpty = iota
	fileHalf  // what restored it did not come to its end
	fileWhole
)

var fileKey = []byte("cluster/file")

// stands reads where the file is, and what it is.
func (p *Partition) stands() (is int64, err error) {
	err = p.o.Store.View(func(tx *store.Tx) error {
		if p.receipts, err = tx.Number(receiptsAt); err == nil {
			is, err = tx.Number(fileKey)
		}
		return err
	})
	return is, err
}

// restoreTogether is how many strands are put into the file in one transaction.
const restoreTogether = 500

// restore is a cold takeover: the best checkpoint of each strand, and the positions that the
// watermark has. All of them are dirty by that.
func (p *Partition) restore(ctx context.Context, unsent []relay.Receipt) error {
	at := journal.Position{Partition: p.o.Number, Offset: p.mark.Updates}
	err := p.o.Store.Update(ctx, func(tx *store.Tx) error {
		return errors.Join(p.o.Relay.RestoreTo(tx, at), tx.SetNumber(receiptsAt, p.mark.Receipts), tx.SetNumber(fileKey, fileHalf))
	})
	if err != nil {
		return err
	}
	p.receipts = p.mark.Receipts
	if err := p.follow(ctx); err != nil {
		return err
	}
	if err := p.restoreAll(ctx); err != nil {
		return err
	}
	return p.o.Store.Update(ctx, func(tx *store.Tx) error {
		ends := make([]outbox.Receipt, len(unsent))
		for i := range unsent {
			ends[i] = unsent[i].Ends()
		}
		return errors.Join(p.o.Outbox.Receive(tx, ends...), relay.QueueReceipts(tx, unsent...), tx.SetNumber(fileKey, fileWhole))
	})
}

// restoreAll reads the topic once more, and puts the best of each strand into the file.
func (p *Partition) restoreAll(ctx context.Context) error {
	wanted := map[int64]piece{} // by where it stands
	for s, v := range p.published.strands {
		best := v.best(p.mark.Mark)
		if best == nil {
			continue
		}
		at, err := best.pieces()
		if err != nil {
			return err
		}
		for i, offset := range at {
			wanted[offset] = piece{s, best.upto, i, len(at)}
		}
	}
	half := map[relay.Strand][][]byte{} // of several pieces, those that have come
	var some []relay.Checkpoint
	flush := func(most int) error {
		if len(some) < most {
			return nil
		}
		err := p.o.Store.Update(ctx, func(tx *store.Tx) error {
			for i := range some {
				if err := p.o.Relay.Restore(tx, &some[i]); err != nil {
					return err
				}
			}
			return nil
		})
		some = some[:0]
		return err
	}
	start, _, err := p.o.Topics.Bounds(ctx, Subjects)
	if err != nil {
		return err
	}
	_, err = p.eachCheckpoint(ctx, start, func(k *checkpointKey, r *group.Record) error {
		x, ok := wanted[r.Offset]
		if !ok {
			return nil
		}
		is, err := readPart(k, r.Key, r.Value)
		if err != nil {
			return err
		}
		all := half[x.strand]
		if all == nil {
			all = make([][]byte, x.of)
			half[x.strand] = all
		}
		all[x.n] = slices.Clone(is.body)
		if slices.ContainsFunc(all, func(b []byte) bool { return b == nil }) {
			return nil
		}
		delete(half, x.strand)
		if body := slices.Concat(all...); len(body) > 0 {
			some = append(some, relay.Checkpoint{Strand: x.strand, Upto: x.upto, Body: body})
		}
		return flush(restoreTogether)
	})
	if err == nil && len(half) > 0 {
		err = ErrCheckpoint // what was read a moment ago is gone
	}
	return errors.Join(err, flush(1))
}

// piece is what a record of the topic is wanted for.
type piece struct {
	strand relay.Strand
	upto   int64
	n, of  int
}

// republish makes every strand dirty: a watermark of ours rests on what we publish, and on nothing
// else. What others have published may be as good as what the file has, and yet somebody who is no
// owner any more may write what is worse, under a generation that would be taken for better.
func (p *Partition) republish() error {
	if p.makes(warmKeepsClean) {
		return nil
	}
	return p.o.Store.View(func(tx *store.Tx) error { return relay.EachStrand(tx, p.dirty.add) })
}
