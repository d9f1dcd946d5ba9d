package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/createtopics"
	"github.com/segmentio/kafka-go/protocol/describeconfigs"
	"github.com/segmentio/kafka-go/protocol/metadata"

	"countersign/ingest/forward"
)

const (
	prepareTimeout  = 15 * time.Second
	createTimeout   = 5 * time.Second
	settle          = 100 * time.Millisecond // between looks at a topic that is being made
	mayWrite        = 1 << 4                 // the bit of ACL operation WRITE
	defaultMaxBytes = 1048588                // Kafka's max.message.bytes
)

// Prepare implements forward.Topic. It asks the brokers themselves, over a connection of its own,
// so that its errors say all there is to say. When it returns, Leaders knows the topic too.
func (t *Topic) Prepare(ctx context.Context) (forward.Layout, error) {
	ctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	s, m, err := t.c.ask(ctx, []string{t.o.Name})
	if err != nil {
		return forward.Layout{}, err
	}
	defer s.Close()
	made := false
	topic := only(m)
	if kafkago.Error(topic.ErrorCode) == kafkago.UnknownTopicOrPartition {
		if trouble := t.create(ctx, s, m); trouble != nil {
			return forward.Layout{}, trouble
		}
		made = true
	}
	for !settled(topic, made) {
		if trouble := t.verdict(topic, made, s.addr); trouble != nil {
			return forward.Layout{}, trouble
		}
		if err := pause(ctx); err != nil {
			return forward.Layout{}, because(forward.TimedOut, err, "topic %s is being made, and not ready yet", t.o.Name)
		}
		if m, err = s.metadata(ctx, []string{t.o.Name}); err != nil {
			return forward.Layout{}, t.c.explain(err, s.addr)
		}
		topic = only(m)
	}
	if may := topic.TopicAuthorizedOperations; may > 0 && may&mayWrite == 0 { // 0 from brokers before 2.3, negative: not told
		return forward.Layout{}, t.c.refused(kafkago.TopicAuthorizationFailed, t.o.Name, s.addr)
	}
	layout := forward.Layout{Partitions: len(topic.Partitions)}
	if err := t.settings(ctx, s, m, &layout); err != nil {
		return forward.Layout{}, err
	}
	return layout, t.seen(ctx, layout.Partitions)
}

// only is the topic that was asked for.
func only(m *metadata.Response) *metadata.ResponseTopic {
	if len(m.Topics) == 0 {
		return &metadata.ResponseTopic{ErrorCode: int16(kafkago.UnknownTopicOrPartition)}
	}
	return &m.Topics[0]
}

// settled reports whether a topic is there: one just made with all of its leaders, another with its
// partitions.
func settled(t *metadata.ResponseTopic, made bool) bool {
	if code := kafkago.Error(t.ErrorCode); len(t.Partitions) == 0 || code != 0 && code != kafkago.LeaderNotAvailable {
		return false
	}
	for i := range t.Partitions {
		if made && t.Partitions[i].LeaderID < 0 {
			return false
		}
	}
	return true
}

// verdict says why waiting for a topic is of no use; nil: it is.
func (t *Topic) verdict(topic *metadata.ResponseTopic, made bool, at string) *forward.Trouble {
	switch code := kafkago.Error(topic.ErrorCode); code {
	case 0, kafkago.LeaderNotAvailable:
		return nil
	case kafkago.UnknownTopicOrPartition:
		if made { // another broker has not heard of it yet
			return nil
		}
		return t.c.refused(code, t.o.Name, at)
	default:
		return t.c.refused(code, t.o.Name, at)
	}
}

// pause is a moment, or ctx's end.
func pause(ctx context.Context) error {
	moment := time.NewTimer(settle)
	defer moment.Stop()
	select {
	case <-moment.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// create makes the topic, or says who could.
func (t *Topic) create(ctx context.Context, s *session, m *metadata.Response) *forward.Trouble {
	if !t.o.Create {
		missing := because(forward.BadTopic, kafkago.UnknownTopicOrPartition, "topic %s is missing: set kafka.create: true, or run %s", t.o.Name, t.command())
		missing.Missing = true
		return missing
	}
	code, err := t.askToCreate(ctx, s)
	if err == nil && code == kafkago.NotController { // brokers of Kafka 4 pass it on; older ones want to be asked at the right place
		for _, b := range m.Brokers {
			if b.NodeID != m.ControllerID {
				continue
			}
			controller, trouble := t.c.session(ctx, net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))))
			if trouble != nil {
				return trouble
			}
			code, err = t.askToCreate(ctx, controller)
			controller.Close()
		}
	}
	if err != nil {
		return t.c.explain(err, s.addr)
	}
	switch code {
	case 0:
		t.c.o.Logger.LogAttrs(ctx, slog.LevelInfo, "topic_made", slog.String("topic", t.o.Name), slog.Int("partitions", t.o.Partitions), slog.Int("replication", t.o.Replication))
		return nil
	case kafkago.TopicAlreadyExists, kafkago.RequestTimedOut: // another node made it; or it will be there
		return nil
	case kafkago.InvalidReplicationFactor:
		return because(forward.BadTopic, code, "topic %s cannot be made: kafka.replication is %d, and the cluster has %s", t.o.Name, t.o.Replication, count(len(m.Brokers), "broker"))
	case kafkago.InvalidPartitionNumber:
		return because(forward.BadTopic, code, "topic %s cannot be made: kafka.partitions is %d", t.o.Name, t.o.Partitions)
	case kafkago.TopicAuthorizationFailed, kafkago.ClusterAuthorizationFailed:
		return because(forward.Denied, code, "%s may not make topic %s (ACL: Create on topic %s); somebody who may can run %s", t.c.who(), t.o.Name, t.o.Name, t.command())
	case kafkago.InvalidConfiguration, kafkago.PolicyViolation:
		return because(forward.BadTopic, code, "the cluster does not allow topic %s to be made with %s: make it by hand", t.o.Name, t.command())
	default:
		return t.c.refused(code, t.o.Name, s.addr)
	}
}

