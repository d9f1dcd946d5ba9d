package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"countersign/ingest/provider"
)

// traceReceiver is a collector of the test's own: OTLP over HTTP, on loopback.
type traceReceiver struct {
	url string

	mu       sync.Mutex // guards the fields below
	status   int        // of its answers
	spans    []*tracepb.Span
	raw      []byte // all that came
	requests int
	header   http.Header // of the last
}

func newTraceReceiver(t *testing.T) *traceReceiver {
	t.Helper()
	r := &traceReceiver{status: http.StatusOK}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b, err := io.ReadAll(req.Body)
		var sent tracepb.TracesData
		if err == nil {
			err = proto.Unmarshal(b, &sent)
		}
		if err != nil || req.URL.Path != "/v1/traces" || req.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("%s %s: %v", req.URL, req.Header, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.requests++
		r.header = req.Header
		if r.status == http.StatusOK {
			r.raw = append(r.raw, b...)
			for _, of := range sent.GetResourceSpans() {
				for _, scope := range of.GetScopeSpans() {
					r.spans = append(r.spans, scope.GetSpans()...)
				}
			}
		}
		w.WriteHeader(r.status)
	}))
	t.Cleanup(s.Close)
	r.url = s.URL
	return r
}

func (r *traceReceiver) answers(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

func (r *traceReceiver) asked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests
}

// text is all that came, as bytes.
func (r *traceReceiver) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.raw)
}

// named are the spans of this name, in the order of their beginnings.
func (r *traceReceiver) named(name string) (all []*tracepb.Span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.spans {
		if s.GetName() == name {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b *tracepb.Span) int { return int(a.GetStartTimeUnixNano()) - int(b.GetStartTimeUnixNano()) })
	return all
}

// want waits for so many spans of a name.
func (r *traceReceiver) want(t *testing.T, name string, n int) []*tracepb.Span {
	t.Helper()
	eventually(t, fmt.Sprintf("%d spans %s", n, name), func() bool { return len(r.named(name)) >= n })
	all := r.named(name)
	if len(all) != n {
		t.Errorf("%d spans %s, want %d", len(all), name, n)
	}
	return all
}

// one waits for the only span of a name.
func (r *traceReceiver) one(t *testing.T, name string) *tracepb.Span {
	t.Helper()
	return r.want(t, name, 1)[0]
}

// traceparentOf leads to a span.
func traceparentOf(s *tracepb.Span) string {
	return "00-" + hex.EncodeToString(s.GetTraceId()) + "-" + hex.EncodeToString(s.GetSpanId()) + "-01"
}

// spanSays is an attribute of a span as text; "": it has none.
func spanSays(s *tracepb.Span, key string) string {
	for _, a := range s.GetAttributes() {
		if a.GetKey() != key {
			continue
		}
		switch v := a.GetValue().GetValue().(type) {
		case *commonpb.AnyValue_StringValue:
			return v.StringValue
		case *commonpb.AnyValue_IntValue:
			return strconv.FormatInt(v.IntValue, 10)
		case *commonpb.AnyValue_BoolValue:
			return strconv.FormatBool(v.BoolValue)
		}
	}
	return ""
}

// spanHas wants these attributes, given as key=value.
func spanHas(t *testing.T, s *tracepb.Span, want ...string) {
	t.Helper()
	for _, w := range want {
		key, value, _ := strings.Cut(w, "=")
		if got := spanSays(s, key); got != value {
			t.Errorf("%s: %s is %q, want %q", s.GetName(), key, got, value)
		}
	}
}

// childOf wants a span to stand in the trace of another, right below it.
func childOf(t *testing.T, s, parent *tracepb.Span) {
	t.Helper()
	if string(s.GetTraceId()) != string(parent.GetTraceId()) || string(s.GetParentSpanId()) != string(parent.GetSpanId()) {
		t.Errorf("%s (trace %x, parent %x) is no child of %s (trace %x, span %x)", s.GetName(), s.GetTraceId(), s.GetParentSpanId(), parent.GetName(), parent.GetTraceId(), parent.GetSpanId())
	}
}

// linked wants a span to lead to another by a link.
func linked(t *testing.T, s, to *tracepb.Span) {
	t.Helper()
	if !slices.ContainsFunc(s.GetLinks(), func(l *tracepb.Span_Link) bool {
		return string(l.GetTraceId()) == string(to.GetTraceId()) && string(l.GetSpanId()) == string(to.GetSpanId())
	}) {
		t.Errorf("%s has no link to %s: %v", s.GetName(), to.GetName(), s.GetLinks())
	}
}

// tracedPartner is a partner that keeps what it is sent, and answers with these codes in turn, the last again
// and again.
type tracedPartner struct {
	url string

	mu       sync.Mutex // guards the fields below
	codes    []int
	requests []tracedRequest
}

type tracedRequest struct{ traceparent, id, body string }

func newTracedPartner(t *testing.T, codes ...int) *tracedPartner {
	t.Helper()
	p := &tracedPartner{codes: codes}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.requests = append(p.requests, tracedRequest{req.Header.Get("Traceparent"), req.Header.Get("Webhook-Id"), string(b)})
		w.WriteHeader(p.codes[0])
		if len(p.codes) > 1 {
			p.codes = p.codes[1:]
		}
	}))
	t.Cleanup(s.Close)
	p.url = s.URL
	return p
}

func (p *tracedPartner) all() []tracedRequest {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// traced is a config with tracing to this address.
func traced(t *testing.T, hook, endpoint, more string) (config string) {
	t.Helper()
	dir, config := house(t, hook)
	write(t, dir, "collector.key", "Bearer collector-canary")
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, dir, "countersign.yaml", string(b)+"tracing: {endpoint: \""+endpoint+"\", headers: {Authorization: file:collector.key}"+more+"}\n")
}

// postTraced sends a genuine callback about somebody with this traceparent, and returns its body.
func postTraced(t *testing.T, g *gateway, subject, traceparent string, at time.Time) string {
	t.Helper()
	body, err := provider.Sample("sumsub", "approved", provider.SampleVars{Subject: subject, EventID: "evt-" + subject, At: at})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(g.cfg.Sources, func(s SourceConfig) bool { return s.Name == "sumsub-eu" })
	req, err := newCallback(t.Context(), &g.cfg.Sources[i], "http://"+g.cfg.Listen.Callbacks, body, at)
	if err != nil {
		t.Fatal(err)
	}
	if traceparent != "" {
		req.Header.Set("Traceparent", traceparent)
	}
	if err := give(fresh(), req); err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	return string(body)
}

// hanging takes connections and never answers.
func hanging(t *testing.T) (url string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return "http://" + ln.Addr().String()
}
