package main

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"time"

	"go.yaml.in/yaml/v3"
)

// What a callback's 200 waits for.
const (
	ackDisk  = "disk"
	ackKafka = "kafka"
)

// KafkaConfig is the cluster to which every update and every change goes.
type KafkaConfig struct {
	Brokers     []string
	Ack         string // disk | kafka
	Create      bool   // topics that are missing
	Partitions  int    // of those created
	Deliberate  bool   // the file says how many partitions: a topic that has as many is what is wanted, whatever it had before
	Replication int
	Retention   time.Duration
	TLS         *KafkaTLS  // nil: plain TCP
	SASL        *KafkaSASL // nil: no log-in
}

// KafkaTLS names the files of authorities and of a client certificate; "": the system's, and none.
type KafkaTLS struct{ CAFile, CertFile, KeyFile string }

// KafkaSASL is how to log in.
type KafkaSASL struct {
	Mechanism string // plain | scram-sha-256 | scram-sha-512
	User      string
	Password  Secret
}

func defaultKafka() *KafkaConfig {
	return &KafkaConfig{Ack: ackDisk, Partitions: 12, Replication: 3, Retention: 30 * day}
}

func (l *loader) kafka(n *yaml.Node, at string) {
	c := defaultKafka()
	l.object(
		n, at,
		field{"brokers", true, l.list(false, appendTo(l, &c.Brokers, tagText, parseHostPort))},
		field{"ack", false, value(l, &c.Ack, tagText, oneOf(ackDisk, ackKafka))},
		field{"create", false, value(l, &c.Create, tagFlag, parseFlag)},
		field{"partitions", false, value(l, &c.Partitions, tagNumber, whole(1, 10_000))},
		field{"replication", false, value(l, &c.Replication, tagNumber, whole(1, 9))},
		field{"retention", false, value(l, &c.Retention, tagDuration, duration(time.Hour, 100*year))},
		field{"tls", false, func(n *yaml.Node, at string) { c.TLS = l.kafkaTLS(n, at) }},
		field{"sasl", false, func(n *yaml.Node, at string) { c.SASL = l.kafkaSASL(n, at) }},
	)
	c.Deliberate = has(n, "partitions")
	if c.SASL != nil && c.SASL.Mechanism == "plain" && c.TLS == nil && l.live() {
		l.wrong(n, join(at, "sasl.mechanism"), mistake{"the password would travel in clear", "add kafka.tls, or use scram-sha-512"})
	}
	l.cfg.Kafka = c
}

func (l *loader) kafkaTLS(n *yaml.Node, at string) *KafkaTLS {
	c := &KafkaTLS{}
	l.object(
		n, at,
		field{"ca", false, value(l, &c.CAFile, tagText, l.parseFileRef)},
		field{"cert", false, value(l, &c.CertFile, tagText, l.parseFileRef)},
		field{"key", false, value(l, &c.KeyFile, tagText, l.parseFileRef)},
	)
	if c.CAFile != "" {
		text, err := os.ReadFile(c.CAFile)
		if err != nil || !x509.NewCertPool().AppendCertsFromPEM(text) {
			l.wrong(n, join(at, "ca"), mistake{"holds no certificate of an authority", "name a PEM file that begins with -----BEGIN CERTIFICATE-----"})
		}
	}
	switch {
	case has(n, "cert") != has(n, "key"):
		l.wrong(n, join(at, "cert"), mistake{"certificate and key go together", "give both, or neither"})
	case c.CertFile != "" && c.KeyFile != "":
		l.holdsSecret(c.KeyFile)
		if _, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile); err != nil {
			l.wrong(n, join(at, "cert"), mistake{"certificate and key cannot be loaded: " + err.Error(), "name a PEM certificate (with its chain) and the PEM key that belongs to it"})
		}
	}
	return c
}

func (l *loader) kafkaSASL(n *yaml.Node, at string) *KafkaSASL {
	c := &KafkaSASL{}
	l.object(
		n, at,
		field{"mechanism", true, value(l, &c.Mechanism, tagText, oneOf("plain", "scram-sha-256", "scram-sha-512"))},
		field{"user", true, value(l, &c.User, tagText, parseText)},
		field{"password", true, value(l, &c.Password, tagText, l.parseSecret)},
	)
	return c
}
