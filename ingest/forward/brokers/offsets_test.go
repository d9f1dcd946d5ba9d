package brokers

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"countersign/ingest/forward"
	"countersign/ingest/forward/group"
	"countersign/ingest/forward/kafka"
)

// groupOf is the group of a test: who has not left stays a member for a session, and is in nobody's
// way.
func groupOf(t *testing.T) string {
	t.Helper()
	return "countersign." + t.Name()
}

// membership is one member of the group, and its fence.
type membership struct {
	*kafka.Group
	fence *group.Fence
}

// memberOf is a member of its own, that has not joined.
func memberOf(t *testing.T, brokers []string, session time.Duration) membership {
	t.Helper()
	f := group.NewFence(group.FenceOptions{Session: session, Margin: session / 10})
	return membership{client(t, brokers, nil).Group(kafka.GroupOptions{Name: groupOf(t), Topic: name, Fence: f}), f}
}

// joined is a member that has joined.
func joined(t *testing.T, brokers []string, session time.Duration) (membership, group.Assignment) {
	t.Helper()
	m := memberOf(t, brokers, session)
	a, err := m.Join(within(t), group.Member{Node: "relay-1"})
	if err != nil {
		t.Fatal(err)
	}
	if !m.fence.Open() {
		t.Fatal("whoever has joined is fenced off")
	}
	return m, a
}

func watermark(updates int64) group.Watermark {
	return group.Watermark{Updates: updates, Receipts: 3, Version: group.Version{Registry: 17, Rules: 3}, Mark: 41, Taken: 43, At: time.Date(2027, 1, 10, 9, 20, 0, 0, time.UTC), Node: "relay-1"}
}

// is checks what the group has of a partition; negative: nothing.
func (m membership) is(t *testing.T, partition int32, updates int64) {
	t.Helper()
	w, ok, err := m.Watermark(within(t), partition)
	if want := watermark(updates); err != nil || ok != (updates >= 0) || ok && w != want {
		t.Errorf("partition %d: %+v, %v, %v; want %d", partition, w, ok, err, updates)
	}
}

// uncommitted checks which of the two an error of a commit is.
func uncommitted(t *testing.T, err error, refused, revoked bool) {
	t.Helper()
	if err == nil || errors.Is(err, group.ErrRefused) != refused || errors.Is(err, group.ErrUnknown) == refused || errors.Is(err, group.ErrRevoked) != revoked {
		t.Errorf("%v: want it refused %v, revoked %v", err, refused, revoked)
	}
}

// testCommit: a watermark is what the next to take over reads, and nobody else can move it.
func testCommit(t *testing.T, brokers []string) {
	t.Helper()
	m, a := joined(t, brokers, 20*time.Second)
	if len(a.Partitions) != 4 || a.Of != 4 {
		t.Fatalf("%+v", a)
	}
	m.is(t, 1, -1)
	for _, updates := range []int64{0, 7, 5} { // the group does not mind; the owner does
		if err := m.Commit(within(t), a, 1, watermark(updates)); err != nil {
			t.Fatal(err)
		}
		m.is(t, 1, updates)
		memberOf(t, brokers, time.Hour).is(t, 1, updates) // who is no member reads it too
	}
	m.is(t, 2, -1)
	uncommitted(t, m.Commit(within(t), a, 4, watermark(8)), true, false)
	tooLong := watermark(8)
	tooLong.Node = string(make([]byte, 5000))
	uncommitted(t, m.Commit(within(t), a, 1, tooLong), true, false)

	// Somebody without a generation, as tools are, and as any client is that has not joined.
	tool, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.MaxVersions(kversion.V3_0_0()))
	if err != nil {
		t.Fatal(err)
	}
	defer tool.Close()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Topics = groupOf(t), []kmsg.OffsetCommitRequestTopic{{Topic: name, Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Partition: 1, Offset: 99, LeaderEpoch: -1}}}}
	if res, err := req.RequestWith(within(t), tool); err != nil || res.Topics[0].Partitions[0].ErrorCode == 0 {
		t.Errorf("%+v, %v: it was committed", res, err)
	}

	// A zombie: somebody else has joined since, so its generation is over.
	if !m.fence.Open() {
		t.Error("fenced off too early")
	}
	other := memberOf(t, brokers, 20*time.Second)
	given := make(chan group.Assignment, 1)
	go func() {
		a, err := other.Join(within(t), group.Member{Node: "relay-2"})
		if err != nil {
			t.Error(err)
		}
		given <- a
	}()
	eventually(t, "the group wants to share out again", func() bool { return errors.Is(m.Beat(within(t), a), group.ErrRebalancing) })
	again, err := m.Join(within(t), group.Member{Node: "relay-1", Generation: a.Generation, Held: a.Partitions, Warm: map[int32]int64{0: 9, 1: 8, 2: 3, 3: 1}})
	theirs := <-given
	if err != nil || !slices.Equal(again.Partitions, []int32{0, 1}) || !slices.Equal(theirs.Partitions, []int32{2, 3}) {
		t.Fatalf("%+v and %+v, %v", again, theirs, err)
	}
	err = m.Commit(within(t), a, 1, watermark(11)) // m's old generation, as a zombie would
	uncommitted(t, err, true, true)
	m.is(t, 1, 5)
	if !m.fence.Open() {
		t.Error("what was said of an old generation has shut the fence of the new one")
	}
	if err := m.Commit(within(t), again, 1, watermark(12)); err != nil {
		t.Error(err)
	}
	other.is(t, 1, 12)
	wrong := again
	wrong.Member = theirs.Member + "x"
	uncommitted(t, m.Commit(within(t), wrong, 1, watermark(13)), true, true)
	if m.is(t, 1, 12); m.fence.Open() {
		t.Error("who is no member is still an owner")
	}
}

