package brokers

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"countersign/ingest/forward"
	"countersign/ingest/forward/group"
	"countersign/ingest/forward/kafka"
)

// quick lets sessions be as short as tests want them.
var quick = kfake.GroupMinSessionTimeout(100 * time.Millisecond)

// ledger is whoever looks at all members from outside: what each was given last, and whether its
// fence lets it act.
type ledger struct {
	mu    sync.Mutex
	lines map[string]line
	wrong []string
}

type line struct {
	fence      *group.Fence
	partitions []int32
}

// given notes what a member owns from now on.
func (l *ledger) given(who string, f *group.Fence, ps []int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines[who] = line{f, ps}
	l.look()
}

// look returns how many partitions have an owner that may act. Two of one partition are wrong.
func (l *ledger) look() int {
	owners := map[int32]string{}
	for who, line := range l.lines {
		if !line.fence.Open() {
			continue
		}
		for _, p := range line.partitions {
			if other := owners[p]; other != "" {
				l.wrong = append(l.wrong, fmt.Sprintf("partition %d is owned by %s and %s", p, other, who))
			}
			owners[p] = who
		}
	}
	return len(owners)
}

// owned waits until each of n partitions has an owner, of as many members.
func (l *ledger) owned(t *testing.T, n, members int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		l.mu.Lock()
		owned, open := l.look(), 0
		for _, line := range l.lines {
			if line.fence.Open() && len(line.partitions) > 0 {
				open++
			}
		}
		wrong := strings.Join(l.wrong, "\n")
		l.mu.Unlock()
		switch {
		case wrong != "":
			t.Fatal(wrong)
		case owned == n && open == members:
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%d of %d partitions have an owner, %d of %d members own some", owned, n, open, members)
		}
	}
}

// relay is a member that joins whenever it has to, and beats in between.
type relay struct {
	membership
	name  string
	hangs atomic.Bool // as a process that is stopped
	leave atomic.Bool // when it ends, it says so
	end   context.CancelFunc
	ended chan struct{}
}

func startRelay(t *testing.T, l *ledger, name string, brokers []string, session time.Duration) *relay {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &relay{membership: memberOf(t, brokers, session), name: name, end: cancel, ended: make(chan struct{})}
	t.Cleanup(r.stop)
	go func() {
		defer close(r.ended)
		r.run(ctx, l, session/15)
	}()
	return r
}

func (r *relay) stop() {
	r.end()
	<-r.ended
}

func (r *relay) run(ctx context.Context, l *ledger, beat time.Duration) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	told := group.Member{Node: r.name}
	for ctx.Err() == nil {
		l.given(r.name, r.fence, nil) // Join opens the fence for what it returns, which nobody has written down yet
		a, err := r.Join(ctx, told)
		if err != nil {
			continue
		}
		l.given(r.name, r.fence, a.Partitions)
		told = group.Member{Node: r.name, Generation: a.Generation, Held: a.Partitions}
		for err == nil || !errors.Is(err, group.ErrRebalancing) && !errors.Is(err, group.ErrRevoked) {
			select {
			case <-tick.C:
			case <-ctx.Done():
				if r.leave.Load() {
					leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
					r.Leave(leaving)
					cancel()
				}
				return
			}
			if !r.hangs.Load() {
				err = r.Beat(ctx, a)
			}
		}
	}
}

// testChurn: from one member to eight and back. They leave, die, and hang and go on, and at no time
// may two act as the owner of one partition; each partition gets an owner each time.
func testChurn(t *testing.T, brokers []string, session time.Duration) {
	t.Helper()
	const partitions, most = 12, 8
	l := &ledger{lines: map[string]line{}}
	var relays []*relay
	for n := range most {
		relays = append(relays, startRelay(t, l, fmt.Sprint("relay-", n), brokers, session))
		l.owned(t, partitions, n+1)
	}
	relays[1].hangs.Store(true) // and does not hear that the others share out
	relays[2].leave.Store(true)
	relays[2].stop()
	relays = slices.Delete(relays, 2, 3)
	l.owned(t, partitions, most-2)
	relays[1].hangs.Store(false)
	l.owned(t, partitions, most-1)
	for n := len(relays); n > 1; n-- {
		gone := relays[n/2]
		gone.leave.Store(n%2 == 0)
		gone.stop()
		relays = slices.Delete(relays, n/2, n/2+1)
		l.owned(t, partitions, n-1)
	}
}

