package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/consumer"
	"github.com/segmentio/kafka-go/protocol/findcoordinator"
	"github.com/segmentio/kafka-go/protocol/heartbeat"
	"github.com/segmentio/kafka-go/protocol/joingroup"
	"github.com/segmentio/kafka-go/protocol/leavegroup"
	"github.com/segmentio/kafka-go/protocol/syncgroup"

	"countersign/ingest/forward"
	"countersign/ingest/forward/group"
)

const (
	findVersion = 2
	joinVersion = 5
	syncVersion = 3
	// The client library knows the answers to these two without the field that newer versions begin
	// with, and so would take every refusal for a success.
	heartbeatVersion = 0
	leaveVersion     = 0

	protocolType = "consumer"    // what tools call a group whose lag they show
	protocolName = "countersign" // of our own way to share out
)

// GroupOptions say which group, and of what.
type GroupOptions struct {
	Name  string       // kafka.group
	Topic string       // whose partitions are shared out, and whose offsets are committed; one of Options.Topics
	Fence *group.Fence // of this member. Its session is the group's
}

// Group is this process as one member of a group. Join, Beat and Leave change its fence: Beat opens
// it and holds it open, Join and Leave shut it before they ask, since from then on others may be
// given what we had. It is safe for concurrent use; but who joins has ended what it did as an owner.
type Group struct {
	c *Client
	o GroupOptions

	mu          sync.Mutex
	coordinator int32  // broker; negative: not known
	member      string // what the group calls us; empty: nothing yet
}

// Group asks nobody: Join does.
func (c *Client) Group(o GroupOptions) *Group { return &Group{c: c, o: o, coordinator: -1} }

// finalError is one that trying again cannot help.
type finalError struct{ *forward.Trouble }

// Unwrap returns what it says.
func (e finalError) Unwrap() error { return e.Trouble }

// Join makes us a member, or one again, and returns what we are given: when all members that there
// are have joined, or a session after the others were asked to. Whoever joined first shares out. It
// tries again until ctx ends, but where that cannot help; an error is a *forward.Trouble. m.ID is
// not looked at.
func (g *Group) Join(ctx context.Context, m group.Member) (group.Assignment, error) {
	g.o.Fence.Shut()
	for {
		a, again, err := g.join(ctx, &m)
		if err == nil && !again {
			return a, nil
		}
		var final finalError
		var trouble *forward.Trouble
		switch {
		case errors.As(err, &final):
			return group.Assignment{}, final.Trouble
		case errors.As(err, &trouble) && trouble.Class.Permanent():
			return group.Assignment{}, err
		}
		if again && err == nil {
			continue // we have just been given a name
		}
		if pause(ctx) != nil {
			return group.Assignment{}, err
		}
	}
}

// join tries once. Without an error, again says that the group wants the same once more.
func (g *Group) join(ctx context.Context, m *group.Member) (a group.Assignment, again bool, err error) {
	leaders, err := g.c.Topic(TopicOptions{Name: g.o.Topic}).Leaders(ctx)
	if err != nil {
		return a, false, err
	}
	a.Of = len(leaders)
	subscription, err := protocol.Marshal(0, consumer.Subscription{Topics: []string{g.o.Topic}, UserData: m.Encode()})
	if err != nil {
		return a, false, finalError{because(forward.OtherClass, err, "group %s: %v", g.o.Name, err)}
	}
	session, member := g.o.Fence.Session(), g.name()
	ms := int32(session / time.Millisecond) //nolint:gosec // some seconds
	res, err := g.ask(ctx, session+askTimeout, joinVersion, &joingroup.Request{
		GroupID: g.o.Name, MemberID: member, ProtocolType: protocolType,
		// Who does not join in time is replaced. That must not be before its fence has passed, and so
		// not before its session would have ended.
		SessionTimeoutMS: ms, RebalanceTimeoutMS: ms,
		Protocols: []joingroup.RequestProtocol{{Name: protocolName, Metadata: subscription}},
	})
	if err != nil {
		return a, false, err
	}
	joined := res.(*joingroup.Response)
	switch code := kafkago.Error(joined.ErrorCode); code {
	case 0:
	case kafkago.MemberIDRequired:
		g.call(joined.MemberID)
		return a, true, nil
	default:
		return a, false, g.denied(code, member)
	}
	g.call(joined.MemberID)
	a.Member, a.Generation = joined.MemberID, joined.GenerationID
	if err := g.sync(ctx, joined, &a); err != nil {
		return a, false, err
	}
	g.o.Fence.Begin(a.Generation)
	return a, false, g.Beat(ctx, a)
}

