package brokers

import (
	"context"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"countersign/ingest/forward"
	"countersign/ingest/forward/kafka"
)

func port(t *testing.T, addr string) int32 {
	t.Helper()
	_, p, _ := net.SplitHostPort(addr)
	n, err := strconv.Atoi(p)
	if err != nil {
		t.Fatal(err)
	}
	return int32(n)
}

// TestCreate: a missing topic is made as it must be, and only where that is wanted.
func TestCreate(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(3))
	var asked []string
	c.ControlKey(int16(kmsg.CreateTopics), func(r kmsg.Request) (kmsg.Response, error, bool) {
		for _, topic := range r.(*kmsg.CreateTopicsRequest).Topics {
			for _, s := range topic.Configs {
				asked = append(asked, s.Name+"="+*s.Value)
			}
		}
		return nil, nil, false
	})
	k := client(t, c.ListenAddrs(), nil)
	_, err := k.Topic(kafka.TopicOptions{Name: name, Partitions: 4, Replication: 3}).Prepare(within(t))
	trouble(t, err, forward.BadTopic, name, "kafka.create: true", "kafka-topics.sh --bootstrap-server 127.0.0.1", "--partitions 4", "--replication-factor 3", "min.insync.replicas=2")
	_, err = k.Topic(kafka.TopicOptions{Name: name, Create: true, Partitions: 4, Replication: 5}).Prepare(within(t))
	trouble(t, err, forward.BadTopic, "kafka.replication is 5", "3 brokers")
	_, err = k.Topic(kafka.TopicOptions{Name: name, Create: true, Partitions: 0, Replication: 3}).Prepare(within(t))
	trouble(t, err, forward.BadTopic, "kafka.partitions is 0")
	asked = nil
	topic := k.Topic(kafka.TopicOptions{Name: name, Create: true, Partitions: 4, Replication: 3, Retention: 30 * 24 * time.Hour})
	layout, err := topic.Prepare(within(t))
	if err != nil || layout.Partitions != 4 || layout.MaxBytes != 1048588 || len(layout.Warnings) != 0 {
		t.Fatalf("%+v, %v", layout, err)
	}
	got := strings.Join(asked, " ")
	for _, want := range []string{"cleanup.policy=delete", "retention.ms=2592000000", "min.insync.replicas=2"} {
		if !strings.Contains(got, want) {
			t.Errorf("made with %s, want %s", got, want)
		}
	}
	if leaders, err := topic.Leaders(within(t)); err != nil || len(leaders) != 4 {
		t.Errorf("%v, %v", leaders, err)
	}
	if again, err := topic.Prepare(within(t)); err != nil || again.Partitions != 4 {
		t.Errorf("%+v, %v", again, err)
	}
}

// TestCreateRaces: two nodes make the topic at once, and a broker that is slow to make it: both
// find it.
func TestCreateRaces(t *testing.T) {
	t.Parallel()
	f := func(e *kerr.Error) {
		t.Helper()
		c := cluster(t, kfake.NumBrokers(3))
		c.ControlKey(int16(kmsg.CreateTopics), func(r kmsg.Request) (kmsg.Response, error, bool) {
			go c.CreateTopic(name, 4, nil) // the other node, meanwhile
			res := r.ResponseKind().(*kmsg.CreateTopicsResponse)
			res.Topics = []kmsg.CreateTopicsResponseTopic{{Topic: name, ErrorCode: e.Code}}
			return res, nil, true
		})
		layout, err := client(t, c.ListenAddrs(), nil).Topic(kafka.TopicOptions{Name: name, Create: true, Partitions: 4, Replication: 3}).Prepare(within(t))
		if err != nil || layout.Partitions != 4 {
			t.Errorf("%v: %+v, %v", e, layout, err)
		}
	}
	f(kerr.TopicAlreadyExists)
	f(kerr.RequestTimedOut)
}

// TestWarnings: what could lose records is said.
func TestWarnings(t *testing.T) {
	t.Parallel()
	f := func(brokers int, settings map[string]string, want ...string) {
		t.Helper()
		c := cluster(t, kfake.NumBrokers(brokers))
		if err := c.CreateTopic(name, 2, settings); err != nil {
			t.Fatal(err)
		}
		_, layout := ready(t, client(t, c.ListenAddrs(), nil))
		if len(layout.Warnings) != len(want) {
			t.Errorf("%q, want %q", layout.Warnings, want)
			return
		}
		for i, w := range want {
			if !strings.Contains(layout.Warnings[i], w) {
				t.Errorf("%q, want %q", layout.Warnings[i], w)
			}
		}
	}
	f(3, map[string]string{"min.insync.replicas": "2"})
	f(3, nil, "min.insync.replicas")
	f(1, nil)
	f(3, map[string]string{"min.insync.replicas": "2", "cleanup.policy": "compact"}, "compact")
	f(3, map[string]string{"min.insync.replicas": "2", "cleanup.policy": "compact,delete"}, "compact")
	c := cluster(t, kfake.NumBrokers(3))
	layout, err := client(t, c.ListenAddrs(), nil).Topic(kafka.TopicOptions{Name: name, Create: true, Partitions: 2, Replication: 1}).Prepare(within(t))
	if err != nil || len(layout.Warnings) != 2 || !strings.Contains(layout.Warnings[0], "one replica only") {
		t.Errorf("%q, %v", layout.Warnings, err)
	}
}

// TestStop: a Prepare whose caller has had enough ends at once.
func TestStop(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, name))
	asked := make(chan struct{}, 1)
	c.ControlKey(int16(kmsg.Metadata), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		select {
		case asked <- struct{}{}:
		default:
		}
		return nil, nil, true // says nothing
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := client(t, c.ListenAddrs(), nil).Topic(kafka.TopicOptions{Name: name}).Prepare(ctx)
		done <- err
	}()
	<-asked
	cancel()
	select {
	case err := <-done:
		trouble(t, err, forward.OtherClass, "given up", "127.0.0.1")
	case <-within(t).Done():
		t.Error("it goes on")
	}
}
