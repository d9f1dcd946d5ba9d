package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"countersign/outbox/trace"
)

// startTracing makes what makes spans, and starts what sends them. It starts before whatever makes
// any, and so stops after all of that; without tracing in the config there is neither.
func (g *gateway) startTracing() error {
	cfg := g.cfg.Tracing
	if cfg == nil {
		return nil
	}
	c, err := newTracesTo(cfg)
	if err != nil {
		return err
	}
	q := newSpanQueue(otlptrace.NewUnstarted(c).ExportSpans, cfg.Timeout, g.log, g.metrics())
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sdktrace.AlwaysSample()), // whoever begins a span has decided
		sdktrace.WithSpanProcessor(q), sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "countersign"), attribute.String("service.version", version()), attribute.String("deployment.environment.name", g.cfg.Mode),
		)),
		sdktrace.WithRawSpanLimits(sdktrace.SpanLimits{
			AttributeValueLengthLimit: 256, AttributeCountLimit: 32, EventCountLimit: 16, LinkCountLimit: maxLinks, AttributePerEventCountLimit: 8, AttributePerLinkCountLimit: 8,
		}),
	)
	g.tracer = trace.New(trace.Options{Provider: provider, Sample: cfg.Sample, Random: rand.Uint64})
	g.process.start("traces", func(ctx context.Context) error {
		defer c.client.CloseIdleConnections()
		return q.run(ctx)
	})
	return nil
}

// maxLinks is to how many callbacks the span of a batch leads at most; the fold takes a thousand.
const maxLinks = 1024

// tracesTo posts spans as OTLP has it: protobuf over HTTP. It is an otlptrace.Client; the library's
// own brings gRPC along.
type tracesTo struct {
	cfg    *TracingConfig
	client *http.Client
}

// newTracesTo makes a client that goes where the config says and nowhere else: through no proxy of
// the environment, and after no redirect.
func newTracesTo(cfg *TracingConfig) (*tracesTo, error) {
	var authorities *x509.CertPool
	if cfg.CAFile != "" {
		text, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, err
		}
		authorities = x509.NewCertPool()
		authorities.AppendCertsFromPEM(text)
	}
	return &tracesTo{cfg: cfg, client: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext, TLSHandshakeTimeout: 5 * time.Second, TLSClientConfig: &tls.Config{RootCAs: authorities, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2: true, MaxIdleConns: 1, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10,
		},
	}}, nil
}

// Start implements otlptrace.Client.
func (*tracesTo) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (*tracesTo) Stop(context.Context) error { return nil }

// errNotTaken says that the same spans will be refused again.
var errNotTaken = errors.New("the collector refused them")

// UploadTraces implements otlptrace.Client. Errors hold nothing of what was posted, and nothing that
// the collector says.
func (c *tracesTo) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans}) // the same bytes as ExportTraceServiceRequest, whose package knows gRPC
	if err != nil {
		return fmt.Errorf("%w: %w", errNotTaken, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.cfg.Endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("User-Agent", "countersign/"+version())
	for _, h := range c.cfg.Headers {
		req.Header.Set(h.Name, h.Value.Reveal())
	}
	resp, err := c.client.Do(req)
	if err != nil {
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err
		}
		return err
	}
	defer resp.Body.Close()                                       //nolint:errcheck // it was read as far as it matters
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	switch resp.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout: // OTLP: again
		return fmt.Errorf("the collector answered %d", resp.StatusCode)
	default:
		return fmt.Errorf("%w: it answered %d", errNotTaken, resp.StatusCode)
	}
}