// askToCreate asks one broker.
func (t *Topic) askToCreate(ctx context.Context, s *session) (kafkago.Error, error) {
	topic := createtopics.RequestTopic{
		Name:              t.o.Name,
		NumPartitions:     int32(t.o.Partitions),  //nolint:gosec // a setting, and checked by the broker
		ReplicationFactor: int16(t.o.Replication), //nolint:gosec // a setting, and checked by the broker
	}
	for _, setting := range t.configs() {
		name, value, _ := strings.Cut(setting, "=")
		topic.Configs = append(topic.Configs, createtopics.RequestConfig{Name: name, Value: value})
	}
	res, err := s.roundTrip(ctx, &createtopics.Request{Topics: []createtopics.RequestTopic{topic}, TimeoutMs: int32(createTimeout / time.Millisecond)})
	if err != nil {
		return 0, err
	}
	made := res.(*createtopics.Response)
	if len(made.Topics) != 1 {
		return kafkago.Unknown, nil
	}
	return kafkago.Error(made.Topics[0].ErrorCode), nil
}

// configs are the settings of a topic that we make.
func (t *Topic) configs() []string {
	configs := []string{"cleanup.policy=delete"}
	if t.o.Retention > 0 {
		configs = append(configs, "retention.ms="+strconv.FormatInt(t.o.Retention.Milliseconds(), 10))
	}
	if t.o.Replication >= 3 {
		configs = append(configs, "min.insync.replicas=2")
	}
	return configs
}

// command is how an operator makes the topic.
func (t *Topic) command() string {
	return fmt.Sprintf("kafka-topics.sh --bootstrap-server %s --create --topic %s --partitions %d --replication-factor %d --config %s",
		t.c.brokers[0], t.o.Name, max(t.o.Partitions, 1), max(t.o.Replication, 1), strings.Join(t.configs(), " --config "))
}

// count is "1 broker" or "2 brokers".
func count(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return strconv.Itoa(n) + " " + of + "s"
}

const resourceTopic = 2 // of DescribeConfigs

// settings reads those of the topic, and warns of what could lose records.
func (t *Topic) settings(ctx context.Context, s *session, m *metadata.Response, layout *forward.Layout) error {
	warn := func(format string, args ...any) {
		layout.Warnings = append(layout.Warnings, fmt.Sprintf(format, args...))
	}
	replicas := len(only(m).Partitions[0].ReplicaNodes)
	for _, p := range only(m).Partitions {
		replicas = min(replicas, len(p.ReplicaNodes))
	}
	if len(m.Brokers) >= 3 && replicas == 1 {
		warn("topic %s has a partition with one replica only, on a cluster of %d brokers: losing that broker's disk loses records", t.o.Name, len(m.Brokers))
	}
	if t.c.sasl != nil && t.c.sasl.o.Mechanism == "plain" && t.c.o.TLS == nil {
		warn("kafka.sasl sends the password in clear text: mechanism plain needs kafka.tls")
	}
	layout.MaxBytes = defaultMaxBytes
	res, err := s.roundTrip(ctx, &describeconfigs.Request{Resources: []describeconfigs.RequestResource{{
		ResourceType: resourceTopic, ResourceName: t.o.Name, ConfigNames: []string{"max.message.bytes", "min.insync.replicas", "cleanup.policy"},
	}}})
	if err != nil {
		return t.c.explain(err, s.addr)
	}
	described := res.(*describeconfigs.Response)
	if len(described.Resources) != 1 {
		return because(forward.OtherClass, nil, "%s does not tell the settings of topic %s", s.addr, t.o.Name)
	}
	switch code := kafkago.Error(described.Resources[0].ErrorCode); code {
	case 0:
	case kafkago.TopicAuthorizationFailed, kafkago.ClusterAuthorizationFailed:
		warn("%s may not read the settings of topic %s (ACL: DescribeConfigs on topic %s): max.message.bytes is taken to be %d, and min.insync.replicas and cleanup.policy cannot be checked",
			t.c.who(), t.o.Name, t.o.Name, defaultMaxBytes)
		return nil
	default:
		return t.c.refused(code, t.o.Name, s.addr)
	}
	for _, e := range described.Resources[0].ConfigEntries {
		n, number := strconv.Atoi(e.ConfigValue)
		switch {
		case e.ConfigName == "max.message.bytes" && number == nil && n > 0:
			layout.MaxBytes = n
		case e.ConfigName == "min.insync.replicas" && number == nil && n < 2 && len(m.Brokers) >= 3:
			warn("min.insync.replicas of topic %s is %d: a write counts when one broker has it, so losing that broker's disk may lose records; set it to 2", t.o.Name, n)
		case e.ConfigName == "cleanup.policy" && strings.Contains(e.ConfigValue, "compact"):
			warn("cleanup.policy of topic %s is %s: compaction drops all but the newest record of each person; set it to delete", t.o.Name, e.ConfigValue)
		}
	}
	return nil
}

// seen waits until the transport, which asks for itself, knows the partitions too.
func (t *Topic) seen(ctx context.Context, partitions int) error {
	for {
		leaders, err := t.Leaders(ctx)
		if err == nil && len(leaders) >= partitions {
			return nil
		}
		if pause(ctx) != nil {
			if err == nil {
				err = because(forward.TimedOut, ctx.Err(), "topic %s has %d partitions, and some brokers know of %d only", t.o.Name, partitions, len(leaders))
			}
			return err
		}
	}
}