func TestChurn(t *testing.T) {
	t.Parallel()
	testChurn(t, cluster(t, kfake.NumBrokers(3), kfake.SeedTopics(12, name), quick).ListenAddrs(), 1500*time.Millisecond)
}

// TestChurnMoved: the same, while the coordinator moves all the time.
func TestChurnMoved(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(3), kfake.SeedTopics(12, name), quick)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for tick := time.NewTicker(100 * time.Millisecond); ; {
			select {
			case <-tick.C:
				c.RehashCoordinators()
			case <-ctx.Done():
				return
			}
		}
	}()
	testChurn(t, c.ListenAddrs(), 1500*time.Millisecond)
	cancel()
	<-ended
}

// testHang: a member that is to share out, and says nothing more, holds the others up for a session
// and no longer.
func testHang(t *testing.T, brokers []string, session time.Duration) {
	t.Helper()
	raw, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	subscription := kmsg.NewConsumerMemberMetadata()
	subscription.Topics, subscription.UserData = []string{name}, []byte("not one of ours")
	join := kmsg.NewPtrJoinGroupRequest()
	join.Group, join.ProtocolType = groupOf(t), "consumer"
	join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = int32(session.Milliseconds()), int32(session.Milliseconds())
	join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "countersign", Metadata: subscription.AppendTo(nil)}}
	var led *kmsg.JoinGroupResponse
	for range 2 { // the first names it
		if led, err = join.RequestWith(within(t), raw); err != nil {
			t.Fatal(err)
		}
		join.MemberID = led.MemberID
	}
	if led.ErrorCode != 0 || led.LeaderID != led.MemberID {
		t.Fatalf("%+v", led)
	}
	m := memberOf(t, brokers, session)
	a, err := m.Join(within(t), group.Member{})
	if err != nil || len(a.Partitions) != a.Of || a.Of == 0 || !m.fence.Open() {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestHang(t *testing.T) {
	t.Parallel()
	testHang(t, cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(3, name), quick).ListenAddrs(), time.Second)
}

// testJoinEnds: who waits for the others ends with its context, and the group goes on.
func testJoinEnds(t *testing.T, brokers []string) {
	t.Helper()
	m, _ := joined(t, brokers, 20*time.Second) // and does not hear that somebody wants to join
	other := memberOf(t, brokers, 20*time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if a, err := other.Join(ctx, group.Member{}); err == nil || other.fence.Open() {
		t.Errorf("%+v, %v", a, err)
	}
	if err := other.Leave(within(t)); err != nil {
		t.Error(err)
	}
	a, err := m.Join(within(t), group.Member{})
	if err != nil || len(a.Partitions) != a.Of {
		t.Errorf("%+v, %v", a, err)
	}
	if err := m.Leave(within(t)); err != nil || m.fence.Open() {
		t.Errorf("%v, open: %v", err, m.fence.Open())
	}
	if err := m.Leave(within(t)); err != nil {
		t.Errorf("who has left leaves again: %v", err)
	}
	if err := m.Beat(within(t), a); !errors.Is(err, group.ErrRevoked) {
		t.Errorf("who has left beats: %v", err)
	}
}

func TestJoinEnds(t *testing.T) {
	t.Parallel()
	testJoinEnds(t, cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(3, name)).ListenAddrs())
}

