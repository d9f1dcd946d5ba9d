package forward

import (
	"errors"
	"fmt"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox/trace"
)

// TestTraces: a batch is a span of its own that leads to the callbacks in it that are sampled, also
// one that Kafka does not take; each of those has one in its own trace when Kafka has it, and its
// record says what it said, however often it was sent.
func TestTraces(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.AlwaysSample()), sdktrace.WithSpanProcessor(spans))
	r, topic := startRig(t, "", journal.Options{}), newFakeTopic(1)
	parent := func(n int) string {
		flags := "01"
		if n == 1 {
			flags = "00"
		}
		return fmt.Sprintf("00-%032x-%016x-%s", n+1, n+1, flags)
	}
	var rs []journal.Record
	for n := range 4 {
		u := kyc.Update{
			SchemaVersion: 1, ID: fmt.Sprint("u", n), Kind: kyc.Observation, Source: "sumsub-eu", Partner: "acme",
			Subject: kyc.Subject{ID: "person-canary"}, Status: kyc.Pending, ReceivedAt: someTime,
		}
		if n != 3 {
			u.Traceparent = parent(n)
		}
		rs = append(rs, journal.Record{Kind: u.Kind, Appended: someTime, Body: u.AppendJSON(nil), Update: &u})
	}
	mustAppend(t, r, rs...)
	failed := false
	topic.fault = func(Batch) (error, bool) {
		if !failed {
			failed = true
			return &Trouble{Class: Replicas, Text: "a broker is away", Err: errors.New("canary")}, true
		}
		return nil, true
	}
	_, stop := forwarding(t, r, topic, func(o *Options) {
		o.Tracer = trace.New(trace.Options{Provider: provider, Sample: 1, Random: func() uint64 { return 1 }})
	})
	until(t, "each is there twice", func() bool { return topic.count() == 8 })
	until(t, "spans are there", func() bool { return len(spans.Ended()) >= 4 })
	stop()
	var batches, single []sdktrace.ReadOnlySpan
	for _, s := range spans.Ended() {
		switch s.Name() {
		case "send " + UpdatesTopic:
			batches = append(batches, s)
		case "publish " + UpdatesTopic:
			single = append(single, s)
		}
	}
	if len(batches) != 2 || len(single) != 2 || len(spans.Ended()) != 4 {
		t.Fatalf("%d batches, %d single, %d spans", len(batches), len(single), len(spans.Ended()))
	}
	for i, b := range batches {
		if links := b.Links(); len(links) != 2 || links[0].SpanContext.SpanID().String() != fmt.Sprintf("%016x", 1) || links[1].SpanContext.SpanID().String() != fmt.Sprintf("%016x", 3) {
			t.Errorf("batch %d leads to %v", i, links)
		}
		says(t, b, "messaging.system", "kafka")
		says(t, b, "messaging.destination.name", UpdatesTopic)
		says(t, b, "messaging.batch.message_count", "4")
		says(t, b, "error.type", map[bool]string{true: string(Replicas)}[i == 0])
	}
	for i, s := range single {
		id := fmt.Sprintf("%x", 2*i+1)
		if s.SpanContext().TraceID().String() != fmt.Sprintf("%032s", id) || s.Parent().SpanID().String() != fmt.Sprintf("%016s", id) || s.Links()[0].SpanContext.SpanID() != batches[1].SpanContext().SpanID() {
			t.Errorf("record %d: %v, %v, %v", i, s.SpanContext(), s.Parent(), s.Links())
		}
	}
	for i, m := range topic.logs[0] {
		want := ""
		if i%4 != 3 {
			want = parent(i % 4)
		}
		if got := m.header("traceparent"); got != want {
			t.Errorf("message %d says %q, want %q", i, got, want)
		}
	}
}

// says wants an attribute of a span; "": it has none.
func says(t *testing.T, s sdktrace.ReadOnlySpan, key, want string) {
	t.Helper()
	got := ""
	for _, a := range s.Attributes() {
		if string(a.Key) == key {
			got = a.Value.String()
		}
	}
	if got != want {
		t.Errorf("%s: %s is %q, want %q", s.Name(), key, got, want)
	}
}
