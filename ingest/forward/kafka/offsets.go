package kafka

import (
	"context"
	"fmt"
	"slices"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/offsetcommit"
	"github.com/segmentio/kafka-go/protocol/offsetfetch"

	"countersign/ingest/forward"
	"countersign/ingest/forward/group"
)

const (
	commitVersion      = 7
	offsetFetchVersion = 5
)

// Commit makes a watermark that of a partition, for whoever owns it next: under our generation and
// name, so that the coordinator refuses whoever is not given anything any more. It takes 5 s at most.
// It is durable when it returns nil. An error wraps group.ErrRefused, where the coordinator said by
// name that it did not commit (group.ErrRevoked beside it: and never will, from us), or
// group.ErrUnknown, after which the next to take over may find it or the one before.
func (g *Group) Commit(ctx context.Context, a group.Assignment, partition int32, w group.Watermark) error {
	text, err := w.Metadata()
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", group.ErrRefused, err)
	case !slices.Contains(a.Partitions, partition): // the coordinator would not mind
		return fmt.Errorf("%w: partition %d was not given to us", group.ErrRefused, partition)
	}
	res, err := g.ask(ctx, askTimeout, commitVersion, &offsetcommit.Request{
		GroupID: g.o.Name, GenerationID: a.Generation, MemberID: a.Member,
		Topics: []offsetcommit.RequestTopic{{Name: g.o.Topic, Partitions: []offsetcommit.RequestPartition{{
			PartitionIndex: partition, CommittedOffset: w.Updates, CommittedLeaderEpoch: -1, CommittedMetadata: text,
		}}}},
	})
	if err != nil {
		return fmt.Errorf("%w: %w", group.ErrUnknown, err)
	}
	r := res.(*offsetcommit.Response)
	if len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 || r.Topics[0].Partitions[0].PartitionIndex != partition {
		return fmt.Errorf("%w: the answer is about something else", group.ErrUnknown)
	}
	switch code := kafkago.Error(r.Topics[0].Partitions[0].ErrorCode); {
	case code == 0:
		return nil
	case revoked(code):
		g.o.Fence.End(a.Generation)
		return fmt.Errorf("%w: %w: %w", group.ErrRefused, group.ErrRevoked, g.denied(code, a.Member))
	case code == kafkago.RebalanceInProgress:
		return fmt.Errorf("%w: %w: %w", group.ErrRefused, group.ErrRebalancing, g.denied(code, a.Member))
	case slices.Contains(notCommitted, code):
		return fmt.Errorf("%w: %w", group.ErrRefused, g.denied(code, a.Member))
	default:
		return fmt.Errorf("%w: %w", group.ErrUnknown, g.denied(code, a.Member))
	}
}

// notCommitted are codes that are answered before anything is written. A coordinator that is not one
// (any more), or not available, may have written: brokers say so too when replicas are missing after
// the leader's own write.
var notCommitted = []kafkago.Error{
	kafkago.GroupAuthorizationFailed, kafkago.TopicAuthorizationFailed, kafkago.InvalidGroupId,
	kafkago.OffsetMetadataTooLarge, kafkago.InvalidCommitOffsetSize, kafkago.UnknownTopicOrPartition,
}

// Watermark is the last one that was committed of a partition; not ok: none was, or the brokers have
// forgotten it. An error is a *forward.Trouble, but where what was committed is none of ours.
func (g *Group) Watermark(ctx context.Context, partition int32) (w group.Watermark, ok bool, err error) {
	res, err := g.ask(ctx, askTimeout, offsetFetchVersion, &offsetfetch.Request{
		GroupID: g.o.Name, Topics: []offsetfetch.RequestTopic{{Name: g.o.Topic, PartitionIndexes: []int32{partition}}},
	})
	if err != nil {
		return w, false, err
	}
	r := res.(*offsetfetch.Response)
	if code := kafkago.Error(r.ErrorCode); code != 0 {
		return w, false, g.denied(code, "")
	}
	if len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 || r.Topics[0].Partitions[0].PartitionIndex != partition {
		return w, false, because(forward.OtherClass, nil, "group %s: the answer is not about partition %d", g.o.Name, partition)
	}
	p := &r.Topics[0].Partitions[0]
	if code := kafkago.Error(p.ErrorCode); code != 0 {
		return w, false, g.denied(code, "")
	}
	if p.CommittedOffset < 0 {
		return w, false, nil
	}
	if w, err = group.ParseWatermark(p.CommittedOffset, p.Metadata); err != nil {
		return group.Watermark{}, false, fmt.Errorf("what group %s has committed of partition %d of topic %s: %w", g.o.Name, partition, g.o.Topic, err)
	}
	return w, true, nil
}