// testGroupLeaks: 50 joins and leaves, and as many members that are closed without a word, leave no
// goroutine and no connection. Not parallel: it counts everybody's goroutines.
func testGroupLeaks(t *testing.T, brokers []string) {
	t.Helper()
	before := runtime.NumGoroutine()
	registry := prometheus.NewRegistry()
	k, err := kafka.New(kafka.Options{Brokers: brokers, Topics: []string{name}, Metrics: registry})
	if err != nil {
		t.Fatal(err)
	}
	g := k.Group(kafka.GroupOptions{Name: groupOf(t), Topic: name, Fence: group.NewFence(group.FenceOptions{Session: 20 * time.Second})})
	for range 50 {
		a, err := g.Join(within(t), group.Member{})
		if err != nil || len(a.Partitions) != a.Of {
			t.Fatalf("%+v, %v", a, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		k.Fetch(ctx, group.Partition{Topic: name, Number: a.Partitions[0]}, 1<<40, time.Minute) // out of range, or given up
		cancel()
		if err := errors.Join(g.Beat(within(t), a), g.Commit(within(t), a, a.Partitions[0], watermark(1)), g.Leave(within(t))); err != nil {
			t.Fatal(err)
		}
	}
	if n := open(t, registry); n == 0 || n > 8 {
		t.Errorf("%v connections", n)
	}
	k.Close()
	eventually(t, "all connections are closed", func() bool { return open(t, registry) == 0 })
	eventually(t, "all goroutines have ended", func() bool { return runtime.NumGoroutine() <= before })
}

func TestGroupLeaks(t *testing.T) {
	c := cluster(t, kfake.NumBrokers(3), kfake.SeedTopics(3, name))
	testGroupLeaks(t, c.ListenAddrs())
}

// TestGroupCodes: each code that a coordinator may answer, once: a join goes on, or says what is to
// be done; a heartbeat says what it means for what we own (traps 21 and 27).
func TestGroupCodes(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, name), quick)
	passing := []*kerr.Error{
		kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.UnknownMemberID, kerr.IllegalGeneration,
		kerr.RebalanceInProgress, kerr.FencedInstanceID, kerr.GroupMaxSizeReached, kerr.RequestTimedOut, kerr.UnknownServerError,
	}
	for _, key := range []kmsg.Key{kmsg.FindCoordinator, kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat} {
		for _, e := range passing {
			m := memberOf(t, c.ListenAddrs(), time.Second) // the group waits as long for who is said to be unknown
			h := c.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Err: e})
			a, err := m.Join(within(t), group.Member{})
			if err != nil || len(a.Partitions) != 1 || h.Hits() != 1 || !m.fence.Open() {
				t.Errorf("%s answers %v (%d times): %+v, %v", key.Name(), e, h.Hits(), a, err)
			}
			if err := m.Leave(within(t)); err != nil {
				t.Error(err)
			}
		}
	}
	final := func(key kmsg.Key, e *kerr.Error, class forward.Class, words ...string) {
		t.Helper()
		m := memberOf(t, c.ListenAddrs(), 20*time.Second)
		c.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Err: e})
		a, err := m.Join(within(t), group.Member{})
		if trouble(t, err, class, words...); m.fence.Open() || len(a.Partitions) != 0 {
			t.Errorf("%+v is owned", a)
		}
		m.Leave(within(t))
	}
	final(kmsg.FindCoordinator, kerr.GroupAuthorizationFailed, forward.Denied, "ACL: Read on group countersign")
	final(kmsg.JoinGroup, kerr.GroupAuthorizationFailed, forward.Denied, "ACL: Read on group countersign")
	final(kmsg.JoinGroup, kerr.InconsistentGroupProtocol, forward.OtherClass, "kafka.group")
	final(kmsg.JoinGroup, kerr.InvalidSessionTimeout, forward.OtherClass, "20s", "group.min.session.timeout.ms")
	final(kmsg.JoinGroup, kerr.InvalidGroupID, forward.OtherClass, "name")

	m, a := joined(t, c.ListenAddrs(), 20*time.Second)
	beat := func(e *kerr.Error, want error, stillOpen bool) {
		t.Helper()
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: e})
		err := m.Beat(within(t), a)
		for _, one := range []error{group.ErrRebalancing, group.ErrRevoked} {
			if errors.Is(err, one) != errors.Is(want, one) {
				t.Errorf("%v: %v", e, err)
			}
		}
		if !errors.As(err, new(*forward.Trouble)) || m.fence.Open() != stillOpen {
			t.Errorf("%v: %v, open %v", e, err, m.fence.Open())
		}
		m.fence.Begin(a.Generation)
		if err := m.Beat(within(t), a); err != nil || !m.fence.Open() {
			t.Errorf("after %v: %v", e, err)
		}
	}
	beat(kerr.RebalanceInProgress, group.ErrRebalancing, true)
	beat(kerr.IllegalGeneration, group.ErrRevoked, false)
	beat(kerr.UnknownMemberID, group.ErrRevoked, false)
	beat(kerr.FencedInstanceID, group.ErrRevoked, false)
	for _, e := range []*kerr.Error{kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.GroupAuthorizationFailed, kerr.UnknownServerError} {
		beat(e, nil, true)
	}
}