func TestCommit(t *testing.T) {
	t.Parallel()
	testCommit(t, cluster(t, kfake.NumBrokers(2), kfake.SeedTopics(4, name)).ListenAddrs())
}

// TestCommitCodes: a commit is refused where the coordinator says so by name, and not known
// otherwise.
func TestCommitCodes(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, name))
	m, a := joined(t, c.ListenAddrs(), 20*time.Second)
	f := func(e *kerr.Error, isRefused, isRevoked bool) {
		t.Helper()
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: e})
		err := m.Commit(within(t), a, 0, watermark(2))
		uncommitted(t, err, isRefused, isRevoked)
		if open := m.fence.Open(); open == isRevoked || !errors.As(err, new(*forward.Trouble)) {
			t.Errorf("%v: %v, open %v", e, err, open)
		}
		m.fence.Begin(a.Generation)
		if err := m.Beat(within(t), a); err != nil {
			t.Errorf("after %v: %v", e, err)
		}
		if err := m.Commit(within(t), a, 0, watermark(1)); err != nil {
			t.Errorf("after %v: %v", e, err)
		}
	}
	f(kerr.IllegalGeneration, true, true)
	f(kerr.UnknownMemberID, true, true)
	f(kerr.FencedInstanceID, true, true)
	f(kerr.RebalanceInProgress, true, false)
	f(kerr.GroupAuthorizationFailed, true, false)
	f(kerr.TopicAuthorizationFailed, true, false)
	f(kerr.OffsetMetadataTooLarge, true, false)
	f(kerr.InvalidCommitOffsetSize, true, false)
	f(kerr.InvalidGroupID, true, false)
	f(kerr.UnknownTopicOrPartition, true, false)
	f(kerr.NotCoordinator, false, false)
	f(kerr.CoordinatorNotAvailable, false, false)
	f(kerr.CoordinatorLoadInProgress, false, false)
	f(kerr.RequestTimedOut, false, false)
	f(kerr.NotEnoughReplicas, false, false)
	f(kerr.UnknownServerError, false, false)
}

// TestCommitUnknown: a commit whose answer is lost, or says that it took too long, may count: the
// error does not say that it does not (trap 5).
func TestCommitUnknown(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, name))
	m, a := joined(t, c.ListenAddrs(), 20*time.Second)
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.RequestTimedOut}) // it is done all the same
	uncommitted(t, m.Commit(within(t), a, 0, watermark(1)), false, false)
	m.is(t, 0, 1)
	for _, err := range []error{nil, errors.New("hang up")} { // not answered
		c.ControlKey(int16(kmsg.OffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) { return nil, err, true })
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		uncommitted(t, m.Commit(ctx, a, 0, watermark(2)), false, false)
		cancel()
	}
	c.ControlKey(int16(kmsg.OffsetCommit), func(r kmsg.Request) (kmsg.Response, error, bool) { return r.ResponseKind(), nil, true })
	uncommitted(t, m.Commit(within(t), a, 0, watermark(2)), false, false)
	m.is(t, 0, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	uncommitted(t, m.Commit(ctx, a, 0, watermark(2)), false, false)
	if err := m.Commit(within(t), a, 0, watermark(3)); err != nil {
		t.Error(err)
	}
	m.is(t, 0, 3)
}

// TestCommitsRefused: each commit that is refused is an error, however many there are (trap 15).
func TestCommitsRefused(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, name))
	m, a := joined(t, c.ListenAddrs(), 20*time.Second)
	if err := m.Commit(within(t), a, 0, watermark(1)); err != nil {
		t.Fatal(err)
	}
	all := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.RebalanceInProgress, Count: -1})
	for range 60 {
		uncommitted(t, m.Commit(within(t), a, 0, watermark(2)), true, false)
		m.is(t, 0, 1)
	}
	all.Remove()
	if err := m.Commit(within(t), a, 0, watermark(2)); err != nil {
		t.Error(err)
	}
	m.is(t, 0, 2)
}

// TestForeignCommit: a commit of another program is named, and is no watermark.
func TestForeignCommit(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, name))
	m := memberOf(t, c.ListenAddrs(), 20*time.Second)
	tool, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.MaxVersions(kversion.V3_0_0()))
	if err != nil {
		t.Fatal(err)
	}
	defer tool.Close()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Topics = groupOf(t), []kmsg.OffsetCommitRequestTopic{{Topic: name, Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Offset: 99, LeaderEpoch: -1}}}}
	if res, err := req.RequestWith(within(t), tool); err != nil || res.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatal(res, err)
	}
	_, ok, err := m.Watermark(within(t), 0)
	if ok || err == nil || errors.As(err, new(*forward.Trouble)) {
		t.Errorf("%v, %v", ok, err)
	}
	t.Log(err)
	f := func(e *kerr.Error, class forward.Class, topLevel bool) {
		t.Helper()
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Err: e, TopLevel: topLevel})
		_, _, err := m.Watermark(within(t), 0)
		trouble(t, err, class)
	}
	for _, topLevel := range []bool{false, true} {
		f(kerr.NotCoordinator, forward.NoLeader, topLevel)
		f(kerr.CoordinatorLoadInProgress, forward.NoLeader, topLevel)
		f(kerr.GroupAuthorizationFailed, forward.Denied, topLevel)
		f(kerr.UnknownServerError, forward.OtherClass, topLevel)
	}
}