// sync waits for what we are given. Whoever leads shares out.
func (g *Group) sync(ctx context.Context, joined *joingroup.Response, a *group.Assignment) error {
	var shares []syncgroup.RequestAssignment
	if joined.LeaderID == joined.MemberID {
		var err error
		if shares, err = g.share(joined.Members, a.Of); err != nil {
			return err
		}
	}
	res, err := g.ask(ctx, g.o.Fence.Session()+askTimeout, syncVersion, &syncgroup.Request{
		GroupID: g.o.Name, GenerationID: a.Generation, MemberID: a.Member, Assignments: shares,
	})
	if err != nil {
		return err
	}
	synced := res.(*syncgroup.Response)
	if code := kafkago.Error(synced.ErrorCode); code != 0 {
		return g.denied(code, a.Member)
	}
	if len(synced.Assignments) == 0 {
		return nil // whoever shared out did not know us
	}
	var whole bool
	if a.Partitions, whole = assigned(synced.Assignments, g.o.Topic); !whole {
		return because(forward.OtherClass, nil, "group %s: what we are given cannot be read", g.o.Name)
	}
	return nil
}

// What members say is read here: the client library would reserve memory for whatever length it finds.

// userData is what a member has put into its subscription; nil: it cannot be read.
func userData(subscription []byte) []byte {
	w := wire{b: subscription}
	w.int16() // version
	for range w.count() {
		_ = w.string()
	}
	return w.take(int(w.int32()))
}

// assigned are the partitions of a topic in an assignment, and whether it is whole.
func assigned(assignment []byte, topic string) (ps []int32, whole bool) {
	w := wire{b: assignment}
	w.int16() // version
	for range w.count() {
		of := w.string()
		for range w.count() {
			if p := w.int32(); of == topic {
				ps = append(ps, p)
			}
		}
	}
	return ps, !w.short
}

// share shares out, for all members.
func (g *Group) share(members []joingroup.ResponseMember, partitions int) ([]syncgroup.RequestAssignment, error) {
	told := make([]group.Member, len(members))
	for i := range members {
		told[i] = group.DecodeMember(members[i].MemberID, userData(members[i].Metadata))
	}
	given := group.Assign(told, partitions)
	shares := make([]syncgroup.RequestAssignment, len(members))
	for i := range members {
		id := members[i].MemberID
		b, err := protocol.Marshal(0, consumer.Assignment{AssignedPartitions: []consumer.TopicPartition{{Topic: g.o.Topic, Partitions: given[id]}}})
		if err != nil {
			return nil, finalError{because(forward.OtherClass, err, "group %s: %v", g.o.Name, err)}
		}
		shares[i] = syncgroup.RequestAssignment{MemberID: id, Assignment: b}
	}
	return shares, nil
}

// Beat says that we are there, and extends the fence from when it was sent. It takes 5 s at most. An
// error is a *forward.Trouble, which says nothing about what we own, or wraps group.ErrRebalancing
// or group.ErrRevoked.
func (g *Group) Beat(ctx context.Context, a group.Assignment) error {
	sent := g.o.Fence.Now()
	res, err := g.ask(ctx, askTimeout, heartbeatVersion, &heartbeat.Request{GroupID: g.o.Name, GenerationID: a.Generation, MemberID: a.Member})
	if err != nil {
		return err
	}
	switch code := kafkago.Error(res.(*heartbeat.Response).ErrorCode); {
	case code == 0:
		g.o.Fence.Extend(a.Generation, sent)
		return nil
	case code == kafkago.RebalanceInProgress:
		return fmt.Errorf("%w: %w", group.ErrRebalancing, g.denied(code, a.Member))
	case revoked(code):
		g.o.Fence.End(a.Generation)
		return fmt.Errorf("%w: %w", group.ErrRevoked, g.denied(code, a.Member))
	default:
		return g.denied(code, a.Member)
	}
}

