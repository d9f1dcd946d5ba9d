package relay

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	oteltrace "go.opentelemetry.io/otel/trace"

	"countersign/kyc"
	"countersign/outbox/trace"
)

// tracedRecord is a record of a batch whose trace is sampled, and what became of it.
type tracedRecord struct {
	traceparent string
	begun       time.Time
	offset      int64
	partner     string // "": not known
	source      string
	provider    string
	kind        kyc.Kind
	verdict     kyc.Verdict
	changes     int
}

// follow notes when the work on a callback's records begins.
func (b *batch) follow() {
	if b.r.o.Tracer != nil {
		b.begun = time.Now()
	}
}

// decidedOn notes what became of a record, if its trace is sampled. Its span is made when that is on
// disk, and never for a batch that was not written.
func (b *batch) decidedOn(said *saying, v kyc.Verdict, changes int) {
	u := &said.u
	if b.r.o.Tracer == nil || !trace.Sampled(u.Traceparent) {
		return
	}
	partner := u.Partner
	if partner != "" {
		partner = b.partner(partner).shown
	}
	b.traced = append(b.traced, tracedRecord{u.Traceparent, b.begun, said.rec.Position.Offset, partner, u.Source, u.Provider, u.Kind, v, changes})
}

// trace makes the spans of a batch that is on disk: one of the batch, in a trace of its own that
// leads to the callbacks in it, and one of each record, in the record's trace.
func (b *batch) trace(records int, last int64, started time.Time) {
	if len(b.traced) == 0 {
		return
	}
	now := time.Now()
	from := make([]string, len(b.traced))
	for i := range b.traced {
		from[i] = b.traced[i].traceparent
	}
	whole := b.r.o.Tracer.Batch("fold", oteltrace.SpanKindConsumer, started, from)
	for i := range b.traced {
		r := &b.traced[i]
		s := b.r.o.Tracer.Join(r.traceparent, "decide", oteltrace.SpanKindInternal, r.begun)
		s.Link(whole.Traceparent())
		s.End(now, "",
			attribute.Int64("countersign.record.offset", r.offset), attribute.String("countersign.record.kind", string(r.kind)),
			attribute.String("countersign.partner", r.partner), attribute.String("countersign.source", r.source),
			attribute.String("countersign.provider", r.provider), attribute.String("countersign.verdict", string(r.verdict)), attribute.Int("countersign.changes", r.changes))
	}
	whole.End(now, "",
		attribute.Int("countersign.batch.size", records), attribute.Int64("countersign.record.offset", last),
		attribute.Int("countersign.deliveries", len(b.owed)))
}

// traceOwn ends the span of a record of our own, which waited for the disk since then.
func traceOwn(s *trace.Span, u *kyc.Update, partner string, since time.Time, err error) {
	now, failed := time.Now(), ""
	if err != nil {
		failed = "journal"
	}
	s.Child("journal.append", since, now)
	s.End(now, failed,
		attribute.String("countersign.record.kind", string(u.Kind)), attribute.String("countersign.partner", partner), attribute.String("countersign.source", u.Source))
}
