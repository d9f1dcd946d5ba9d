package brokers

import (
	"runtime"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"

	"countersign/ingest/forward"
	"countersign/ingest/forward/kafka"
)

// TestLeaks: clients that are closed leave no goroutine and no connection, those of brokers that
// refuse them neither. Not parallel: it counts everybody's goroutines.
func TestLeaks(t *testing.T) {
	c := cluster(t, kfake.NumBrokers(3), kfake.SeedTopics(3, name), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "cs", canary))
	before := runtime.NumGoroutine()
	registries := []*prometheus.Registry{}
	cycle := func(password string, fine bool) {
		registry := prometheus.NewRegistry()
		registries = append(registries, registry)
		k, err := kafka.New(kafka.Options{Brokers: c.ListenAddrs(), Topics: []string{name}, Metrics: registry, SASL: &kafka.SASL{Mechanism: "scram-sha-256", User: "cs", Password: func() string { return password }}})
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		topic := k.Topic(kafka.TopicOptions{Name: name})
		_, err = topic.Prepare(within(t))
		if leaders, _ := topic.Leaders(within(t)); fine {
			if err != nil || len(leaders) != 3 {
				t.Fatalf("%v, %v", leaders, err)
			}
			for p, leader := range leaders {
				if errs := topic.Send(within(t), leader, []forward.Batch{{Partition: int32(p), Records: records("a", 2)}}); errs[0] != nil {
					t.Error(errs)
				}
			}
			if open(t, registry) == 0 {
				t.Error("no connection is counted")
			}
		} else if err == nil {
			t.Error("the broker took a wrong password")
		}
	}
	for range 20 {
		cycle(canary, true)
	}
	for range 5 {
		cycle("wrong", false)
	}
	eventually(t, "all connections are closed", func() bool {
		for _, r := range registries {
			if open(t, r) != 0 {
				return false
			}
		}
		return true
	})
	eventually(t, "all goroutines have ended", func() bool { return runtime.NumGoroutine() <= before })
}

// open is the gauge.
func open(t *testing.T, r *prometheus.Registry) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil || len(families) != 1 || families[0].GetName() != "kafka_connections" {
		t.Fatalf("%v, %v", families, err)
	}
	return families[0].GetMetric()[0].GetGauge().GetValue()
}
