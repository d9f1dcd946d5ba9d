package brokers

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"countersign/ingest/forward"
	"countersign/ingest/forward/kafka"
)

// TestUser: every mechanism works with the right password, and says which user it was with a wrong
// one.
func TestUser(t *testing.T) {
	t.Parallel()
	f := func(mechanism string) {
		t.Helper()
		c := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, name), kfake.EnableSASL(), kfake.Superuser(strings.ToUpper(mechanism), "cs", canary))
		topic, layout := ready(t, client(t, c.ListenAddrs(), as(mechanism, "cs", canary)))
		if errs := topic.Send(within(t), 0, []forward.Batch{{Records: records("a", 3)}}); errs[0] != nil {
			t.Error(errs)
		}
		if warned := len(layout.Warnings) == 1 && strings.Contains(layout.Warnings[0], "clear text"); warned != (mechanism == "plain") {
			t.Errorf("%s: %q", mechanism, layout.Warnings)
		}
		refused(t, c.ListenAddrs(), as(mechanism, "cs", "not "+canary), forward.BadAuth, "user cs or its password is wrong ("+mechanism+")", "kafka.sasl")
		refused(t, c.ListenAddrs(), as(mechanism, "nobody", canary), forward.BadAuth, "user nobody or its password is wrong ("+mechanism+")")
		refused(t, c.ListenAddrs(), nil, forward.BadAuth, "wants a user, set kafka.sasl")
	}
	f("plain")
	f("scram-sha-256")
	f("scram-sha-512")
}

// TestPasswordChanges: the password is asked for at each connection.
func TestPasswordChanges(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, name), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "cs", canary))
	var right atomic.Bool
	k := client(t, c.ListenAddrs(), func(o *kafka.Options) {
		o.SASL = &kafka.SASL{Mechanism: "scram-sha-256", User: "cs", Password: func() string {
			if right.Load() {
				return canary
			}
			return canary + "\x00" // which SCRAM cannot say
		}}
	})
	_, err := k.Topic(kafka.TopicOptions{Name: name}).Prepare(within(t))
	trouble(t, err, forward.BadAuth, "characters", "user cs")
	right.Store(true)
	ready(t, k)
}

// TestMechanism: one that the broker does not offer, with those that it does; and a broker that
// says no in words, as Kafka does.
func TestMechanism(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, name), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "cs", canary))
	answer := func(code int16, offered ...string) {
		for range 2 { // Prepare, Probe
			c.ControlKey(int16(kmsg.SASLHandshake), func(r kmsg.Request) (kmsg.Response, error, bool) {
				res := r.ResponseKind().(*kmsg.SASLHandshakeResponse)
				res.ErrorCode, res.SupportedMechanisms = code, offered
				return res, nil, true
			})
		}
	}
	sha512, sha256 := as("scram-sha-512", "cs", canary), as("scram-sha-256", "cs", canary)
	answer(kerr.UnsupportedSaslMechanism.Code, "PLAIN", "GSSAPI")
	refused(t, c.ListenAddrs(), sha512, forward.BadAuth, "does not offer scram-sha-512, but plain, gssapi", "kafka.sasl.mechanism")
	answer(kerr.UnsupportedSaslMechanism.Code)
	refused(t, c.ListenAddrs(), sha512, forward.BadAuth, "does not offer scram-sha-512")
	answer(kerr.IllegalSaslState.Code)
	refused(t, c.ListenAddrs(), sha256, forward.BadAuth, "kafka.sasl")
	for range 3 { // and the transport
		c.ControlKey(int16(kmsg.SASLAuthenticate), func(r kmsg.Request) (kmsg.Response, error, bool) {
			res := r.ResponseKind().(*kmsg.SASLAuthenticateResponse)
			res.ErrorCode, res.ErrorMessage = kerr.SaslAuthenticationFailed.Code, new("not "+canary)
			return res, nil, true
		})
	}
	refused(t, c.ListenAddrs(), sha256, forward.BadAuth, "user cs or its password is wrong")
	_, err := client(t, c.ListenAddrs(), sha256).Topic(kafka.TopicOptions{Name: name}).Leaders(within(t))
	trouble(t, err, forward.BadAuth, "user cs or its password is wrong (scram-sha-256)")
	for range 2 { // a broker that does not know the password either
		c.ControlKey(int16(kmsg.SASLAuthenticate), func(r kmsg.Request) (kmsg.Response, error, bool) {
			res := r.ResponseKind().(*kmsg.SASLAuthenticateResponse)
			res.SASLAuthBytes = []byte("r=" + canary)
			return res, nil, true
		})
	}
	refused(t, c.ListenAddrs(), sha256, forward.BadAuth, "does not fit the password")
}

