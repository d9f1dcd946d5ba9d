package kafka

import (
	"fmt"
	"strings"

	kafkago "github.com/segmentio/kafka-go"

	"countersign/ingest/forward"
)

// noMechanism says why a broker wants no SASL, or another.
func (c *Client) noMechanism(code kafkago.Error, at string, offered []string) *forward.Trouble {
	if code == kafkago.UnsupportedSASLMechanism && len(offered) > 0 {
		return because(forward.BadAuth, code, "%s does not offer %s, but %s: set kafka.sasl.mechanism", at, c.sasl.o.Mechanism, strings.ToLower(strings.Join(offered, ", ")))
	}
	return c.refused(code, "", at)
}

// refused says what an error code of a broker means. Without a topic it was about none, or that is
// not known.
func (c *Client) refused(code kafkago.Error, topic, at string) *forward.Trouble {
	on := "the topic"
	if topic != "" {
		on = "topic " + topic
	}
	switch code {
	case kafkago.MessageSizeTooLarge, kafkago.RecordListTooLarge:
		return because(forward.TooLarge, fmt.Errorf("%w: %w", forward.ErrTooLarge, code), "%s takes no batch as large as that: max.message.bytes (or segment.bytes) of %s is smaller", at, on)
	case kafkago.NotEnoughReplicas, kafkago.NotEnoughReplicasAfterAppend:
		return because(forward.Replicas, code, "fewer replicas of %s are in sync than its min.insync.replicas: are brokers down?", on)
	case kafkago.RequestTimedOut:
		return because(forward.TimedOut, code, "%s did not get the acknowledgement of all replicas of %s: are brokers down or slow?", at, on)
	case kafkago.LeaderNotAvailable, kafkago.NotLeaderForPartition, kafkago.BrokerNotAvailable, kafkago.ReplicaNotAvailable, kafkago.NetworkException,
		kafkago.KafkaStorageError, kafkago.FencedLeaderEpoch, kafkago.UnknownLeaderEpoch, kafkago.NotController:
		return because(forward.NoLeader, code, "%s does not lead a partition of %s (any more): has a broker gone, or are the leaders just being elected?", at, on)
	case kafkago.UnknownTopicOrPartition, kafkago.UnknownTopicID:
		return because(forward.BadTopic, code, "%s has no %s, or not all of its partitions: was it deleted?", at, on)
	case kafkago.InvalidTopic:
		return because(forward.BadTopic, code, "%s is a name that Kafka does not allow, or one of its own", on)
	case kafkago.InvalidRecord, kafkago.InvalidTimestamp, kafkago.InvalidMessage, kafkago.InvalidMessageSize, kafkago.UnsupportedForMessageFormat:
		return because(forward.OtherClass, code, "%s refuses records for %s (%s): does the topic validate them, and are the clocks right?", at, on, code.Title())
	case kafkago.TopicAuthorizationFailed, kafkago.ClusterAuthorizationFailed:
		return because(forward.Denied, code, "%s may not write to %s (ACL: Write and Describe on %s)", c.who(), on, on)
	case kafkago.SASLAuthenticationFailed:
		return c.wrongPassword(code, at)
	case kafkago.UnsupportedSASLMechanism:
		return because(forward.BadAuth, code, "%s does not offer %s: set kafka.sasl.mechanism", at, c.mechanism())
	case kafkago.IllegalSASLState:
		return because(forward.BadAuth, code, "%s knows no users on that port, or wants one: is kafka.sasl right?", at)
	case kafkago.PolicyViolation:
		return because(forward.OtherClass, code, "a policy of the cluster forbids it for %s", on)
	case kafkago.ThrottlingQuotaExceeded:
		return because(forward.OtherClass, code, "%s has used up its quota", c.who())
	default:
		return because(forward.OtherClass, code, "%s answers [%d] %s for %s", at, int(code), code.Title(), on)
	}
}

func (c *Client) wrongPassword(err error, at string) *forward.Trouble {
	return because(forward.BadAuth, err, "%s or its password is wrong (%s), says %s: kafka.sasl", c.who(), c.mechanism(), at)
}

// mechanism is the configured one, for sentences.
func (c *Client) mechanism() string {
	if c.sasl == nil {
		return "no user at all"
	}
	return c.sasl.o.Mechanism
}
