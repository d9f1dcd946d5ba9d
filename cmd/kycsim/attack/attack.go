// Package attack is everybody who has no business with a gateway, and everybody who merely speaks
// differently: raw HTTP, floods, early answers, addresses that may not be called, and calls that a
// token may not make.
//
// Its promise: what it expects stands here, by the standards and by the gateway's documents, and is
// not asked of the gateway; what was taken and who was called is seen from outside of it. It uses
// loopback only. Addresses that may not be called are tried in a network of their own, from which
// nothing leaves.
package attack

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"countersign/ingest/provider"
	"countersign/signing"
)

// Target is a running gateway, made with Config.
type Target struct {
	Callbacks string         // host:port
	Control   string         // base URL
	Token     string         // of an operator
	Roots     *x509.CertPool // whom its certificate is judged by; nil: it speaks plain HTTP
	Plaid     string         // host:port at which a source of Config asks for keys
	PID       int
	Dir       string // of Config, and of what the attacks write
}

// Section is one kind of attack and what came of it.
type Section struct {
	Name   string
	Tried  int
	Notes  []string // figures
	Faults []string // what should not have been
}

func (s *Section) fault(format string, args ...any) {
	s.Faults = append(s.Faults, fmt.Sprintf(format, args...))
}

func (s *Section) note(format string, args ...any) {
	s.Notes = append(s.Notes, fmt.Sprintf(format, args...))
}

// most faults that are printed of one section.
const most = 25

// Print writes the report and returns how many faults there are.
func Print(out io.Writer, sections []*Section) (faults int, err error) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, err = fmt.Fprintln(w, "attack\ttried\tfaults")
	for _, s := range sections {
		faults += len(s.Faults)
		if err == nil {
			_, err = fmt.Fprintf(w, "%s\t%d\t%d\n", s.Name, s.Tried, len(s.Faults))
		}
	}
	if err == nil {
		err = w.Flush()
	}
	for _, s := range sections {
		for _, n := range s.Notes {
			if err == nil {
				_, err = fmt.Fprintf(out, "%s: %s\n", s.Name, n)
			}
		}
		for i, f := range s.Faults {
			if err == nil && i < most {
				_, err = fmt.Fprintf(out, "FAULT %s: %s\n", s.Name, f)
			}
		}
	}
	return faults, err
}

// The secrets of Config's sources.
const (
	genuineKey = "sumsub-secret-of-an-attack"
	pathToken  = "path-token-of-an-attack" //nolint:gosec // it opens nothing
)

// Genuine is a callback that Sumsub could have sent, and that a source of Config accepts.
type Genuine struct {
	Path   string
	Header http.Header
	Body   []byte
}

// NewGenuine makes an approval of a subject, signed now.
func NewGenuine(source, subject string, live bool) (Genuine, error) {
	a, ok := provider.ByName("sumsub")
	if !ok {
		return Genuine{}, errors.New("there is no provider sumsub")
	}
	body, err := provider.Sample("sumsub", "approved", provider.SampleVars{
		Subject: subject, ProviderRef: subject + "-ref", SessionRef: subject + "-ses", EventID: subject + "-event", At: time.Now().Add(-time.Second), Livemode: live,
	})
	if err != nil {
		return Genuine{}, err
	}
	scheme, err := a.Scheme(nil)
	if err != nil {
		return Genuine{}, err
	}
	key, err := signing.ParseKey(genuineKey)
	if err != nil {
		return Genuine{}, err
	}
	g := Genuine{Path: "/v1/callbacks/" + source, Header: http.Header{"Content-Type": {"application/json"}}, Body: body}
	return g, scheme.Sign(g.Header, signing.Message{ID: subject, Time: time.Now(), Body: body}, signing.Keyring{key})
}

// lines are its headers as they stand in a request, each with its end.
func (g *Genuine) lines() string {
	var b strings.Builder
	for name, values := range g.Header {
		for _, v := range values {
			b.WriteString(name + ": " + v + "\r\n")
		}
	}
	return b.String()
}

// request is the whole of it.
func (g *Genuine) request() string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: gateway\r\n%sContent-Length: %d\r\n\r\n%s", g.Path, g.lines(), len(g.Body), g.Body)
}

// settled sends a genuine callback and waits until it has been applied, and so all that were taken
// before it.
func (t *Target) settled(ctx context.Context, subject string) error {
	g, err := NewGenuine("open", subject, false)
	if err != nil {
		return err
	}
	x, err := t.say(ctx, g.request())
	if err != nil {
		return err
	}
	if len(x.statuses) != 1 || x.statuses[0] != http.StatusOK {
		return fmt.Errorf("answered %v", x.statuses)
	}
	for range 1000 {
		if told, err := t.known(ctx, subject); err != nil || told {
			return err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fmt.Errorf("%s was answered 200 and is not known after ten seconds", subject)
}

// known reports whether the gateway has applied anything about a subject.
func (t *Target) known(ctx context.Context, subject string) (bool, error) {
	status, body, err := t.call(ctx, http.MethodGet, "/v1/subjects/acme/"+subject, t.Token, "")
	switch {
	case err != nil:
		return false, err
	case status == http.StatusOK:
		return true, nil
	case status == http.StatusNotFound:
		return false, nil
	default:
		return false, fmt.Errorf("subject %s: %d %s", subject, status, body)
	}
}

// call asks the control listener.
func (t *Target) call(ctx context.Context, method, path, token, body string) (status int, answer string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, t.Control+path, strings.NewReader(body))
	if err != nil {
		return 0, "", fmt.Errorf("call the control listener: %w", err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", fmt.Errorf("call the control listener: %w", err)
	}
	defer res.Body.Close() //nolint:errcheck // read to its end or given up
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res.StatusCode, string(b), err
}
