package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go/protocol"
)

// exchange is one request to one broker. It goes through the transport, over a connection that
// nothing else uses meanwhile, but we write and read it: in a version of our choice, as the client
// library's newest ones of the group's requests are not Kafka's, and until ctx ends, as the
// transport would leave connection and goroutine behind until the request's deadline.
type exchange struct {
	protocol.Message // the request
	version          int16
	to               route
	read             answerReader // nil: protocol.ReadResponse
	ctx              context.Context
	id               int32
	tooOld           bool
}

// route finds the broker that a request is for.
type route func(protocol.Cluster) (protocol.Broker, error)

// answerReader reads one answer, all of it.
type answerReader func(r io.Reader) (id int32, res protocol.Message, err error)

var _ interface {
	protocol.BrokerMessage
	protocol.RawExchanger
} = (*exchange)(nil)

var errTooOld = errors.New("it speaks no such request: Kafka 2.4 is the oldest that many nodes can use")

// do is a round trip. An error is what the network said, and no *forward.Trouble yet.
func (c *Client) do(ctx context.Context, e *exchange) (protocol.Message, error) {
	e.ctx, e.id = ctx, c.requests.Add(1)
	return c.roundTrip(ctx, e)
}

// Broker implements protocol.BrokerMessage.
func (e *exchange) Broker(c protocol.Cluster) (protocol.Broker, error) { return e.to(c) }

// Required implements protocol.RawExchanger. versions are the newest that both sides know.
func (e *exchange) Required(versions map[protocol.ApiKey]int16) bool {
	e.tooOld = versions[e.ApiKey()] < e.version
	return true
}

// RawExchange implements protocol.RawExchanger. After an error the transport closes the connection.
func (e *exchange) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	if e.tooOld {
		return nil, errTooOld
	}
	conn, ok := rw.(interface{ SetDeadline(t time.Time) error })
	if !ok {
		return nil, fmt.Errorf("a connection of type %T has no deadline", rw)
	}
	stop := context.AfterFunc(e.ctx, func() { conn.SetDeadline(time.Unix(1, 0)) }) //nolint:errcheck,gosec // if it cannot be set, the connection is gone
	res, err := e.roundTrip(rw)
	if !stop() && err == nil { // the deadline may be set later, when the connection is another request's
		err = e.ctx.Err()
	}
	return res, err
}

func (e *exchange) roundTrip(rw io.ReadWriter) (protocol.Message, error) {
	if err := protocol.WriteRequest(rw, e.version, e.id, clientID, e.Message); err != nil {
		return nil, err
	}
	read := e.read
	if read == nil {
		read = func(r io.Reader) (int32, protocol.Message, error) {
			return protocol.ReadResponse(r, e.ApiKey(), e.version)
		}
	}
	id, res, err := read(rw)
	if err == nil && id != e.id {
		err = fmt.Errorf("request %d was answered as %d", e.id, id)
	}
	return res, err
}

// leader is the way to the leader of a partition.
func leader(topic string, partition int32) route {
	return func(c protocol.Cluster) (protocol.Broker, error) {
		t, ok := c.Topics[topic]
		if !ok {
			return protocol.Broker{}, protocol.NewErrNoTopic(topic)
		}
		p, ok := t.Partitions[partition]
		if !ok {
			return protocol.Broker{}, protocol.NewErrNoPartition(topic, partition)
		}
		b, ok := c.Brokers[p.Leader]
		if !ok {
			return protocol.Broker{}, protocol.NewErrNoLeader(topic, partition)
		}
		return b, nil
	}
}
