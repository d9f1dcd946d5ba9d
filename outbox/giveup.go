package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"countersign/outbox/store"
)

// What an endpoint owes that is not in the config any more, or is disabled, stays owed until
// somebody says that nobody will be told. Then it is dead as given_up: kept, listed, and
// redeliverable should the endpoint come back. Rejections and suspensions among it stay withheld
// until an operator acknowledges them.

const (
	giveUpChunk = 200     // deliveries given up in one transaction
	giveUpBytes = 4 << 20 // of bodies moved in one transaction, about
)

// ErrServed says that what an endpoint owes cannot be given up: it is sent.
var ErrServed = errors.New("the endpoint is in the config and enabled: its pending deliveries are sent")

// GivenUp is what giving up came to.
type GivenUp struct {
	GivenUp int64 // deliveries that were owed, and are dead now
	Owed    int64 // what is owed still: more than was asked for, or owed since
}

// GiveUp makes up to most deliveries that the endpoint owes dead, a bounded part in each
// transaction: nil once that is on stable storage. Whoever calls it after a crash, or an error,
// gives up the rest. What had to give way for want of room waits for none any more. Before each
// transaction served is asked whether the endpoint is sent what it owes: then ErrServed, and no
// more is given up. What is in flight and arrives all the same is dead no more.
func (b *Outbox) GiveUp(ctx context.Context, endpoint string, most int64, served func() bool) (g GivenUp, err error) {
	chunk := giveUpChunk
	for more := true; more && g.GivenUp < most; {
		var n int64
		err := b.o.Store.Update(ctx, func(tx *store.Tx) (err error) { // its own err: it may still run when ctx has ended
			if served() {
				return ErrServed
			}
			n, more, err = b.giveUpSome(tx, endpoint, int(min(int64(chunk), most-g.GivenUp)))
			return err
		})
		switch {
		case errors.Is(err, store.ErrFull) && chunk > 1:
			chunk, more = chunk/2, true // fewer may fit
			continue
		case err != nil:
			return g, fmt.Errorf("give up pending deliveries of %s: %w", endpoint, err)
		}
		g.GivenUp += n
	}
	err = b.o.Store.View(func(tx *store.Tx) (err error) {
		g.Owed, err = tx.Number(owedKey(endpoint))
		return err
	})
	return g, err
}

// giveUpSome is one transaction of GiveUp: the first lanes by due time, or the first of one, or
// some of those that wait for room.
func (b *Outbox) giveUpSome(tx *store.Tx, endpoint string, most int) (n int64, more bool, err error) {
	left, err := stopWaiting(tx, endpoint, most)
	if left == 0 || err != nil {
		return 0, true, err
	}
	t := b.tally()
	size := 0
	from, end := append([]byte(endpoint), 0), placeKey(endpoint, "")
	for int(n) < most && size < giveUpBytes {
		c := tx.Bucket(store.Due).Cursor()
		k, v := c.Seek(from)
		_, _, _, lane, ok := splitDue(k)
		for ; k != nil && bytes.Compare(k, end) < 0 && (v == nil || !ok); _, _, _, lane, ok = splitDue(k) { // damaged: Mend sees to its lane
			k, v = c.Next()
		}
		if k == nil || bytes.Compare(k, end) >= 0 {
			return n, false, t.write(tx)
		}
		from = bytes.Clone(k)
		given, bytes, empty, err := b.giveUpLane(tx, t, endpoint, lane, most-int(n), giveUpBytes-size)
		if err == nil {
			err = unstand(tx, endpoint, lane, from)
		}
		if err != nil {
			return 0, false, err
		}
		n, size = n+int64(given), size+bytes
		if !empty {
			first := firstOf(tx, laneKey(endpoint, lane))
			if err := b.setHead(tx, endpoint, lane, b.o.Now().UnixMilli(), head{seq: first}, owesRestrictive(tx, endpoint, lane)); err != nil {
				return 0, false, err
			}
			break
		}
	}
	return n, true, t.write(tx)
}

// giveUpLane gives up the first deliveries of a lane, and reports whether they were all. Its head
// is the caller's.
func (b *Outbox) giveUpLane(tx *store.Tx, t *tally, endpoint, lane string, most, room int) (n, size int, empty bool, err error) {
	prefix := laneKey(endpoint, lane)
	for ; n < most && (size < room || n == 0); n++ {
		k, v := tx.Bucket(store.Deliveries).From(prefix)
		if !isOfLane(k, prefix) {
			return n, size, true, nil
		}
		a := Attempt{Delivery: Delivery{Endpoint: endpoint, Lane: lane, Sequence: sequence(k)}, Outcome: Died, Reason: ReasonGivenUp, At: b.o.Now()}
		if decodeDelivery(v, &a.Delivery) != nil {
			a.Reason = Damaged
		}
		size += len(a.Delivery.Body)
		if err := b.inter(tx, t, &a); err != nil {
			return n, size, false, err
		}
	}
	return n, size, !laneHasMore(tx, endpoint, lane), nil
}

// stopWaiting takes deliveries of the endpoint out of the row of those that wait for room, and says
// how many more it might have.
func stopWaiting(tx *store.Tx, endpoint string, most int) (left int, err error) {
	prefix := roomPrefix(endpoint)
	var gone [][]byte
	c := tx.Bucket(store.Withheld).Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix) && len(gone) < most; k, _ = c.Next() {
		gone = append(gone, bytes.Clone(k))
	}
	for _, k := range gone {
		if err := tx.Bucket(store.Withheld).Delete(k); err != nil {
			return 0, err
		}
	}
	return most - len(gone), nil
}

// withheldLook is how many rejections of an endpoint are looked at for a few that it owes.
const withheldLook = 10_000

// OwedWithheld lists up to n rejections and suspensions that the endpoint owes, by lane, and says
// how many it owes in all. Should most of what is withheld from it be dead, the list may be shorter.
func (b *Outbox) OwedWithheld(endpoint string, n int) (list []Withheld, all int64, err error) {
	list = []Withheld{} // never null
	err = b.o.Store.View(func(tx *store.Tx) error {
		if all, err = tx.Number(rejectionsKey(endpoint)); err != nil {
			return err
		}
		prefix := append([]byte{byLane}, append([]byte(endpoint), 0)...)
		c := tx.Bucket(store.Withheld).Cursor()
		k, v := c.Seek(prefix)
		for looked := 0; bytes.HasPrefix(k, prefix) && len(list) < n && int64(len(list)) < all && looked < withheldLook; k, v = c.Next() {
			looked++
			d, ok := splitDelivery(k[1:])
			w := &withheldRecord{}
			if !ok || !w.decode(v) || w.Dead != "" {
				continue
			}
			d.WebhookID = w.WebhookID
			list = append(list, Withheld{
				ID: d.ID(), Endpoint: endpoint, Subject: d.Lane, Sequence: d.Sequence, Type: w.Type, Since: time.UnixMilli(w.Since).UTC(), Acknowledged: w.Acknowledged,
			})
		}
		return nil
	})
	return list, all, err
}
