package relay

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"countersign/outbox"
	"countersign/outbox/store"
)

// Receipt is how a delivery of an order ended, as it is told to other nodes and to readers of the
// topic kyc.delivery-receipts. Nothing of the body, the URL or the answer stands in it.
type Receipt struct {
	ID         string         `json:"id"` // the webhook-id
	Endpoint   string         `json:"endpoint"`
	Partner    string         `json:"partner"` // the id that it is kept under
	Subject    string         `json:"subject"`
	Livemode   bool           `json:"livemode"`
	Sequence   uint64         `json:"sequence"`
	Order      int64          `json:"order"` // offset of the record that owed it, or owed it again
	Outcome    outbox.Outcome `json:"outcome"`
	Reason     string         `json:"reason,omitempty"`
	Code       int            `json:"code,omitempty"`
	Attempts   int            `json:"attempts"`
	At         time.Time      `json:"at"`
	TookMS     float64        `json:"took_ms"`
	By         string         `json:"by,omitempty"`
	Because    string         `json:"because,omitempty"`
	Node       string         `json:"node,omitempty"`       // who says so, for people
	Generation uint64         `json:"generation,omitempty"` // and as the how-manieth owner, for people
}

// Lane is whose it is.
func (r *Receipt) Lane() string { return laneOf(r.Partner, r.Subject, r.Livemode) }

// Ends is the receipt as an outbox takes it.
func (r *Receipt) Ends() outbox.Receipt {
	return outbox.Receipt{Endpoint: r.Endpoint, Lane: r.Lane(), WebhookID: r.ID, Sequence: r.Sequence, Order: r.Order, Outcome: r.Outcome, Reason: r.Reason, At: r.At}
}

var receiptsKey = []byte("relay/receipts") // how many were ever queued

// SettledWithReceipt is Settled of a node that is not the only one: a receipt is queued, in the
// transaction that ends the delivery. The receipts that a node has not told yet are the only thing
// that it keeps of a partition in which others have gone on.
func SettledWithReceipt(tx *store.Tx, a outbox.Attempt) error {
	if err := Settled(tx, a); err != nil {
		return err
	}
	d := &a.Delivery
	r := Receipt{
		ID: d.WebhookID, Endpoint: d.Endpoint, Sequence: d.Sequence, Order: d.Order, Outcome: a.Outcome, Reason: a.Reason, Code: a.Code, Attempts: d.Failures,
		At: a.At.Add(a.Took).UTC(), TookMS: float64(a.Took.Microseconds()) / 1000, By: a.By, Because: a.Because,
	}
	if r.Partner, r.Subject, r.Livemode = splitLane(d.Lane); r.Partner == "" {
		return nil // it tells of nobody
	}
	if a.Code != 0 || a.Took != 0 {
		r.Attempts++
	}
	return QueueReceipts(tx, r)
}

// QueueReceipts queues receipts for ReceiptsQueued.
func QueueReceipts(tx *store.Tx, rs ...Receipt) error {
	n, err := tx.Number(receiptsKey)
	if err != nil {
		return err
	}
	for i := range rs {
		text, err := json.Marshal(&rs[i])
		if err != nil {
			return fmt.Errorf("a receipt: %w", err)
		}
		n++
		if err := tx.Bucket(store.Receipts).Put(receiptKey(n), text); err != nil {
			return err
		}
	}
	return tx.SetNumber(receiptsKey, n)
}

func receiptKey(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) } //nolint:gosec // it counts

// ReceiptsQueued are up to n receipts that nobody was told yet, in the order in which they were
// queued, and the key of the last for ReceiptsTold. A damaged one is passed over: its delivery is
// repeated once.
func ReceiptsQueued(tx *store.Tx, n int) (rs []Receipt, last []byte) {
	c := tx.Bucket(store.Receipts).Cursor()
	for k, v := c.First(); k != nil && len(rs) < n; k, v = c.Next() {
		var r Receipt
		if last = append(last[:0], k...); v != nil && json.Unmarshal(v, &r) == nil {
			rs = append(rs, r)
		}
	}
	return rs, last
}

// ReceiptsTold takes receipts out of the queue that others have, up to the one with this key.
func ReceiptsTold(tx *store.Tx, last []byte) error {
	var gone [][]byte
	c := tx.Bucket(store.Receipts).Cursor()
	for k, _ := c.First(); k != nil && string(k) <= string(last); k, _ = c.Next() {
		gone = append(gone, append([]byte(nil), k...))
	}
	for _, k := range gone {
		if err := tx.Bucket(store.Receipts).Delete(k); err != nil {
			return err
		}
	}
	return nil
}
