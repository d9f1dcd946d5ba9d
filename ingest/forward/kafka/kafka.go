// Package kafka puts journal records on Apache Kafka, reads them there, and is a member of a group: it
// is the only package that knows the client library. A record is on Kafka when every in-sync replica
// of its partition has it (acks=all, which nothing here can lower), and an error means that this is
// not known; nothing is tried twice but a join, so nothing is written twice or in another order
// behind the caller's back. Whatever goes wrong comes back as a *forward.Trouble, whose sentence
// names the broker, the cause and the setting that is to be changed, and never a password.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/metadata"

	"countersign/ingest/forward"
)

const (
	clientID    = "countersign"
	dialTimeout = 3 * time.Second  // to connect, shake hands and sign in
	idleTimeout = 30 * time.Second // less than the ten minutes after which a broker hangs up
	metadataTTL = time.Second      // how late a change of leaders may be seen; see research on kafka-go: its default of 6 s is felt as a stall of as much
	askTimeout  = 5 * time.Second  // for what is in the cache, or soon will be
)

// Options say which cluster, and as whom.
type Options struct {
	Brokers []string // host:port of some; the others are learnt from them
	Topics  []string // every topic that Topic will be asked for: only these are looked up at the brokers
	TLS     *TLS     // nil: none
	SASL    *SASL    // nil: no user
	Logger  *slog.Logger
	Metrics prometheus.Registerer // nil: none
}

// TLS says how brokers are recognised, and how we are. The version is 1.2 at least.
type TLS struct {
	CAFile   string // PEM; empty: what this machine trusts
	CertFile string // our certificate and its key, PEM; empty: none. They are read again whenever a broker asks, so they can be replaced while we run
	KeyFile  string
}

// SASL is a user of the brokers.
type SASL struct {
	Mechanism string // plain | scram-sha-256 | scram-sha-512
	User      string
	Password  func() string // asked at each connection. What it returns is kept nowhere
}

// Client is a cluster. It is safe for concurrent use.
type Client struct {
	o         Options
	brokers   []string // o.Brokers, each with a port
	addr      net.Addr
	dialer    *dialer
	sasl      *mechanism // nil: no user
	transport *kafkago.Transport
	requests  atomic.Int32 // of those in exchanges
	closed    atomic.Bool
}

// New reads the files that o names, and connects to nothing yet.
func New(o Options) (*Client, error) {
	if len(o.Brokers) == 0 {
		return nil, errors.New("kafka.brokers: none is named")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Client{o: o, addr: kafkago.TCP(o.Brokers...)}
	c.brokers = strings.Split(c.addr.String(), ",")
	var err error
	if c.dialer, err = newDialer(o.TLS, len(o.Brokers), newMetrics(o.Metrics)); err != nil {
		return nil, err
	}
	c.transport = &kafkago.Transport{
		Dial:           c.dialer.dial, // which also speaks TLS: see there
		ClientID:       clientID,
		DialTimeout:    dialTimeout,
		IdleTimeout:    idleTimeout,
		MetadataTTL:    metadataTTL,
		MetadataTopics: slices.Clone(o.Topics), // else all topics of the cluster, twice a second
	}
	if o.SASL != nil {
		if c.sasl, err = newMechanism(*o.SASL); err != nil {
			return nil, err
		}
		c.transport.SASL = c.sasl
	}
	return c, nil
}

// Close lets go of every connection. Calls under way end first, within their deadlines; later ones
// fail.
func (c *Client) Close() {
	c.closed.Store(true)
	c.transport.CloseIdleConnections() // without it its goroutines stay for ever
}

// errClosed is what is left after Close.
var errClosed = errors.New("the client is closed")

// roundTrip is one request through the pool of connections. ctx has a deadline, or the connection
// would have none.
func (c *Client) roundTrip(ctx context.Context, req kafkago.Request) (kafkago.Response, error) {
	if c.closed.Load() {
		return nil, errClosed // a closed transport would start anew
	}
	return c.transport.RoundTrip(ctx, c.addr, req)
}

// cached is what the transport last heard of a topic, a second ago at most where brokers answer.
func (c *Client) cached(ctx context.Context, topic string) (*metadata.Response, *metadata.ResponseTopic, error) {
	res, err := c.roundTrip(ctx, &metadata.Request{TopicNames: []string{topic}})
	if err != nil {
		return nil, nil, err
	}
	m, ok := res.(*metadata.Response)
	if !ok || len(m.Topics) != 1 {
		return nil, nil, fmt.Errorf("metadata of one topic was answered with %T", res)
	}
	return m, &m.Topics[0], nil
}

// who is the client as an ACL would call it.
func (c *Client) who() string {
	switch {
	case c.sasl != nil:
		return "user " + c.sasl.o.User
	case c.o.TLS != nil && c.o.TLS.CertFile != "":
		return "the user of the client certificate"
	default:
		return "a client without a user"
	}
}

// TopicOptions say which topic, and how it is made where it is missing.
type TopicOptions struct {
	Name        string // one of Options.Topics
	Create      bool   // make it where it is missing; the rest is for that, and changes no topic that exists
	Partitions  int
	Replication int
	Retention   time.Duration // 0: the cluster's default
}

// Topic is one topic of the cluster.
type Topic struct {
	c *Client
	o TopicOptions
}

var _ forward.Topic = (*Topic)(nil)

// Topic asks the cluster nothing: Prepare does.
func (c *Client) Topic(o TopicOptions) *Topic { return &Topic{c: c, o: o} }

// Leaders implements forward.Topic.
func (t *Topic) Leaders(ctx context.Context) ([]int32, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	m, topic, err := t.c.cached(ctx, t.o.Name)
	if err != nil {
		return nil, t.c.explain(err, t.c.anyBroker())
	}
	if code := kafkago.Error(topic.ErrorCode); code != 0 && code != kafkago.LeaderNotAvailable {
		return nil, t.c.refused(code, t.o.Name, t.c.anyBroker())
	}
	n := 0
	for i := range topic.Partitions {
		n = max(n, int(topic.Partitions[i].PartitionIndex)+1)
	}
	leaders := slices.Repeat([]int32{-1}, n)
	for i := range topic.Partitions {
		p := &topic.Partitions[i]
		alive := func(b metadata.ResponseBroker) bool { return b.NodeID == p.LeaderID }
		if p.ErrorCode != int16(kafkago.LeaderNotAvailable) && slices.ContainsFunc(m.Brokers, alive) {
			leaders[p.PartitionIndex] = p.LeaderID
		}
	}
	return leaders, nil
}

// anyBroker is how sentences call whichever broker the transport asked.
func (c *Client) anyBroker() string { return strings.Join(c.brokers, ", ") }
