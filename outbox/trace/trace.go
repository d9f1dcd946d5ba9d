// Package trace makes the spans of a callback's way: what was done about it, from when until when,
// from its receipt to the partner's answer; and of the way of what an operator has decided, or time
// has made due. Where that way goes over the disk, it goes on by the W3C
// traceparent that stands in the record and in the delivery.
//
// Its promises: without a Tracer nothing is done and nothing allocated; whether a trace is sampled
// is decided once, where the callback comes in or the record is made, and written into its traceparent, so that whoever
// goes on with it decides nothing; nobody outside can have more sampled than Options allow.
package trace

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	oteltrace "go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
)

// What may be sampled beyond, or within, the operator's part: traces a second, in this process.
const (
	askedPerSecond    = 10 // because a provider's own traceparent says so
	strangerPerSecond = 10 // of callbacks that were refused, which anybody can send
)

// Options of a Tracer. All are required.
type Options struct {
	Provider oteltrace.TracerProvider // which samples all that it is given
	Sample   float64                  // the part of new traces that is sampled, 0 to 1
	Random   func() uint64
}

// Tracer makes spans. A nil one makes none. It is safe for concurrent use.
type Tracer struct {
	o         Options
	tracer    oteltrace.Tracer
	asked     *rate.Limiter
	strangers *rate.Limiter
}

// New returns a Tracer. It starts nothing.
func New(o Options) *Tracer {
	return &Tracer{
		o: o, tracer: o.Provider.Tracer("countersign"),
		asked: rate.NewLimiter(askedPerSecond, askedPerSecond), strangers: rate.NewLimiter(strangerPerSecond, strangerPerSecond),
	}
}

// Span is a span that is recorded. Of a nil one nothing is.
type Span struct {
	tracer oteltrace.Tracer
	span   oteltrace.Span
}

// Callback begins the span of a callback that was proved genuine, and came with this traceparent, if
// any. passed is the traceparent of what is made of the callback, and belongs into its records: it
// leads to the span and says whether the trace is sampled.
//
// Who gives no traceparent begins a new trace, of which Options.Sample are sampled. One that says
// that its trace is not sampled is obeyed. One that says that it is counts if a key proves whose it
// is (keyed), for a few traces a second; else, and beyond that, lots are drawn as for a new one.
func (t *Tracer) Callback(traceparent string, keyed bool, at time.Time) (s *Span, passed string) {
	return t.first("callback", oteltrace.SpanKindServer, traceparent, keyed, at)
}

// first begins the first span of ours in a trace, if that is sampled.
func (t *Tracer) first(name string, kind oteltrace.SpanKind, traceparent string, keyed bool, at time.Time) (s *Span, passed string) {
	if t == nil {
		return nil, traceparent
	}
	parent := parse(traceparent)
	switch {
	case !parent.IsValid():
		if !t.lot() {
			return nil, ""
		}
	case !parent.IsSampled():
		return nil, traceparent
	case keyed && t.asked.Allow(), t.lot():
	default:
		return nil, t.unsampled(parent)
	}
	s = t.begin(parent, name, kind, at)
	return s, s.Traceparent()
}

// Refused begins the span of a callback that was refused: in a trace of its own, whatever its sender
// says, for the sender may be anybody. Nil: it is not sampled.
func (t *Tracer) Refused(at time.Time) *Span {
	if t == nil || !t.lot() || !t.strangers.Allow() {
		return nil
	}
	return t.begin(oteltrace.SpanContext{}, "callback", oteltrace.SpanKindServer, at)
}

// Join begins a span in the trace that a record or a delivery belongs to. Nil: that is not sampled.
func (t *Tracer) Join(traceparent, name string, kind oteltrace.SpanKind, at time.Time) *Span {
	if t == nil || !Sampled(traceparent) {
		return nil
	}
	return t.begin(parse(traceparent), name, kind, at)
}

// Batch begins a span of its own trace about several records, and links it to those that are
// sampled. Nil: none is.
func (t *Tracer) Batch(name string, kind oteltrace.SpanKind, at time.Time, traceparents []string) *Span {
	if t == nil {
		return nil
	}
	var links []oteltrace.Link
	for _, tp := range traceparents {
		if Sampled(tp) {
			links = append(links, oteltrace.Link{SpanContext: parse(tp)})
		}
	}
	if links == nil {
		return nil
	}
	return t.begin(oteltrace.SpanContext{}, name, kind, at, oteltrace.WithLinks(links...))
}

