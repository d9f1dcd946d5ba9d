package cluster

import (
	"context"
	"slices"
	"time"

	"countersign/ingest/forward/group"
	"countersign/relay"
)

// published is what the topic of checkpoints has of a partition, without bodies: they are read once
// more by whoever needs them. Two walks over the topic are cheaper than all of it in memory.
type published struct {
	strands map[relay.Strand]*versions
	end     int64 // the topic was read up to here
}

// versions are the checkpoints of one strand, one of each owner that wrote one and whom nobody has
// cleared.
type versions []version

type version struct {
	strand     relay.Strand
	generation uint64
	upto       int64
	at         int64    // offset of part 0 in the topic; negative: it is not there
	sums       []uint64 // of the pieces of its further parts
	further    []further
}

// further is a further part, of this checkpoint or of one before it.
type further struct {
	checkpointKey
	at    int64
	since time.Time // when it was written
}

func (v *versions) of(k *checkpointKey) *version {
	for i := range *v {
		if (*v)[i].generation == k.generation {
			return &(*v)[i]
		}
	}
	*v = append(*v, version{strand: k.strand, generation: k.generation, at: -1})
	return &(*v)[len(*v)-1]
}

// best is the one with the greatest offset, then of the last owner, of those that are of the owner
// whose watermark it is, or of a later one; nil: there is none. Whoever came before may know less
// than the watermark says.
func (v versions) best(mark uint64) (best *version) {
	for i := range v {
		if is := &v[i]; is.at >= 0 && is.generation >= mark && (best == nil || is.upto > best.upto || is.upto == best.upto && is.generation > best.generation) {
			best = is
		}
	}
	return best
}

// follow reads on, from the beginning at first: what others have published, what we have, and what a
// zombie still does.
func (p *Partition) follow(ctx context.Context) (err error) {
	p.published.end, err = p.eachCheckpoint(ctx, p.published.end, p.published.take)
	return err
}

func (all *published) take(k *checkpointKey, r *group.Record) error {
	v := all.strands[k.strand]
	if v == nil {
		v = &versions{}
		all.strands[k.strand] = v
	}
	return v.take(k, r)
}

// take notes one record: it takes the place of the one before under its key.
func (v *versions) take(k *checkpointKey, r *group.Record) error {
	is := v.of(k)
	if k.part > 0 {
		is.further = slices.DeleteFunc(is.further, func(f further) bool { return f.checkpointKey == *k })
	} else {
		is.at = -1
	}
	if r.Value == nil {
		return nil
	}
	p, err := readPart(k, r.Key, r.Value)
	switch {
	case err != nil:
		return err
	case k.part > 0:
		is.further = append(is.further, further{*k, r.Offset, r.Time})
	default:
		is.upto, is.at, is.sums = p.upto, r.Offset, p.sums
	}
	return nil
}

// pieces are where the pieces of a checkpoint's body stand in the topic. ErrCheckpoint: not all of
// them are there.
func (is *version) pieces() (at []int64, err error) {
	at = []int64{is.at}
	for i, sum := range is.sums {
		n := slices.IndexFunc(is.further, func(f further) bool { return f.part == i+1 && f.sum == sum })
		if n < 0 {
			return nil, ErrCheckpoint
		}
		at = append(at, is.further[n].at)
	}
	return at, nil
}

// eachCheckpoint calls fn with each record of the topic from an offset on, tombstones among them, up
// to what is its end now, which it returns.
func (p *Partition) eachCheckpoint(ctx context.Context, from int64, fn func(k *checkpointKey, r *group.Record) error) (end int64, err error) {
	_, end, err = p.o.Topics.Bounds(ctx, Subjects)
	if err != nil {
		return from, err
	}
	for at := from; at < end; {
		f, err := p.o.Topics.Fetch(ctx, Subjects, at)
		if err != nil {
			return at, err
		}
		for i := range f.Records {
			r := &f.Records[i]
			k, ok := readCheckpointKey(r.Key)
			if !ok {
				continue // of a later program: it is not in what this one restores
			}
			if err := fn(&k, r); err != nil {
				return at, err
			}
		}
		if f.Next == at {
			return at, ErrCheckpoint // nothing where there was something: the topic has lost its end
		}
		if at = f.Next; at > end {
			end = at
		}
	}
	return end, nil
}
