package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/fetch"
	"github.com/segmentio/kafka-go/protocol/listoffsets"

	"countersign/ingest/forward"
	"countersign/ingest/forward/group"
)

const (
	fetchVersion       = 11
	listOffsetsVersion = 5

	maxFetch  = 10 << 20 // bytes of one answer; a first batch that is larger comes whole
	maxAnswer = 64 << 20 // bytes that are read of an answer at most

	earliest, latest = -2, -1 // instants of ListOffsets

	errNoOffset = kafkago.Error(78) // OFFSET_NOT_AVAILABLE, which the client library does not name
)

// Bounds tells the offset of the first record of a partition, and that of the next record that will
// be written. An error is a *forward.Trouble.
func (c *Client) Bounds(ctx context.Context, p group.Partition) (start, end int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if start, err = c.offset(ctx, p, earliest); err == nil {
		end, err = c.offset(ctx, p, latest)
	}
	return start, end, err
}

// offset asks the leader for one of the bounds: both in one request would be refused.
func (c *Client) offset(ctx context.Context, p group.Partition, at int64) (int64, error) {
	res, err := c.do(ctx, &exchange{version: listOffsetsVersion, to: leader(p.Topic, p.Number), Message: &listoffsets.Request{
		ReplicaID: -1,
		Topics: []listoffsets.RequestTopic{{Topic: p.Topic, Partitions: []listoffsets.RequestPartition{{
			Partition: p.Number, CurrentLeaderEpoch: -1, Timestamp: at,
		}}}},
	}})
	if err != nil {
		return 0, c.explain(err, c.leaderOf(p))
	}
	r, ok := res.(*listoffsets.Response)
	if !ok || len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 || r.Topics[0].Partitions[0].Partition != p.Number {
		return 0, because(forward.OtherClass, nil, "%s answered without the bounds of %s", c.leaderOf(p), p)
	}
	if code := kafkago.Error(r.Topics[0].Partitions[0].ErrorCode); code != 0 {
		return 0, c.unread(code, p)
	}
	return r.Topics[0].Partitions[0].Offset, nil
}

// Fetch returns what stands in a partition from an offset on: at once if there is something, else as
// soon as there is, or nothing after wait. It is one request of 10 MiB at most (a single batch that
// is larger comes whole), to the leader as it was a second ago: who moved, or is gone, is an error,
// and the next call finds the new one. It takes wait and 5 s at most, and ends with ctx at once; its
// connection is closed then.
//
// An error is a *group.LogError where trying again cannot help, else a *forward.Trouble. Compressed
// batches are read. Those of transactions are damage: nobody of ours writes any, and whether they
// count stands elsewhere.
func (c *Client) Fetch(ctx context.Context, p group.Partition, from int64, wait time.Duration) (group.Fetched, error) {
	wait = max(wait, 0)
	asking, cancel := context.WithTimeout(ctx, wait+askTimeout)
	defer cancel()
	res, err := c.do(asking, &exchange{version: fetchVersion, to: leader(p.Topic, p.Number), read: readFetched, Message: &fetch.Request{
		ReplicaID: -1, MaxWaitTime: int32(wait / time.Millisecond), MinBytes: 1, MaxBytes: maxFetch, SessionEpoch: -1, //nolint:gosec // some seconds
		Topics: []fetch.RequestTopic{{Topic: p.Topic, Partitions: []fetch.RequestPartition{{
			Partition: p.Number, CurrentLeaderEpoch: -1, FetchOffset: from, LogStartOffset: -1, PartitionMaxBytes: maxFetch,
		}}}},
	}})
	if err != nil {
		return group.Fetched{}, c.explain(err, c.leaderOf(p))
	}
	f, ok := res.(*fetched)
	if !ok || f.code == 0 && (f.topic != p.Topic || f.partition != p.Number) {
		return group.Fetched{}, because(forward.OtherClass, nil, "%s answered without %s", c.leaderOf(p), p)
	}
	broken := &group.LogError{Partition: p, At: from, Start: f.start, End: f.end}
	switch code := kafkago.Error(f.code); code {
	case 0:
	case kafkago.OffsetOutOfRange:
		return group.Fetched{}, c.outOfRange(asking, broken)
	case kafkago.InvalidMessage:
		broken.Err = fmt.Errorf("%w: %w", group.ErrDamaged, code)
		return group.Fetched{}, broken
	default:
		return group.Fetched{}, c.unread(code, p)
	}
	u := unpacked{compacted: p.Compacted, next: from}
	if err := u.batches(f.batches); err != nil {
		if broken.At, broken.Err = u.next, err; errors.Is(err, group.ErrGap) && f.start > from {
			broken.Err = group.ErrOvertaken
		}
		return group.Fetched{}, broken
	}
	if len(u.records) == 0 && f.start > u.next {
		broken.Err = group.ErrOvertaken
		return group.Fetched{}, broken
	}
	return group.Fetched{Records: u.records, Next: u.next, Start: f.start, End: f.end}, nil
}

// outOfRange says on which side.
func (c *Client) outOfRange(ctx context.Context, e *group.LogError) error {
	var err error
	switch e.Start, e.End, err = c.Bounds(ctx, e.Partition); {
	case err != nil:
		return err
	case e.At < e.Start:
		e.Err = group.ErrOvertaken
	case e.At > e.End:
		e.Err = group.ErrAhead
	default: // it has grown since, or another leads by now
		return c.unread(kafkago.OffsetOutOfRange, e.Partition)
	}
	return e
}

// unread says what an error code means that kept a partition from being read.
func (c *Client) unread(code kafkago.Error, p group.Partition) error {
	switch code {
	case kafkago.TopicAuthorizationFailed:
		return because(forward.Denied, code, "%s may not read topic %s (ACL: Read and Describe on topic %s)", c.who(), p.Topic, p.Topic)
	case errNoOffset:
		return because(forward.NoLeader, code, "%s does not know the end of %s yet: are the leaders just being elected?", c.leaderOf(p), p)
	default:
		return c.refused(code, p.Topic, c.leaderOf(p))
	}
}

// leaderOf is how sentences call the broker that leads a partition.
func (c *Client) leaderOf(p group.Partition) string {
	ctx, cancel := context.WithTimeout(context.Background(), settle) // it is in the cache, or it is not
	defer cancel()
	if _, t, err := c.cached(ctx, p.Topic); err == nil {
		for i := range t.Partitions {
			if t.Partitions[i].PartitionIndex == p.Number && t.Partitions[i].LeaderID >= 0 {
				return c.broker(t.Partitions[i].LeaderID, p.Topic)
			}
		}
	}
	return c.anyBroker()
}