// TestShutBeforeAsking: whoever asks for its share again, or leaves, is no owner from before it asks:
// the group may give everything to others at once.
func TestShutBeforeAsking(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, name))
	m, _ := joined(t, c.ListenAddrs(), 20*time.Second)
	var asked, open atomic.Int64
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup, kmsg.SyncGroup, kmsg.LeaveGroup}, Observe: true, Count: -1, When: func(kmsg.Request) bool {
		asked.Add(1)
		if m.fence.Open() {
			open.Add(1)
		}
		return true
	}})
	if _, err := m.Join(within(t), group.Member{}); err != nil || !m.fence.Open() {
		t.Fatal(err)
	}
	if err := m.Leave(within(t)); err != nil || asked.Load() < 3 || open.Load() != 0 {
		t.Errorf("%v: the fence was open at %d of %d requests", err, open.Load(), asked.Load())
	}
}

// TestLeaveCodes: a leave that fails is an error, shuts the fence all the same, and can be said again.
func TestLeaveCodes(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, name))
	m, _ := joined(t, c.ListenAddrs(), 20*time.Second)
	f := func(e *kerr.Error, class forward.Class) {
		t.Helper()
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.LeaveGroup}, Err: e})
		if trouble(t, m.Leave(within(t)), class); m.fence.Open() {
			t.Error("who leaves is still an owner")
		}
	}
	f(kerr.NotCoordinator, forward.NoLeader)
	f(kerr.CoordinatorNotAvailable, forward.NoLeader)
	f(kerr.GroupAuthorizationFailed, forward.Denied)
	f(kerr.UnknownServerError, forward.OtherClass)
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.LeaveGroup}, Err: kerr.UnknownMemberID}) // it has left, then
	if err := m.Leave(within(t)); err != nil {
		t.Error(err)
	}
}

// TestFenceFromSending: the fence counts from when a heartbeat was sent, however late its answer
// comes: the group counts from when it arrived. One that is not answered counts for nothing.
func TestFenceFromSending(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, name))
	var now atomic.Int64
	f := group.NewFence(group.FenceOptions{Session: 30 * time.Second, Clock: func() time.Duration { return time.Duration(now.Load()) }})
	g := client(t, c.ListenAddrs(), nil).Group(kafka.GroupOptions{Name: groupOf(t), Topic: name, Fence: f})
	is := func(seconds int64, want bool) {
		t.Helper()
		if now.Store(seconds * int64(time.Second)); f.Open() != want {
			t.Errorf("after %d s it is open: %v", seconds, !want)
		}
	}
	answered := func(after int64) { // the next heartbeat
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Observe: true, When: func(kmsg.Request) bool {
			now.Store(after * int64(time.Second))
			return true
		}})
	}
	is(100, false)
	answered(110) // the join's own
	a, err := g.Join(within(t), group.Member{})
	if err != nil {
		t.Fatal(err)
	}
	is(126, true)
	is(127, false)
	is(115, true)
	answered(125)
	if err := g.Beat(within(t), a); err != nil {
		t.Fatal(err)
	}
	is(141, true)
	is(142, false)
	is(130, true)
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.RebalanceInProgress})
	if err := g.Beat(within(t), a); !errors.Is(err, group.ErrRebalancing) {
		t.Error(err)
	}
	c.ControlKey(int16(kmsg.Heartbeat), func(kmsg.Request) (kmsg.Response, error, bool) { return nil, errors.New("hang up"), true })
	trouble(t, g.Beat(within(t), a), forward.Unreachable)
	is(141, true)
	is(142, false)
}

// TestBeatsBesideFetch: a fetch that nobody answers holds up no heartbeat (trap 20).
func TestBeatsBesideFetch(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, name))
	k := client(t, c.ListenAddrs(), nil)
	f := group.NewFence(group.FenceOptions{Session: 20 * time.Second})
	g := k.Group(kafka.GroupOptions{Name: groupOf(t), Topic: name, Fence: f})
	a, err := g.Join(within(t), group.Member{})
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{})
	c.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		close(asked)
		return nil, nil, true
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := k.Fetch(ctx, first, 0, time.Minute)
		ended <- err
	}()
	<-asked
	for range 20 {
		if err := g.Beat(within(t), a); err != nil {
			t.Error(err)
		}
	}
	cancel()
	trouble(t, <-ended, forward.OtherClass, "given up")
	if _, err := k.Fetch(within(t), first, 0, 0); err != nil {
		t.Error(err)
	}
}