// Leave ends our membership, so that the others need not wait for the end of our session. It takes 5
// s at most. An error is a *forward.Trouble.
func (g *Group) Leave(ctx context.Context) error {
	g.o.Fence.Shut()
	member := g.name()
	if member == "" {
		return nil
	}
	res, err := g.ask(ctx, askTimeout, leaveVersion, &leavegroup.Request{GroupID: g.o.Name, MemberID: member})
	if err != nil {
		return err
	}
	if code := kafkago.Error(res.(*leavegroup.Response).ErrorCode); code != 0 && code != kafkago.UnknownMemberId { // who is none has left
		return g.denied(code, member)
	}
	g.call("")
	return nil
}

// revoked reports whether a code says that we are not, or no longer, who was given something.
func revoked(code kafkago.Error) bool {
	return code == kafkago.IllegalGeneration || code == kafkago.UnknownMemberId || code == kafkago.FencedInstanceID
}

// ask asks the coordinator. An error is a *forward.Trouble, and the coordinator is looked up again
// after it.
func (g *Group) ask(ctx context.Context, within time.Duration, version int16, req protocol.Message) (protocol.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	id, err := g.find(ctx)
	if err != nil {
		return nil, err
	}
	res, err := g.c.do(ctx, &exchange{Message: req, version: version, to: broker(id)})
	if err != nil {
		g.forget()
		return nil, g.c.explain(err, g.c.broker(id, g.o.Topic))
	}
	return res, nil
}

// broker is the way to a broker.
func broker(id int32) route {
	return func(c protocol.Cluster) (protocol.Broker, error) {
		if b, ok := c.Brokers[id]; ok {
			return b, nil
		}
		return protocol.Broker{}, kafkago.BrokerNotAvailable
	}
}

// anybody is the way to whichever broker is asked for metadata.
func anybody(protocol.Cluster) (protocol.Broker, error) { return protocol.Broker{ID: -1}, nil }

// find looks the coordinator up, unless it is known.
func (g *Group) find(ctx context.Context) (int32, error) {
	g.mu.Lock()
	id := g.coordinator
	g.mu.Unlock()
	if id >= 0 {
		return id, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	res, err := g.c.do(ctx, &exchange{Message: &findcoordinator.Request{Key: g.o.Name}, version: findVersion, to: anybody})
	if err != nil {
		return 0, g.c.explain(err, g.c.anyBroker())
	}
	r := res.(*findcoordinator.Response)
	if code := kafkago.Error(r.ErrorCode); code != 0 {
		return 0, g.denied(code, "")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.coordinator = r.NodeID
	return r.NodeID, nil
}

func (g *Group) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.coordinator = -1
}

func (g *Group) name() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.member
}

// call notes what the group calls us.
func (g *Group) call(member string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.member = member
}

// denied says what an error code means that a coordinator answered about a member, and forgets what
// it disproves.
func (g *Group) denied(code kafkago.Error, member string) error {
	at, on := g.c.anyBroker(), "group "+g.o.Name
	g.mu.Lock()
	id := g.coordinator
	g.mu.Unlock()
	if id >= 0 {
		at = g.c.broker(id, g.o.Topic)
	}
	switch code {
	case kafkago.NotCoordinatorForGroup, kafkago.GroupCoordinatorNotAvailable, kafkago.GroupLoadInProgress:
		g.forget()
		return because(forward.NoLeader, code, "%s does not coordinate %s (any more, or yet): has a broker gone, or is it just being decided?", at, on)
	case kafkago.UnknownMemberId, kafkago.FencedInstanceID:
		if member != "" && g.name() == member {
			g.call("")
		}
		return because(forward.OtherClass, code, "%s does not know us as a member of %s any more: was this process stopped?", at, on)
	case kafkago.IllegalGeneration, kafkago.RebalanceInProgress:
		return because(forward.OtherClass, code, "%s is sharing the partitions of %s out again", at, on)
	case kafkago.GroupAuthorizationFailed:
		return because(forward.Denied, code, "%s may not be a member of %s (ACL: Read on %s)", g.c.who(), on, on)
	case kafkago.InconsistentGroupProtocol:
		return finalError{because(forward.OtherClass, code, "%s has members that are no gateways: kafka.group must be the cluster's own", on)}
	case kafkago.InvalidSessionTimeout:
		return finalError{because(forward.OtherClass, code, "%s allows no session of %s: group.min.session.timeout.ms and group.max.session.timeout.ms of the brokers are its bounds", at, g.o.Fence.Session())}
	case kafkago.InvalidGroupId:
		return finalError{because(forward.OtherClass, code, "%s is a name that Kafka does not allow", on)}
	default:
		return g.c.refused(code, g.o.Topic, at)
	}
}
