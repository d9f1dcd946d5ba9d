package dispatch

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"countersign/outbox"
)

// owed is what is owed from here: the outboxes of the partitions that have begun and not ended. A
// claimed delivery knows its outbox (outbox.Delivery.From); what is asked of all of them is a sum, or
// the earliest.
type owed struct {
	list atomic.Pointer[[]*part] // by number; nobody changes a list that is there
}

// part is a partition, from its begin to its end.
type part struct {
	number int32
	outbox *outbox.Outbox
	ended  chan struct{}   // closed when nothing of it is begun any more
	life   context.Context //nolint:containedctx // ends when what is under way has ended, or has to
	cut    context.CancelFunc
}

func newPart(p int32, o *outbox.Outbox) *part {
	is := &part{number: p, outbox: o, ended: make(chan struct{})}
	is.life, is.cut = context.WithCancel(context.Background())
	return is
}

// over reports whether nothing of the partition is begun any more.
func (p *part) over() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

func (o *owed) parts() []*part {
	if list := o.list.Load(); list != nil {
		return *list
	}
	return nil
}

func (o *owed) add(p *part) {
	list := append(slices.Clone(o.parts()), p)
	slices.SortFunc(list, func(a, b *part) int { return cmp.Compare(a.number, b.number) })
	o.list.Store(&list)
}

// remove takes a partition out; nil: it is not there.
func (o *owed) remove(p int32) *part {
	list := slices.Clone(o.parts())
	i := slices.IndexFunc(list, func(is *part) bool { return is.number == p })
	if i < 0 {
		return nil
	}
	is := list[i]
	list = slices.Delete(list, i, i+1)
	o.list.Store(&list)
	return is
}

func (o *owed) serve(endpoints ...outbox.Endpoint) (err error) {
	for _, p := range o.parts() {
		err = errors.Join(err, p.outbox.Serve(endpoints...))
	}
	return err
}

func (o *owed) leave(endpoint string) {
	for _, p := range o.parts() {
		p.outbox.Leave(endpoint)
	}
}

func (o *owed) flush(ctx context.Context) (err error) {
	for _, p := range o.parts() {
		err = errors.Join(err, p.outbox.Flush(ctx))
	}
	return err
}

func (o *owed) oldestDue(endpoint string) (at time.Time) {
	for _, p := range o.parts() {
		at = first(at, p.outbox.OldestDue(endpoint))
	}
	return at
}

// first is the earlier of those that are not zero.
func first(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// counts are those that are kept in memory: of an endpoint that is known.
func (o *owed) counts(endpoint string) (owed, dead int64) {
	for _, p := range o.parts() {
		owed, dead = owed+p.outbox.Owed(endpoint), dead+p.outbox.Dead(endpoint)
	}
	return owed, dead
}

func (o *owed) countsOf(endpoint string) (c outbox.Counts, err error) {
	for _, p := range o.parts() {
		is, wrong := p.outbox.CountsOf(endpoint)
		c.Owed, c.Dead, c.Withheld, c.Rejections = c.Owed+is.Owed, c.Dead+is.Dead, c.Withheld+is.Withheld, c.Rejections+is.Rejections
		err = errors.Join(err, wrong)
	}
	return c, err
}

// owedWithheld lists up to n of the rejections that are owed, by person, and says how many there are.
func (o *owed) owedWithheld(endpoint string, n int) (list []outbox.Withheld, all int64, err error) {
	list = []outbox.Withheld{} // never null
	for _, p := range o.parts() {
		some, m, wrong := p.outbox.OwedWithheld(endpoint, n)
		list, all, err = append(list, some...), all+m, errors.Join(err, wrong)
	}
	slices.SortStableFunc(list, func(a, b outbox.Withheld) int { return cmp.Compare(a.Subject, b.Subject) }) // of one person in order: they are all of one partition
	return list[:max(0, min(n, len(list)))], all, err
}

// giveUp gives up to most deliveries up, in one outbox after the other.
func (o *owed) giveUp(ctx context.Context, endpoint string, most int64, served func() bool) (g outbox.GivenUp, err error) {
	for _, p := range o.parts() {
		some, err := p.outbox.GiveUp(ctx, endpoint, most-g.GivenUp, served)
		g.GivenUp, g.Owed = g.GivenUp+some.GivenUp, g.Owed+some.Owed
		if err != nil {
			return g, err
		}
	}
	return g, nil
}

// retryAll makes up to most deliveries due, in one outbox after the other.
func (o *owed) retryAll(ctx context.Context, endpoint string, most int) (n int, more bool, err error) {
	for _, p := range o.parts() {
		if n == most {
			return n, true, nil
		}
		some, rest, err := p.outbox.RetryAll(ctx, endpoint, most-n)
		if n, more = n+some, more || rest; err != nil {
			return n, true, err
		}
	}
	return n, more, nil
}

// mend finds lanes that damaged records have orphaned; known: there were damaged records.
func (o *owed) mend(ctx context.Context) (heads, rejections int, known bool, err error) {
	for _, p := range o.parts() {
		if !p.outbox.Astray() {
			continue
		}
		h, r, wrong := p.outbox.Mend(ctx)
		heads, rejections, known, err = heads+h, rejections+r, true, errors.Join(err, wrong)
	}
	return heads, rejections, known, err
}
