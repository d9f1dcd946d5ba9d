package kafka

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/produce"

	"countersign/ingest/forward"
)

const (
	// acks is that of every record: all in-sync replicas. There is no setting for it.
	acks = -1
	// replicaTimeout is what a leader waits for its followers.
	replicaTimeout = 5 * time.Second
	// sendTimeout is what a call takes at most.
	sendTimeout = 8 * time.Second
)

// Send implements forward.Topic. It is one request, and takes 8 s at most. A call whose ctx ends
// first leaves a request behind that may still be written, and that reads the messages until its
// deadline: they must not change, as forward.Message says.
func (t *Topic) Send(ctx context.Context, leader int32, batches []forward.Batch) []error {
	errs := make([]error, len(batches))
	sent, refused := t.partitions(batches)
	if refused == nil && len(sent) == 0 {
		return errs
	}
	if refused == nil {
		refused = t.send(ctx, leader, sent, batches, errs)
	}
	if refused == nil {
		return errs
	}
	for i := range batches {
		if len(batches[i].Records) > 0 {
			errs[i] = refused
		}
	}
	return errs
}

// partitions is what of batches is sent: an empty one is not, as a broker would hang up on it.
func (t *Topic) partitions(batches []forward.Batch) ([]produce.RequestPartition, error) {
	sent := make([]produce.RequestPartition, 0, len(batches))
	readers := make([]reader, len(batches))
	for i := range batches {
		b := &batches[i]
		if len(b.Records) == 0 {
			continue
		}
		for j := range sent {
			if sent[j].Partition == b.Partition { // one answer would count for both
				return nil, because(forward.OtherClass, nil, "two batches for partition %d of topic %s in one request", b.Partition, t.o.Name)
			}
		}
		readers[i].messages = slices.Clone(b.Records) // the caller's slice may change as soon as Send has returned
		sent = append(sent, produce.RequestPartition{Partition: b.Partition, RecordSet: protocol.RecordSet{Records: &readers[i]}})
	}
	return sent, nil
}

// send asks the leader, and sets what it says of each batch. An error is for all of them.
func (t *Topic) send(ctx context.Context, leader int32, sent []produce.RequestPartition, batches []forward.Batch, errs []error) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	res, err := t.c.roundTrip(ctx, &produce.Request{
		Acks:    acks,
		Timeout: int32(replicaTimeout / time.Millisecond),
		Topics:  []produce.RequestTopic{{Topic: t.o.Name, Partitions: sent}},
	})
	if err != nil {
		return t.c.explain(err, t.c.broker(leader, t.o.Name))
	}
	var answered []produce.ResponsePartition
	if r, ok := res.(*produce.Response); ok && len(r.Topics) == 1 {
		answered = r.Topics[0].Partitions
	}
	for i := range batches {
		if len(batches[i].Records) == 0 {
			continue
		}
		p := batches[i].Partition
		j := i
		if j >= len(answered) || answered[j].Partition != p {
			j = slices.IndexFunc(answered, func(a produce.ResponsePartition) bool { return a.Partition == p })
		}
		switch {
		case j < 0:
			errs[i] = because(forward.OtherClass, nil, "%s answered without partition %d of topic %s", t.c.broker(leader, t.o.Name), p, t.o.Name)
		case answered[j].ErrorCode != 0:
			errs[i] = t.c.refused(kafkago.Error(answered[j].ErrorCode), t.o.Name, t.c.broker(leader, t.o.Name))
		}
	}
	return nil
}

// broker is how sentences call a broker, with its address where that is known.
func (c *Client) broker(id int32, topic string) string {
	ctx, cancel := context.WithTimeout(context.Background(), settle) // it is in the cache, or it is not
	defer cancel()
	if m, _, err := c.cached(ctx, topic); err == nil {
		for _, b := range m.Brokers {
			if b.NodeID == id {
				return fmt.Sprintf("broker %d (%s)", id, net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))))
			}
		}
	}
	return "broker " + strconv.Itoa(int(id))
}

// reader implements protocol.RecordReader over messages. The client library reads a record to its
// end before it asks for the next, so one is enough, and a record costs no allocation:
// protocol.NewRecordReader and NewBytes would cost three each.
type reader struct {
	messages   []*forward.Message
	record     protocol.Record
	key, value payload
	headers    []protocol.Header
}

// ReadRecord implements protocol.RecordReader.
func (r *reader) ReadRecord() (*protocol.Record, error) {
	if len(r.messages) == 0 {
		return nil, io.EOF
	}
	m := r.messages[0]
	r.messages = r.messages[1:]
	r.headers = r.headers[:0]
	for i := range m.Headers {
		r.headers = append(r.headers, protocol.Header{Key: m.Headers[i].Name, Value: m.Headers[i].Value})
	}
	r.record = protocol.Record{Time: m.Time, Key: r.key.of(m.Key), Value: r.value.of(m.Value), Headers: r.headers}
	return &r.record, nil
}

// payload is a key or a value.
type payload struct{ bytes.Reader }

// of lets p read b; nil is Kafka's null.
func (p *payload) of(b []byte) protocol.Bytes {
	if b == nil {
		return nil
	}
	p.Reset(b)
	return p
}

// Close implements protocol.Bytes.
func (p *payload) Close() error { return nil }
