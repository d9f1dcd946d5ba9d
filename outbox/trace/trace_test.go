package trace

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"
)

const (
	theirs    = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-"
	theyDo    = theirs + "01"
	theyDoNot = theirs + "00"
)

// tracer samples this part of new traces, where chance is even.
func tracer(sample float64) (*Tracer, *tracetest.SpanRecorder) {
	r, n := tracetest.NewSpanRecorder(), uint64(0)
	p := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.AlwaysSample()), sdktrace.WithSpanProcessor(r))
	return New(Options{Provider: p, Sample: sample, Random: func() uint64 { n++; return n << 54 }}), r
}

// TestWhoIsSampled: what a callback's own traceparent counts for, and who draws lots.
func TestWhoIsSampled(t *testing.T) {
	f := func(sample float64, traceparent string, keyed, want bool, passed string) {
		t.Helper()
		tr, _ := tracer(sample)
		s, got := tr.Callback(traceparent, keyed, time.Now())
		if (s != nil) != want {
			t.Errorf("%v of %q, keyed %v: sampled %v", sample, traceparent, keyed, s != nil)
		}
		if !strings.HasPrefix(got, passed) || (got == "") != (passed == "") || Sampled(got) != want {
			t.Errorf("%v of %q, keyed %v: passes on %q", sample, traceparent, keyed, got)
		}
		if want && got != s.Traceparent() {
			t.Errorf("passes on %q, and the span is %q", got, s.Traceparent())
		}
	}
	f(1, "", true, true, "00-")
	f(1, "", false, true, "00-")
	f(0, "", true, false, "")
	f(1, theyDo, true, true, theirs[:36])
	f(0, theyDo, true, true, theirs[:36])
	f(1, theyDo, false, true, theirs[:36])
	f(0, theyDo, false, false, theirs[:36]) // a stranger's word
	f(1, theyDoNot, true, false, theyDoNot)
	f(0, theyDoNot, true, false, theyDoNot)
	f(0, "00-nonsense-01", true, false, "")
	f(1, "00-00000000000000000000000000000000-00f067aa0ba902b7-01", true, true, "00-")
}

// TestTheirWordIsBounded: a provider that says of all its callbacks that they are sampled, and
// strangers who are refused, have a few traces a second.
func TestTheirWordIsBounded(t *testing.T) {
	tr, _ := tracer(0)
	n := 0
	for range 10_000 {
		s, passed := tr.Callback(theyDo, true, time.Now())
		if s != nil {
			n++
		} else if Sampled(passed) || !Valid(passed) || passed[:36] != theirs[:36] || passed[36:52] == theirs[36:52] {
			t.Fatalf("one that is not sampled passes on %q", passed)
		}
	}
	if most := 20 * askedPerSecond; n < askedPerSecond || n > most {
		t.Errorf("%d of 10000 are sampled", n)
	}
	tr, _ = tracer(1)
	n = 0
	for range 10_000 {
		if tr.Refused(time.Now()) != nil {
			n++
		}
	}
	if most := 20 * strangerPerSecond; n < strangerPerSecond || n > most {
		t.Errorf("%d of 10000 that were refused are sampled", n)
	}
	half, _ := tracer(0.5)
	n = 0
	for range 1024 {
		if s, _ := half.Callback("", true, time.Now()); s != nil {
			n++
		}
	}
	if n != 512 {
		t.Errorf("%d of 1024 are sampled, want half", n)
	}
}

// TestNoTracer: without one nothing is made, and nothing is allocated.
func TestNoTracer(t *testing.T) {
	var tr *Tracer
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h", Help: "h"})
	now := time.Now()
	n := testing.AllocsPerRun(100, func() {
		s, passed := tr.Callback(theyDo, true, now)
		if s != nil || passed != theyDo || tr.Refused(now) != nil || tr.Join(theyDo, "x", oteltrace.SpanKindClient, now) != nil {
			t.Error("something was made")
		}
		s.Child("x", now, now)
		s.Event("x", now)
		s.Link(theyDo)
		s.Observe(h, 1)
		s.End(now, "")
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestSpans: children, joins and batches are where they belong, and a histogram has the trace as its
// exemplar.
func TestSpans(t *testing.T) {
	tr, r := tracer(1)
	now := time.Now()
	s, passed := tr.Callback(theyDo, true, now)
	s.Child("verify", now, now)
	joined := tr.Join(passed, "deliver", oteltrace.SpanKindClient, now)
	whole := tr.Batch("fold", oteltrace.SpanKindConsumer, now, []string{"", theyDoNot, passed})
	joined.Link(whole.Traceparent())
	if tr.Join(theyDoNot, "deliver", oteltrace.SpanKindClient, now) != nil || tr.Batch("fold", oteltrace.SpanKindConsumer, now, []string{"", theyDoNot}) != nil {
		t.Error("spans of what is not sampled")
	}
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h", Help: "h", Buckets: []float64{1}})
	s.Observe(h, 0.5)
	for _, s := range []*Span{s, joined, whole} {
		s.End(now, "")
	}
	spans := map[string]sdktrace.ReadOnlySpan{}
	for _, s := range r.Ended() {
		spans[s.Name()] = s
	}
	callback := spans["callback"]
	if got := callback.Parent(); got.SpanID().String() != theirs[36:52] || got.TraceID() != callback.SpanContext().TraceID() || callback.SpanContext().TraceID().String() != theirs[3:35] {
		t.Errorf("the callback's parent is %v", got)
	}
	for _, name := range []string{"verify", "deliver"} {
		if spans[name].Parent().SpanID() != callback.SpanContext().SpanID() || spans[name].SpanContext().TraceID() != callback.SpanContext().TraceID() {
			t.Errorf("%s has the parent %v", name, spans[name].Parent())
		}
	}
	fold := spans["fold"]
	if fold.Parent().IsValid() || fold.SpanContext().TraceID() == callback.SpanContext().TraceID() || len(fold.Links()) != 1 || fold.Links()[0].SpanContext.SpanID() != callback.SpanContext().SpanID() {
		t.Errorf("the batch: %v, %v", fold.Parent(), fold.Links())
	}
	if links := spans["deliver"].Links(); len(links) != 1 || links[0].SpanContext.SpanID() != fold.SpanContext().SpanID() {
		t.Errorf("links of the joined: %v", links)
	}
	var m dto.Metric
	if err := h.Write(&m); err != nil || !strings.Contains(m.Histogram.GetBucket()[0].GetExemplar().String(), theirs[3:35]) {
		t.Errorf("%v, %v", m.Histogram, err)
	}
}
