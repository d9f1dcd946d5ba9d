package forward

import (
	"context"
	"errors"
	"time"
)

// Topic is one Kafka topic, as a Forwarder needs it. Its methods are safe for concurrent use and
// keep nothing of what they are handed once they have returned.
type Topic interface {
	// Prepare checks the topic, and makes it where that is wanted and it is missing. An error is a
	// *Trouble.
	Prepare(ctx context.Context) (Layout, error)
	// Leaders tells which broker leads each partition, by partition; negative: none does. It is
	// cheap: what is known may be a second old. An error is a *Trouble.
	Leaders(ctx context.Context) ([]int32, error)
	// Send writes batches to partitions that this broker leads, and returns an error for each: nil
	// means that all in-sync replicas have it (acks=all). Any other means unknown, but ErrTooLarge,
	// which means no. A *Trouble otherwise.
	Send(ctx context.Context, leader int32, batches []Batch) []error
}

// Layout is how a topic is made.
type Layout struct {
	Partitions int
	MaxBytes   int      // max.message.bytes: of one batch
	Warnings   []string // what works, and should be otherwise; sentences
}

// Batch is records for one partition, in order.
type Batch struct {
	Partition int32
	Records   []*Message
}

// Message is one Kafka record. It is not written to once it has been handed over.
type Message struct {
	Key     []byte
	Value   []byte
	Headers []Header
	Time    time.Time // when we took what it tells
}

// Header is one header of a Message.
type Header struct {
	Name  string
	Value []byte
}

// size is what a message takes of a batch, at most.
func (m *Message) size() int {
	n := len(m.Key) + len(m.Value) + 64
	for i := range m.Headers {
		n += len(m.Headers[i].Name) + len(m.Headers[i].Value) + 8
	}
	return n
}

// ErrTooLarge says that a batch is larger than the broker takes.
var ErrTooLarge = errors.New("larger than the broker takes")

// Trouble is why Kafka did not do something, for people and for a metric.
type Trouble struct { //nolint:errname // it is shown as often as it is returned
	Class Class
	Text  string // one sentence: what is wrong, and at which broker, topic or setting. No secret stands in it
	Err   error

	Missing bool // the topic is not there
}

// Error implements error.
func (t *Trouble) Error() string { return t.Text }

// Unwrap returns what the client said.
func (t *Trouble) Unwrap() error { return t.Err }

// Class is what sort of trouble there is.
type Class string

// The classes.
const (
	Unreachable Class = "unreachable" // no broker answers
	BadTLS      Class = "tls"         // certificates, or TLS against a listener without
	BadAuth     Class = "auth"        // user, password or mechanism
	Denied      Class = "denied"      // no ACL
	NotKafka    Class = "not_kafka"   // something else listens there
	BadTopic    Class = "topic"       // missing, or not as it must be
	NoLeader    Class = "no_leader"   // a partition without a leader, or with another one
	Replicas    Class = "replicas"    // fewer in-sync replicas than min.insync.replicas
	TimedOut    Class = "timeout"     // no answer in time
	TooLarge    Class = "too_large"   // a record over max.message.bytes
	OtherClass  Class = "other"       // anything else the broker said
)

// Classes lists every Class.
var Classes = []Class{Unreachable, BadTLS, BadAuth, Denied, NotKafka, BadTopic, NoLeader, Replicas, TimedOut, TooLarge, OtherClass}

// Permanent reports whether trouble of this class stays until somebody changes a setting: a reason
// not to be ready, where an outage is none.
func (c Class) Permanent() bool {
	switch c {
	case BadTLS, BadAuth, Denied, NotKafka, BadTopic:
		return true
	default:
		return false
	}
}
