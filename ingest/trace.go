package ingest

import (
	"time"

	"github.com/valyala/fasthttp"
	"go.opentelemetry.io/otel/attribute"

	"countersign/outbox/trace"
)

// way is what is noted of a callback for its trace, until it is answered. Without a Tracer, and of
// one that is not sampled, that is nothing.
type way struct {
	span    *trace.Span // nil: none is recorded
	drawn   bool        // whether it is sampled has been decided
	passed  string      // if so, the traceparent of what is made of it
	started int64       // when the span began, as elapsed tells time, and
	at      time.Time   // what the clock said then
}

// instant is now, where somebody may want to know.
func (w *way) instant(in *Ingress) int64 {
	if in.o.Tracer == nil || w == nil {
		return 0
	}
	return elapsed()
}

// clock is what the clock said at an instant.
func (w *way) clock(at int64) time.Time { return w.at.Add(time.Duration(at - w.started)) }

// clockAt is the same, before there is a span.
func clockAt(at int64) time.Time { return time.Now().Add(-time.Duration(elapsed() - at)) }

// follow decides whether a callback that was proved genuine is sampled, and returns when that was.
// It began at started, and its body was there at read.
func (in *Ingress) follow(m *message, read, started int64) (verified int64) {
	if in.o.Tracer == nil {
		return 0
	}
	w := m.way
	verified = elapsed()
	w.started, w.at, w.drawn = started, clockAt(started), true
	w.span, w.passed = in.o.Tracer.Callback(traceparent(m.h), m.src.keyed, w.at)
	w.span.Child("verify", w.clock(read), w.clock(verified))
	return verified
}

// step notes what was done since an instant.
func (w *way) step(name string, from int64) {
	if w.span != nil {
		w.span.Child(name, w.clock(from), w.clock(elapsed()))
	}
}

// appended notes that records, and perhaps a body that is kept, are on stable storage, or why not.
func (w *way) appended(from int64, records int, err error) {
	if w == nil || w.span == nil {
		return
	}
	attrs := []attribute.KeyValue{attribute.Int("countersign.records", records)}
	if err != nil {
		attrs = append(attrs, attribute.String("error.type", string(ofAppend(err))))
	}
	w.span.Child("journal.append", w.clock(from), w.clock(elapsed()), attrs...)
}

// traceparent leads from what is made of a message to its trace.
func (m *message) traceparent() string {
	if m.way != nil && m.way.drawn {
		return m.way.passed
	}
	return traceparent(m.h)
}

// traced is the span of a callback that is answered; nil: none is recorded. What was refused before
// it was proved genuine has had none so far.
func (in *Ingress) traced(w *way, started int64) *trace.Span {
	if in.o.Tracer != nil && !w.drawn {
		w.started, w.at = started, clockAt(started)
		w.span = in.o.Tracer.Refused(w.at)
	}
	return w.span
}

// endTrace ends the span of a callback that was answered so, and leaves nothing for the next one of
// its connection.
func endTrace(w *way, span *trace.Span, ctx *fasthttp.RequestCtx, src *source, v verdict) {
	at := w.clock(elapsed())
	*w = way{}
	if span == nil {
		return
	}
	attrs := append(make([]attribute.KeyValue, 0, 8),
		attribute.String("http.request.method", methodOf(ctx)), attribute.String("http.route", pathPrefix+"{source}"), attribute.Int("http.response.status_code", v.status()),
		attribute.String("countersign.verdict", string(v)))
	if src != nil {
		attrs = append(attrs, attribute.String("countersign.source", src.Name), attribute.String("countersign.provider", src.Adapter.Name))
	}
	if n := ctx.Request.Header.ContentLength(); n >= 0 {
		attrs = append(attrs, attribute.Int("http.request.body.size", n))
	}
	failed := ""
	if v.status() >= fasthttp.StatusInternalServerError { // what a sender did wrong is no failure of ours
		failed = string(v)
	}
	span.End(at, failed, attrs...)
}

// methodOf is a request's method, or what the conventions have in the place of one that is none.
func methodOf(ctx *fasthttp.RequestCtx) string {
	for _, m := range []string{"POST", "GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		if string(ctx.Method()) == m {
			return m
		}
	}
	return "_OTHER"
}
