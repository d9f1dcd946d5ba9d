package dispatch

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	oteltrace "go.opentelemetry.io/otel/trace"

	"countersign/outbox"
	"countersign/relay/send"
)

// trace begins the span of an attempt, if the trace of its delivery is sampled, and has the partner
// go on from there: the request's traceparent leads to the attempt, and not to what it came from.
func (s *sender) trace(j *job, h send.Fields, started time.Time) {
	j.span = s.r.o.Tracer.Join(j.d.Traceparent, "deliver", oteltrace.SpanKindClient, started)
	if j.span == nil {
		return
	}
	for i := range h {
		if h[i].Name == "Traceparent" {
			h[i].Value = j.span.Traceparent()
		}
	}
}

// endTrace ends the span of an attempt. Where its time went stands in it as events: when each step
// had ended, or the attempt in it.
func (s *sender) endTrace(j *job, a *send.Answer, out *outbox.Attempt, now time.Time) {
	if j.span == nil {
		return
	}
	d, t, at := &j.d, &a.Timings, out.At
	opened := at.Add(t.Open)
	for _, e := range []struct {
		name string
		took time.Duration
		end  time.Time
	}{
		{"dns", t.DNS, opened.Add(-t.TLS - t.Connect)},
		{"connect", t.Connect, opened.Add(-t.TLS)},
		{"tls", t.TLS, opened},
		{"first_byte", t.FirstByte, opened.Add(t.FirstByte)},
	} {
		if e.took > 0 && (e.name != "first_byte" || a.Code > 0) {
			j.span.Event(e.name, e.end)
		}
	}
	attrs := append(make([]attribute.KeyValue, 0, 16),
		attribute.String("http.request.method", "POST"), attribute.Int("http.request.body.size", len(d.Body)),
		attribute.String("countersign.endpoint", d.Endpoint), attribute.String("countersign.partner", s.r.o.Registry.Read().Owner(d.Endpoint)),
		attribute.String("countersign.format", d.Format), attribute.String("countersign.change.type", d.Type),
		attribute.String("countersign.webhook_id", d.WebhookID), attribute.Int("countersign.attempt", d.Failures+1),
		attribute.String("countersign.outcome", string(out.Outcome)), attribute.String("countersign.reason", out.Reason),
		attribute.Bool("countersign.connection.reused", a.Reused))
	if d.Failures > 0 {
		attrs = append(attrs, attribute.Int("http.request.resend_count", d.Failures))
	}
	if a.Code > 0 {
		attrs = append(attrs, attribute.Int("http.response.status_code", a.Code))
	}
	failed := ""
	if out.Outcome != outbox.Done {
		failed = out.Reason
	}
	j.span.End(now, failed, attrs...)
}
