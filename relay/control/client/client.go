// Package client speaks to the control API of a gateway: one method for each call of its document,
// in the types of relay/control/api.
//
// What is safe to repeat is repeated when the gateway cannot be reached, is busy or is about to
// stop: reads, and orders under an Idempotency-Key, which are carried out once. How often and how
// long is bounded. Everything else is sent once: whoever gets an error that is no *Error does not
// know whether it was carried out.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"countersign/relay/control/api"
)

// Options of a Client. Base is required.
type Options struct {
	Base  string // such as http://127.0.0.1:8481
	Token string // "": none is sent, which is enough for what is for machines
	HTTP  *http.Client
	Tries int           // at most, of a call that is safe to repeat; 0: 3
	Rest  time.Duration // before the second try, doubled before each further one; 0: 100 ms. Retry-After goes first; neither is more than 5 s
	Most  time.Duration // that a call may take with all its tries; 0: five minutes. A stream may take as long as it wants
}

// Client is safe for concurrent use.
type Client struct{ o Options }

// New makes a client.
func New(o Options) *Client {
	if o.HTTP == nil {
		o.HTTP = http.DefaultClient
	}
	if o.Tries == 0 {
		o.Tries = 3
	}
	if o.Rest == 0 {
		o.Rest = 100 * time.Millisecond
	}
	if o.Most == 0 {
		o.Most = 5 * time.Minute
	}
	o.Base = strings.TrimSuffix(o.Base, "/")
	return &Client{o}
}

const (
	longestRest = 5 * time.Second
	maxAnswer   = 64 << 20 // bytes of an answer that are read
)

// Error is an answer that is not 200.
type Error struct {
	Status int
	Type   string // "": it has not the shape that every answer of a gateway has
	Code   string
	Param  string // the parameter, header or field that is wrong; "": none
	Text   string

	Problems []api.ConfigProblem // of a config that was refused: all that is wrong with it
}

// Error implements error.
func (e *Error) Error() string { return e.Text }

// Is reports whether an error is an answer with this code.
func Is(err error, code string) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}

// ErrUnreachable is wrapped by the error of a call that nobody answered.
var ErrUnreachable = errors.New("no gateway answers")

// call is one call as it is sent.
type call struct {
	method, path string
	query        url.Values
	ask          any    // nil: no body
	key          string // the Idempotency-Key; "": none
	match        string // If-Match: the state that a change is made of; "": any
	accept       int    // a status beside 200 that is no error; 0: none
}

// at puts names into the path of a call, each as one segment. One of dots only would otherwise be
// taken for a step in a file system, by whoever stands between us and the gateway.
func at(path string, names ...string) string {
	for _, name := range names {
		open, end := strings.Index(path, "{"), strings.Index(path, "}")
		segment := url.PathEscape(name)
		if strings.Trim(name, ".") == "" {
			segment = strings.ReplaceAll(name, ".", "%2E")
		}
		path = path[:open] + segment + path[end+1:]
	}
	return path
}

// do makes a call and decodes the answer.
func do[T any](ctx context.Context, c *Client, r call) (v T, err error) {
	b, err := c.bytes(ctx, r)
	if err == nil {
		err = json.Unmarshal(b, &v)
		if err != nil {
			err = fmt.Errorf("read the answer: %w", err)
		}
	}
	return v, err
}

// bytes makes a call, and makes it again if that is safe and may help.
func (c *Client) bytes(ctx context.Context, r call) (b []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Most)
	defer cancel()
	rest := c.o.Rest
	for try := 1; ; try++ {
		var after time.Duration
		if b, after, err = c.try(ctx, r); err == nil || try == c.o.Tries || !r.repeats(err) || ctx.Err() != nil {
			return b, err
		}
		select {
		case <-time.After(min(max(after, rest+rand.N(rest/2+1)), longestRest)): //nolint:gosec // no secret
		case <-ctx.Done():
			return nil, err
		}
		rest *= 2
	}
}

// repeats reports whether a call may be made again after an error: it is safe, and the error is one
// that passes.
func (r *call) repeats(err error) bool {
	if r.method != http.MethodGet && r.key == "" {
		return false
	}
	var e *Error
	if !errors.As(err, &e) {
		return errors.Is(err, ErrUnreachable)
	}
	switch e.Status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	default:
		return false
	}
}

// try makes a call once. after is how long the gateway would have us wait.
func (c *Client) try(ctx context.Context, r call) (b []byte, after time.Duration, err error) {
	resp, err := c.send(ctx, r)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	b, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case err != nil:
		return nil, 0, fmt.Errorf("read the answer: %w: %w", ErrUnreachable, err)
	case resp.StatusCode == http.StatusOK, resp.StatusCode == r.accept:
		return b, 0, nil
	}
	n, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	return nil, time.Duration(n) * time.Second, refusal(resp, b)
}

func (c *Client) send(ctx context.Context, r call) (*http.Response, error) {
	var body io.Reader
	if r.ask != nil {
		b, err := json.Marshal(r.ask)
		if err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	to := c.o.Base + r.path
	if len(r.query) > 0 {
		to += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, to, body)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	if c.o.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.o.Token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.key != "" {
		req.Header.Set("Idempotency-Key", r.key)
	}
	if r.match != "" {
		req.Header.Set("If-Match", r.match)
	}
	resp, err := c.o.HTTP.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w at %s: %w", ErrUnreachable, c.o.Base, err)
	}
	return resp, nil
}

// refusal reads an answer that is an error. What is none of a gateway's is told by its status.
func refusal(resp *http.Response, b []byte) error {
	var v api.Error
	e := &Error{Status: resp.StatusCode, Text: "the gateway answered " + resp.Status}
	if json.Unmarshal(b, &v) == nil && v.Error.Message != "" {
		e.Type, e.Code, e.Param, e.Text, e.Problems = v.Error.Type, v.Error.Code, v.Error.Param, v.Error.Message, v.Error.Problems
	} else if to := resp.Header.Get("Location"); to != "" {
		e.Text += ", and points to " + to
	}
	return e
}

// stream copies an answer as it comes, however long it is. One that ends early is an error.
func (c *Client) stream(ctx context.Context, out io.Writer, r call) error {
	resp, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		return refusal(resp, b)
	}
	if _, err := io.Copy(out, resp.Body); err != nil {
		return fmt.Errorf("not all of the answer was read: %w", err)
	}
	return nil
}
