package main

import (
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"countersign/relay/send"
)

// TracingConfig is where traces go, and how many.
type TracingConfig struct {
	Endpoint string // the whole URL that is posted to
	Headers  []TracingHeader
	Sample   float64 // the part of new traces that is sampled
	Timeout  time.Duration
	CAFile   string // "": the system's authorities
}

// TracingHeader is a header of every request to the collector.
type TracingHeader struct {
	Name  string
	Value Secret
}

func defaultTracing() *TracingConfig { return &TracingConfig{Sample: 1, Timeout: 10 * time.Second} }

func (l *loader) tracing(n *yaml.Node, at string) {
	c := defaultTracing()
	l.object(
		n, at,
		field{"endpoint", true, value(l, &c.Endpoint, tagText, parseCollector)},
		field{"headers", false, l.tracingHeaders(c)},
		field{"sample", false, value(l, &c.Sample, tagNumber, number(0, 1))},
		field{"timeout", false, value(l, &c.Timeout, tagDuration, duration(100*time.Millisecond, time.Minute))},
		field{"ca", false, value(l, &c.CAFile, tagText, l.parseFileRef)},
	)
	l.cfg.Tracing = c
	plain := strings.HasPrefix(c.Endpoint, "http:")
	if plain && len(c.Headers) > 0 && l.live() && !onThisMachine(c.Endpoint) {
		l.wrong(child(n, "endpoint"), join(at, "endpoint"), mistake{"the headers would travel in clear", "use https, or a collector on this machine"})
	}
	if c.CAFile == "" {
		return
	}
	text, err := os.ReadFile(c.CAFile)
	switch {
	case err != nil || !x509.NewCertPool().AppendCertsFromPEM(text):
		l.wrong(child(n, "ca"), join(at, "ca"), mistake{"holds no certificate of an authority", "name a PEM file that begins with -----BEGIN CERTIFICATE-----"})
	case plain:
		l.wrong(child(n, "ca"), join(at, "ca"), mistake{"is of no use: the endpoint is plain http", "use https, or remove it"})
	}
}

// parseCollector wants a URL; one without a path is completed as OTLP has it.
func parseCollector(s string) (string, *mistake) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return "", &mistake{"is no address of a collector", "write it like http://127.0.0.1:4318 (OTLP over HTTP; gRPC is not spoken)"}
	case u.User != nil:
		return "", &mistake{"holds a user or a password", "give them in headers: {Authorization: env:NAME}"}
	case u.RawQuery != "" || u.Fragment != "":
		return "", &mistake{"has a query or a fragment", "remove what follows the path"}
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/traces"
	}
	return u.String(), nil
}

func onThisMachine(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	host, _, err := net.SplitHostPort(u.Host)
	if err != nil {
		host = u.Host
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// tracingHeaders reads what a collector wants beside the spans. A value is the text itself, or a
// reference to a secret.
func (l *loader) tracingHeaders(c *TracingConfig) setter {
	return func(n *yaml.Node, at string) {
		l.pairs(n, at, func(name string, k, v *yaml.Node) {
			at := join(at, show(name))
			var text string
			before := len(l.problems)
			if l.plain(v, at) {
				value(l, &text, tagAny, l.parseHeaderValue)(v, at)
			}
			if len(l.problems) > before {
				return
			}
			if he, wrong := errors.AsType[*send.HeaderError](send.CheckHeader(name, text)); wrong {
				l.wrong(k, at, mistake{he.Problem, he.Remedy})
				return
			}
			c.Headers = append(c.Headers, TracingHeader{http.CanonicalHeaderKey(name), newSecret(text)})
		})
	}
}
