package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"countersign/ingest/provider"
	"countersign/kyc"
	"countersign/signing"
)

// source is one account at one provider, seen from the provider: what it sends and how it signs.
type source struct {
	name   string
	script script
	bodies map[string]*template // by sample
	scheme signing.Scheme
	keys   signing.Keyring
}

// callback is one request to be sent, as often as it takes, with the same body.
type callback struct {
	body    []byte
	headers headers
	line    firedLine // what the ledger says of it
}

// newSource reads NAME:PROVIDER:KEYREF. own are scripts by provider that come before ours.
func newSource(spec string, own map[string]string) (*source, error) {
	parts := strings.SplitN(spec, ":", 3)
	if len(parts) != 3 || parts[0] == "" {
		return nil, fmt.Errorf("source %q is not NAME:PROVIDER:KEYREF", spec)
	}
	a, ok := provider.ByName(parts[1])
	if !ok {
		return nil, fmt.Errorf("source %s: there is no provider %q", parts[0], parts[1])
	}
	key, err := readKey(parts[2])
	if err != nil {
		return nil, fmt.Errorf("source %s: %w", parts[0], err)
	}
	s := &source{name: parts[0], bodies: map[string]*template{}}
	if s.scheme, err = a.Scheme(nil); err != nil {
		return nil, fmt.Errorf("source %s: %w", s.name, err)
	}
	k, err := signing.ParseKey(key)
	if err != nil {
		return nil, fmt.Errorf("source %s: %w", s.name, err)
	}
	s.keys = signing.Keyring{k}
	if text, ok := own[a.Name]; ok {
		s.script, err = parseScript(text)
	} else if s.script, ok = scripts[a.Name]; !ok {
		err = fmt.Errorf("provider %s has no script: name one, with samples out of %s", a.Name, strings.Join(provider.SampleEvents(a.Name), ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("source %s: %w", s.name, err)
	}
	for _, st := range append(append([]step(nil), s.script.once...), s.script.loop...) {
		if s.bodies[st.sample], err = cut(a.Name, st.sample); err != nil {
			return nil, fmt.Errorf("source %s: %w", s.name, err)
		}
	}
	return s, nil
}

// make fills c with the n-th event of a person, signed now.
func (s *source) make(c *callback, p *person, n int) error {
	st := s.script.step(n)
	v := provider.SampleVars{
		Subject: p.subject, ProviderRef: p.subject + "-ref", SessionRef: p.subject + "-ses", EventID: p.subject + "-e" + strconv.Itoa(n),
		At: p.at(n), Revision: n + 1,
	}
	c.body = s.bodies[st.sample].appendTo(c.body[:0], &v)
	c.headers = c.headers[:0]
	if err := s.scheme.Sign(&c.headers, signing.Message{ID: v.EventID, Time: time.Now(), Body: c.body}, s.keys); err != nil {
		return fmt.Errorf("sign a callback of %s: %w", s.name, err)
	}
	c.line = firedLine{Source: s.name, Subject: p.subject, N: n, At: v.At.UnixMilli(), Status: string(st.status)}
	return nil
}

// person is one subject whose events are sent one after the other.
type person struct {
	source  *source
	subject string
	began   time.Time
	order   []int // of its events, by place in provider time
	next    int   // in order
	later   *callback
}

// at is the provider's time of the n-th event. All of them lie before the first is sent, one
// resolution apart, so that none is ever in the future.
func (p *person) at(n int) time.Time {
	r := p.source.script.resolution
	return p.began.Add(-time.Duration(len(p.order)-n) * r).Truncate(r)
}

// headers are what a scheme has set, in the order it did.
type headers [][2]string

// Values returns every occurrence.
func (h *headers) Values(name string) (values []string) {
	for _, kv := range *h {
		if strings.EqualFold(kv[0], name) {
			values = append(values, kv[1])
		}
	}
	return values
}

// Set replaces every occurrence.
func (h *headers) Set(name, value string) {
	kept := (*h)[:0]
	for _, kv := range *h {
		if !strings.EqualFold(kv[0], name) {
			kept = append(kept, kv)
		}
	}
	*h = append(kept, [2]string{name, value})
}

// Add appends one.
func (h *headers) Add(name, value string) { *h = append(*h, [2]string{name, value}) }

// readKey follows env:NAME or file:/path. One newline at the end is not part of the secret.
func readKey(ref string) (string, error) {
	if name, ok := strings.CutPrefix(ref, "env:"); ok {
		if v := os.Getenv(name); v != "" {
			return v, nil
		}
		return "", fmt.Errorf("the environment variable %s is not set", name)
	}
	path, ok := strings.CutPrefix(ref, "file:")
	if !ok {
		return "", errors.New("a key reference is env:NAME or file:/path")
	}
	b, err := os.ReadFile(path) //nolint:gosec // the caller names it
	if err != nil {
		return "", fmt.Errorf("read the key: %w", err)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"), nil
}

// statusOf is for readers of ledgers, which hold plain texts.
func statusOf(changeType string) (kyc.Status, bool) {
	s, ok := strings.CutPrefix(changeType, "kyc.status.")
	return kyc.Status(s), ok && s != "expiring"
}
