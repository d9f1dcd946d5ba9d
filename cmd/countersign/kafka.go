package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/ingest"
	"countersign/ingest/forward"
	"countersign/ingest/forward/kafka"
	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/relay"
)

// newKafka makes a client of the configured cluster. Nothing is dialled yet.
func newKafka(cfg *KafkaConfig, log *slog.Logger, metrics prometheus.Registerer) (*kafka.Client, error) {
	o := kafka.Options{Brokers: cfg.Brokers, Topics: []string{forward.UpdatesTopic, forward.ChangesTopic}, Logger: log, Metrics: metrics}
	if t := cfg.TLS; t != nil {
		o.TLS = &kafka.TLS{CAFile: t.CAFile, CertFile: t.CertFile, KeyFile: t.KeyFile}
	}
	if s := cfg.SASL; s != nil {
		o.SASL = &kafka.SASL{Mechanism: s.Mechanism, User: s.User, Password: s.Password.Reveal}
	}
	return kafka.New(o)
}

func (c *KafkaConfig) topic(name string, create bool) kafka.TopicOptions {
	return kafka.TopicOptions{Name: name, Create: create, Partitions: c.Partitions, Replication: c.Replication, Retention: c.Retention}
}

// openKafka makes what callbacks wait for with ack: kafka, and starts it: it stops after the
// ingress. With ack: disk there is time until the ingress takes callbacks.
func (g *gateway) openKafka() error {
	if k := g.cfg.Kafka; k == nil || k.Ack != ackKafka {
		return nil
	}
	return g.startUpdates()
}

// startUpdates copies updates to Kafka.
func (g *gateway) startUpdates() (err error) {
	if g.kafka, err = newKafka(g.cfg.Kafka, g.log, g.metrics()); err != nil {
		return err
	}
	g.process.start("kafka", func(ctx context.Context) error {
		<-ctx.Done()
		g.kafka.Close()
		return nil
	})
	g.forwarding = forward.NewMetrics(g.metrics())
	updates := g.forwardOptions(forward.UpdatesTopic, forward.Updates(g.journal, g.keys()), g.journal.Forgotten())
	if g.role == roleIngest {
		updates.Trim = g.journal.Passed
	}
	if g.updates, err = forward.New(updates); err != nil {
		return err
	}
	g.journal.Follow(g.updates.Kept)
	g.process.start("forward updates", g.updates.Run)
	return nil
}

// keys keeps a person's records together on Kafka, and those of a ref whose person is not known.
func (g *gateway) keys() forward.Keys {
	personal := personRefs()
	return forward.Keys{
		Kept: func(partner string) string { return g.registry.Read().Kept(partner) },
		Ref:  func(u *kyc.Update) string { return relay.RoutingRef(u, personal[u.Provider]) },
	}
}

// startForwarders copies updates to Kafka, unless that is done already, and changes where this
// process decides them. They start before the relay, and so stop after it.
func (g *gateway) startForwarders() error {
	if g.cfg.Kafka == nil {
		return nil
	}
	if g.updates == nil {
		if err := g.startUpdates(); err != nil {
			return err
		}
	}
	if g.relay == nil {
		return nil
	}
	changes := g.forwardOptions(forward.ChangesTopic, g.relay.Changes(), journal.Position{})
	changes.Gap = g.relay.Unqueued()
	var err error
	if g.changes, err = forward.New(changes); err != nil {
		return err
	}
	g.journal.Follow(func() journal.Position { return g.relay.Undecided(g.changes.Kept()) })
	g.process.start("forward changes", g.changes.Run)
	return nil
}

func (g *gateway) forwardOptions(name string, feed forward.Feed, forgotten journal.Position) forward.Options {
	cfg := g.cfg.Kafka
	o := forward.Options{
		Name: name, Topic: g.kafka.Topic(cfg.topic(name, cfg.Create)), Feed: feed, Store: g.store, Forgotten: forgotten, Logger: g.log, Metrics: g.forwarding, Tracer: g.tracer,
		TooLarge: func(ctx context.Context, m *forward.Message) error {
			return g.journal.Hold(ctx, forward.TooLargeItem(name, m, time.Now()))
		},
	}
	if cfg.Deliberate {
		o.Repartition = cfg.Partitions
	}
	return o
}

