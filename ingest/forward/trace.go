package forward

import (
	"errors"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	oteltrace "go.opentelemetry.io/otel/trace"
)

// trace makes the spans of a batch that was sent: one of the batch, in a trace of its own that leads
// to the callbacks it comes from, and, when Kafka has acknowledged it, one of each record, in the
// record's trace. What a record says of its trace is in its header, and stays as it is however often
// it is sent.
func (r *run) trace(s *sent, i int) {
	t := r.f.o.Tracer
	if t == nil {
		return
	}
	b, err := &s.batches[i], s.errs[i]
	from := make([]string, len(b.Records))
	for j, m := range b.Records {
		from[j] = m.header("traceparent")
	}
	whole := t.Batch("send "+r.f.o.Name, oteltrace.SpanKindClient, s.started, from)
	if whole == nil {
		return
	}
	ended, failed := s.started.Add(s.took), ""
	attrs := append(make([]attribute.KeyValue, 0, 8),
		attribute.String("messaging.system", "kafka"), attribute.String("messaging.destination.name", r.f.o.Name),
		attribute.String("messaging.destination.partition.id", strconv.Itoa(int(b.Partition))),
		attribute.String("messaging.operation.name", "send"), attribute.String("messaging.operation.type", "send"))
	switch {
	case errors.Is(err, ErrTooLarge):
		failed = string(TooLarge)
	case err != nil:
		failed = string(troubleOf(err).Class)
	default:
		for _, traceparent := range from {
			one := t.Join(traceparent, "publish "+r.f.o.Name, oteltrace.SpanKindProducer, s.started)
			one.Link(whole.Traceparent())
			one.End(ended, "", attrs...)
		}
	}
	whole.End(ended, failed, append(attrs, attribute.Int("messaging.batch.message_count", len(b.Records)))...)
}