// TestSilentSASL: a broker that falls silent while we sign in holds up nothing for good. The client
// library waits there without a deadline, with its only goroutine for metadata.
func TestSilentSASL(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, name), kfake.EnableSASL(), kfake.Superuser("PLAIN", "cs", canary))
	var well atomic.Bool
	c.ControlKey(int16(kmsg.SASLAuthenticate), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		return nil, nil, !well.Load()
	})
	k := client(t, c.ListenAddrs(), as("plain", "cs", canary))
	topic := k.Topic(kafka.TopicOptions{Name: name})
	_, err := topic.Leaders(within(t))
	trouble(t, err, forward.TimedOut)
	_, err = topic.Prepare(within(t))
	trouble(t, err, forward.TimedOut, c.ListenAddrs()[0])
	well.Store(true)
	eventually(t, "it goes on", func() bool {
		_, err := topic.Leaders(within(t))
		return err == nil
	})
}

// TestDenied: what an ACL forbids is said with the ACL that is missing.
func TestDenied(t *testing.T) {
	t.Parallel()
	may := func(ops ...kmsg.ACLOperation) []string {
		t.Helper()
		var acls []kfake.ACL
		for _, op := range ops {
			acls = append(acls, kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: name, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true})
		}
		return cluster(t, kfake.NumBrokers(3), kfake.SeedTopics(1, name), kfake.EnableSASL(), kfake.EnableACLs(), kfake.User("SCRAM-SHA-256", "cs", canary, acls...)).ListenAddrs()
	}
	cs := as("scram-sha-256", "cs", canary)
	denied := "user cs may not write to topic " + name + " (ACL: Write and Describe on topic " + name + ")"
	for _, brokers := range [][]string{may(), may(kmsg.ACLOperationDescribe)} {
		k := client(t, brokers, cs)
		_, err := k.Topic(kafka.TopicOptions{Name: name}).Prepare(within(t))
		trouble(t, err, forward.Denied, denied)
		if err := k.Probe(within(t)); err != nil {
			t.Errorf("the user is right: %v", err)
		}
	}
	_, layout := ready(t, client(t, may(kmsg.ACLOperationWrite), cs))
	if len(layout.Warnings) != 1 || !strings.Contains(layout.Warnings[0], "ACL: DescribeConfigs on topic "+name) || !strings.Contains(layout.Warnings[0], "1048588") || layout.MaxBytes != 1048588 {
		t.Errorf("%+v", layout)
	}
	topic, layout := ready(t, client(t, may(kmsg.ACLOperationWrite, kmsg.ACLOperationDescribeConfigs), cs))
	leaders, err := topic.Leaders(within(t))
	if err != nil || len(layout.Warnings) != 1 { // min.insync.replicas
		t.Fatalf("%+v, %v", layout, err)
	}
	if errs := topic.Send(within(t), leaders[0], []forward.Batch{{Records: records("a", 1)}}); errs[0] != nil {
		t.Error(errs)
	}
	missing := cluster(t, kfake.NumBrokers(1), kfake.EnableSASL(), kfake.EnableACLs(), kfake.User("SCRAM-SHA-256", "cs", canary,
		kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: name, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationDescribe, Allow: true}))
	_, err = client(t, missing.ListenAddrs(), cs).Topic(kafka.TopicOptions{Name: name, Create: true, Partitions: 1, Replication: 1}).Prepare(within(t))
	trouble(t, err, forward.Denied, "user cs may not make topic "+name, "ACL: Create on topic", "kafka-topics.sh")
}