func (t *Tracer) begin(parent oteltrace.SpanContext, name string, kind oteltrace.SpanKind, at time.Time, more ...oteltrace.SpanStartOption) *Span {
	ctx := oteltrace.ContextWithRemoteSpanContext(context.Background(), parent)
	_, span := t.tracer.Start(ctx, name, append(more, oteltrace.WithSpanKind(kind), oteltrace.WithTimestamp(at))...)
	return &Span{t.tracer, span}
}

// lot reports whether a new trace is sampled.
func (t *Tracer) lot() bool { return float64(t.o.Random()>>11)/(1<<53) < t.o.Sample }

// unsampled is a traceparent of the same trace that says it is not sampled. By the standard whoever
// changes that gives it a parent of its own.
func (t *Tracer) unsampled(parent oteltrace.SpanContext) string {
	var id [8]byte
	binary.BigEndian.PutUint64(id[:], t.o.Random()|1) // never zero, which means "none"
	return "00-" + parent.TraceID().String() + "-" + hex.EncodeToString(id[:]) + "-00"
}

// Child makes a span that is a part of this one, and has ended.
func (s *Span) Child(name string, from, to time.Time, attrs ...attribute.KeyValue) {
	if s == nil {
		return
	}
	ctx := oteltrace.ContextWithSpan(context.Background(), s.span)
	_, span := s.tracer.Start(ctx, name, oteltrace.WithTimestamp(from), oteltrace.WithAttributes(attrs...))
	span.End(oteltrace.WithTimestamp(to))
}

// Traceparent leads to the span. It may be asked for after the end.
func (s *Span) Traceparent() string {
	c := s.span.SpanContext()
	return "00-" + c.TraceID().String() + "-" + c.SpanID().String() + "-" + c.TraceFlags().String()
}

// Link links the span to another, or to what a traceparent leads to.
func (s *Span) Link(traceparent string) {
	if s != nil {
		s.span.AddLink(oteltrace.Link{SpanContext: parse(traceparent)})
	}
}

// Event notes an instant within the span.
func (s *Span) Event(name string, at time.Time) {
	if s != nil {
		s.span.AddEvent(name, oteltrace.WithTimestamp(at))
	}
}

// End ends the span. failed is the class of what went wrong, a word of ours; "": nothing did.
func (s *Span) End(at time.Time, failed string, attrs ...attribute.KeyValue) {
	if s == nil {
		return
	}
	s.span.SetAttributes(attrs...)
	if failed != "" {
		s.span.SetAttributes(attribute.String("error.type", failed))
		s.span.SetStatus(codes.Error, "")
	}
	s.span.End(oteltrace.WithTimestamp(at))
}

// Observe counts a value into a histogram. The span, if there is one, becomes the exemplar: that is
// how one comes from a slow bucket to a trace that is in it.
func (s *Span) Observe(h prometheus.Observer, v float64) {
	if s != nil {
		if e, ok := h.(prometheus.ExemplarObserver); ok {
			c := s.span.SpanContext()
			e.ObserveWithExemplar(v, prometheus.Labels{"trace_id": c.TraceID().String(), "span_id": c.SpanID().String()})
			return
		}
	}
	h.Observe(v)
}

// Valid reports whether a text is a traceparent of version 00.
func Valid(traceparent string) bool {
	v := traceparent
	if len(v) != 55 || v[:3] != "00-" || v[35] != '-' || v[52] != '-' {
		return false
	}
	for i := range len(v) {
		if c := v[i]; i != 2 && i != 35 && i != 52 && (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return strings.Trim(v[3:35], "0") != "" && strings.Trim(v[36:52], "0") != "" // the standard's words for "none"
}

// Sampled reports whether a traceparent leads to a trace that is sampled.
func Sampled(traceparent string) bool {
	if len(traceparent) != 55 {
		return false
	}
	switch traceparent[54] {
	case '1', '3', '5', '7', '9', 'b', 'd', 'f': // the last bit
		return Valid(traceparent)
	}
	return false
}

// parse reads a traceparent; without a trace id: it is none.
func parse(traceparent string) (c oteltrace.SpanContext) {
	if !Valid(traceparent) {
		return c
	}
	var trace oteltrace.TraceID
	var span oteltrace.SpanID
	var flags [1]byte
	hex.Decode(trace[:], []byte(traceparent[3:35]))  //nolint:errcheck,gosec // it is valid
	hex.Decode(span[:], []byte(traceparent[36:52]))  //nolint:errcheck,gosec // the same
	hex.Decode(flags[:], []byte(traceparent[53:55])) //nolint:errcheck,gosec // the same
	return oteltrace.NewSpanContext(oteltrace.SpanContextConfig{TraceID: trace, SpanID: span, TraceFlags: oteltrace.TraceFlags(flags[0]), Remote: true})
}
