package cluster

import (
	"context"
	"errors"
	"time"

	"countersign/ingest/forward"
	"countersign/ingest/forward/group"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay"
)

// round is one round of checkpoints that is under way: when all strands that were dirty when it began
// are published, where we were then is committed.
type round struct {
	begun   bool
	mark    group.Watermark
	strands []relay.Strand // that are not published yet
}

// CheckpointSome goes on with the round that is under way, or begins one: it publishes up to n
// strands, or commits the watermark where none is left. It reports whether the watermark has moved.
// An error leaves the round where it was. ErrFenced, and group.ErrRefused: the partition is somebody
// else's.
func (p *Partition) CheckpointSome(ctx context.Context, n int) (committed bool, err error) {
	if err := p.open(); err != nil {
		return false, err
	}
	if !p.round.begun {
		p.begin()
	}
	if len(p.round.strands) > 0 && !p.makes(marksFirst) {
		n = min(n, len(p.round.strands))
		return false, p.wrap("publish checkpoints", p.publish(ctx, n))
	}
	p.round.begun = false
	if err := p.commit(ctx, p.round.mark); err != nil {
		return false, p.wrap("commit the watermark", err)
	}
	p.marked = true
	return true, nil
}

// begin notes where we are, and then what is dirty: what changes in between is in neither, or only
// in the latter.
func (p *Partition) begin() {
	p.round = round{begun: true, mark: p.mark}
	m := &p.round.mark
	m.Updates, m.Receipts, m.Mark, m.Node, m.At = p.position(), p.receipts, p.generation, p.o.Node, p.o.Now()
	p.round.strands = p.dirty.all()
}

// publish produces the checkpoints of the next strands. Parts that others refer to are acknowledged
// before those are produced.
func (p *Partition) publish(ctx context.Context, n int) error {
	var parts, heads []*forward.Message
	some := p.round.strands[:n]
	for _, s := range some {
		p.dirty.clean(s)
		c, err := p.checkpoint(s)
		if err != nil {
			p.dirty.add(s)
			return err
		}
		ms := encodeCheckpoint(&c, p.generation, p.partSize, p.o.Now())
		parts, heads = append(parts, ms[:len(ms)-1]...), append(heads, ms[len(ms)-1])
	}
	for _, ms := range [][]*forward.Message{parts, heads} {
		if len(ms) == 0 {
			continue
		}
		if err := p.o.Topics.Produce(ctx, Subjects, ms...); err != nil {
			for _, s := range some {
				p.dirty.add(s)
			}
			return err
		}
	}
	p.round.strands = p.round.strands[n:]
	if p.makes(clearsFirst) {
		return p.clear(ctx)
	}
	return nil
}

// checkpoint is one strand. Of one of which nothing is kept any more the checkpoint says so: without
// it an older one would bring it back.
func (p *Partition) checkpoint(s relay.Strand) (c relay.Checkpoint, err error) {
	at := p.position()
	err = p.o.Store.View(func(tx *store.Tx) error {
		c, err = p.o.Relay.Checkpoint(tx, s)
		return err
	})
	if errors.Is(err, outbox.ErrNotFound) {
		return relay.Checkpoint{Strand: s, Upto: at}, nil
	}
	return c, err
}

// commit commits a watermark. One of which is not known whether it counts may count.
func (p *Partition) commit(ctx context.Context, w group.Watermark) error {
	if p.makes(unfencedMark) {
		if f, ok := p.o.Topics.(interface{ CommitUnfenced(w group.Watermark) }); ok {
			f.CommitUnfenced(w)
			p.mark = w
			return nil
		}
	}
	if err := p.o.Topics.Commit(ctx, w); err != nil {
		return err
	}
	p.mark = w
	return nil
}

// ClearSome takes away what older owners have published, at most n records. Before a round of ours
// has been committed the watermark rests on it.
func (p *Partition) ClearSome(ctx context.Context, n int) (did bool, err error) {
	if err := p.open(); err != nil || !p.marked {
		return false, err
	}
	if err := p.follow(ctx); err != nil {
		return false, p.wrap("read the checkpoints", err)
	}
	ms := p.published.worse(p.generation, n, p.o.Now())
	if len(ms) == 0 {
		return false, nil
	}
	return true, p.wrap("clear checkpoints", p.o.Topics.Produce(ctx, Subjects, ms...))
}

func (p *Partition) clear(ctx context.Context) error {
	if err := p.follow(ctx); err != nil {
		return err
	}
	return p.o.Topics.Produce(ctx, Subjects, p.published.worse(p.generation, 1000, p.o.Now())...)
}

// worse are the tombstones of up to n records that do not count any more: part 0 of what owners have
// published who came before the one of the watermark; and further parts that no part 0 names, when
// they are old enough: a zombie may have written one a moment ago, and be about to name it.
func (all *published) worse(mark uint64, n int, now time.Time) (ms []*forward.Message) {
	for _, v := range all.strands {
		for i := range *v {
			if ms = (*v)[i].worse(mark, now, ms); len(ms) >= n {
				return ms
			}
		}
	}
	return ms
}

// partsStay is how long a further part stays that nothing names: longer than any owner takes from one
// to the next.
const partsStay = time.Hour

func (is *version) worse(mark uint64, now time.Time, ms []*forward.Message) []*forward.Message {
	if is.generation < mark && is.at >= 0 {
		k := checkpointKey{strand: is.strand, generation: is.generation}
		ms = append(ms, &forward.Message{Key: k.encode()})
	}
	for i := range is.further {
		f := &is.further[i]
		if named := is.at >= 0 && f.part <= len(is.sums) && is.sums[f.part-1] == f.sum; !named && now.Sub(f.since) > partsStay {
			ms = append(ms, &forward.Message{Key: f.encode()})
		}
	}
	return ms
}
