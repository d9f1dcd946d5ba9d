package trace

import (
	"context"
	"time"

	oteltrace "go.opentelemetry.io/otel/trace"
)

// call is a call of the API that may make records.
type call struct {
	traceparent string
	began       time.Time
}

type callKey struct{}

// Called notes in a call's context the traceparent that it came with, if any, and when it came.
func Called(ctx context.Context, traceparent string, began time.Time) context.Context {
	return context.WithValue(ctx, callKey{}, call{traceparent, began})
}

// Own begins the span of a record that is made here and not of a callback: within a call of the API,
// if ctx is of one, or because time has come. name is the kind of the record; passed is as with
// Callback. Whoever calls has a token, so the call's word about sampling counts like that of a
// provider with a key.
func (t *Tracer) Own(ctx context.Context, name string) (s *Span, passed string) {
	c, called := ctx.Value(callKey{}).(call)
	kind := oteltrace.SpanKindServer
	if !called {
		c.began, kind = time.Now(), oteltrace.SpanKindInternal
	}
	return t.first(name, kind, c.traceparent, true, c.began)
}