// appender is what the ingress writes to.
func (g *gateway) appender() ingest.Appender {
	if k := g.cfg.Kafka; k != nil && k.Ack == ackKafka {
		return forward.Acked{Journal: g.journal, To: g.updates, Keys: g.keys()}
	}
	return g.journal
}

// kafkaState is how the topics stand, for /readyz: what keeps this process from being ready, and
// what is worth knowing while it is. With ack: disk callbacks are taken whatever Kafka does, so
// what breaks later is no reason; a topic that is not as it must be when a process starts is, for
// that is a mistake in a setting.
func (g *gateway) kafkaState() (reasons, notes []string) {
	for _, f := range []*forward.Forwarder{g.updates, g.changes} {
		if f == nil {
			continue
		}
		s := f.Status()
		wrong := s.Stopped && (g.cfg.Kafka.Ack == ackKafka || !s.Begun && s.Trouble.Class == forward.BadTopic)
		if wrong {
			reasons = append(reasons, "nothing goes to "+s.Topic+": "+s.Trouble.Text)
		}
		if s.Trouble != nil && !wrong {
			notes = append(notes, s.Topic+": "+s.Trouble.Text)
		}
		if behind := time.Since(s.Since); s.Waiting > 0 && (s.Trouble != nil || behind > time.Second) {
			notes = append(notes, fmt.Sprintf("%s: %d record(s) wait, the oldest for %s", s.Topic, s.Waiting, behind.Round(time.Second)))
		}
		for _, w := range s.Warnings {
			notes = append(notes, s.Topic+": "+w)
		}
	}
	return reasons, notes
}

// releaseRecord gives the journal a record again that was larger than Kafka took: the relay knows
// its id and does nothing, and it is forwarded.
func releaseRecord(item journal.Item, now time.Time) ([]journal.Record, error) {
	var u kyc.Update
	if topics := item.Headers["Topic"]; len(topics) != 1 || topics[0] != forward.UpdatesTopic {
		return nil, errors.New("a change cannot go back into its place in the order of its person: read it with quarantine show, then discard it")
	}
	if err := json.Unmarshal(item.Body, &u); err != nil {
		return nil, fmt.Errorf("read the record: %w", err)
	}
	return []journal.Record{{Kind: u.Kind, Appended: now.UTC().Truncate(time.Microsecond), Body: item.Body, Update: &u}}, nil
}

// kafkaProblems connects, and says what is wrong; what is right is told to say. It makes no topic.
func kafkaProblems(ctx context.Context, cfg *KafkaConfig, say func(string, ...any)) (wrong []string) {
	client, err := newKafka(cfg, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return []string{err.Error()}
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := client.Probe(ctx); err != nil {
		return []string{err.Error()}
	}
	partitions := map[int]bool{}
	for _, name := range []string{forward.UpdatesTopic, forward.ChangesTopic} {
		l, err := client.Topic(cfg.topic(name, false)).Prepare(ctx)
		t, _ := errors.AsType[*forward.Trouble](err)
		switch {
		case err == nil:
			partitions[l.Partitions] = true
			say("  kafka topic %s: %d partition(s), batches up to %d bytes\n", name, l.Partitions, l.MaxBytes)
			if cfg.Deliberate && l.Partitions != cfg.Partitions {
				say("    warning: kafka.partitions is %d; a topic that is there keeps its own\n", cfg.Partitions)
			}
		case t != nil && t.Missing && cfg.Create:
			say("  kafka topic %s: will be made, %d partition(s), replication %d\n", name, cfg.Partitions, cfg.Replication)
		default:
			wrong = append(wrong, err.Error())
		}
		for _, w := range l.Warnings {
			say("    warning: %s\n", w)
		}
	}
	if len(partitions) > 1 {
		say("    warning: the two topics have different numbers of partitions; whoever reads both expects one person in the same\n")
	}
	return wrong
}
