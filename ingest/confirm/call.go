package confirm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"syscall"
	"time"

	"countersign/ingest/provider"
)

// outcome is what came of asking once. Metric label and log field come from it.
type outcome string

// The outcomes.
const (
	answered      outcome = "answered"
	unsettled     outcome = "unsettled"      // the provider is still at work
	noCredentials outcome = "no_credentials" // the source cannot ask
	refused       outcome = "refused"        // 401, 403: the credentials, or what they may see
	notFound      outcome = "not_found"      // the provider knows nothing of the ref
	limited       outcome = "limited"        // 429
	failing       outcome = "failing"        // 5xx, and every other status
	unreachable   outcome = "unreachable"    // no connection, no TLS, no answer in time
	givenUp       outcome = "given_up"       // the provider knows nothing of what an unproved callback about an unknown ref named, again: it is asked no more
	unusable      outcome = "unusable"       // an answer that cannot be translated or belongs to nobody
)

var outcomes = []outcome{answered, unsettled, noCredentials, refused, notFound, limited, failing, unreachable, givenUp, unusable}

// failure is a try without an answer. Its text is made of fixed words and status codes.
type failure struct {
	outcome outcome
	after   time.Duration // the provider asks to be left alone for so long
	bad     bool          // 400: what we ask for does not exist in its eyes
	err     error
}

// Error implements error.
func (f *failure) Error() string { return f.err.Error() }

// Unwrap returns the cause.
func (f *failure) Unwrap() error { return f.err }

// Control judges an address that is about to be connected to, after the lookup, as
// net.Dialer.ControlContext does; nil: every address may be called.
type Control func(ctx context.Context, network, address string, conn syscall.RawConn) error

// newClient makes a client that follows nothing: where a provider's API sends us is not where the
// operator told us to bring the credentials. Go itself looks names up, for libc reads 0x7f.1 as an
// address.
func newClient(timeout time.Duration, control Control) *http.Client {
	dialer := &net.Dialer{Timeout: timeout, ControlContext: control, Resolver: &net.Resolver{PreferGo: true}}
	return &http.Client{
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: nil, DialContext: dialer.DialContext, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: atOnce, IdleConnTimeout: time.Minute,
			TLSHandshakeTimeout: timeout, ResponseHeaderTimeout: timeout, MaxResponseHeaderBytes: 64 << 10,
		},
	}
}

// token is an OAuth2 access token, kept until shortly before it runs out.
type token struct {
	mu    sync.Mutex // guards what follows; held while a new one is fetched, so that only one is
	value string
	until time.Time
}

// call makes one call of the API, with a fresh token if the one we had was not taken.
func (s *source) call(ctx context.Context, call provider.Call, now func() time.Time) ([]byte, error) {
	if s.API.TokenURL == nil {
		if err := s.API.Authorize(&call, s.Credentials, now()); err != nil {
			return nil, &failure{outcome: noCredentials, err: err}
		}
		return s.send(ctx, s.Base+call.Path, call)
	}
	for try := 0; ; try++ {
		bearer, err := s.bearer(ctx, now)
		if err != nil {
			return nil, err
		}
		call.Header = map[string]string{"Authorization": "Bearer " + bearer}
		body, err := s.send(ctx, s.Base+call.Path, call)
		if f := (*failure)(nil); try > 0 || !errors.As(err, &f) || f.outcome != refused {
			return body, err
		}
		s.token.drop(bearer)
	}
}

func (t *token) drop(value string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.value == value {
		t.value = ""
	}
}

// bearer returns a token that still holds, fetching one with the source's client credentials if
// need be.
func (s *source) bearer(ctx context.Context, now func() time.Time) (string, error) {
	s.token.mu.Lock()
	defer s.token.mu.Unlock()
	if s.token.value != "" && now().Before(s.token.until) {
		return s.token.value, nil
	}
	c := provider.Call{
		Method: http.MethodPost, Body: []byte("grant_type=client_credentials"),
		Header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
	}
	if err := provider.BasicAuth(&c, s.Credentials, now()); err != nil {
		return "", &failure{outcome: noCredentials, err: err}
	}
	body, err := s.send(ctx, s.API.TokenURL(s.Base), c)
	if err != nil {
		return "", err
	}
	var answer struct {
		Token   string `json:"access_token"`
		Expires int64  `json:"expires_in"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Token == "" {
		return "", &failure{outcome: unusable, err: errors.New("the token endpoint answered without a token")}
	}
	s.token.value = answer.Token
	s.token.until = now().Add(time.Duration(min(max(answer.Expires, 60), 86400))*time.Second - 30*time.Second)
	return s.token.value, nil
}

// send makes one request and returns the whole body of a 2xx, or, where it has more than maxAnswer,
// one byte more than that.
func (s *source) send(ctx context.Context, to string, call provider.Call) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, call.Method, to, bytes.NewReader(call.Body))
	if err != nil {
		return nil, &failure{outcome: unusable, err: errors.New("the call has no valid address")}
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "countersign")
	if call.Body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range call.Header {
		req.Header.Set(name, value)
	}
	res, err := s.client.Do(req)
	if err != nil {
		return nil, &failure{outcome: unreachable, err: plain(err)}
	}
	defer res.Body.Close() //nolint:errcheck // read to its end or given up
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, &failure{outcome: unreachable, err: errors.New("the answer broke off")}
	case res.StatusCode >= 200 && res.StatusCode < 300:
		return body, nil
	}
	return nil, ofStatus(res)
}

// ofStatus says what a status other than 2xx means.
func ofStatus(res *http.Response) *failure {
	f := &failure{outcome: failing, err: fmt.Errorf("the api answered %d", res.StatusCode)}
	switch res.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		f.outcome = refused
	case http.StatusBadRequest:
		f.bad = true
	case http.StatusNotFound, http.StatusGone:
		f.outcome = notFound
	case http.StatusTooManyRequests:
		f.outcome = limited
	default:
	}
	if n, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && n > 0 {
		f.after = time.Duration(min(n, int(maxWait/time.Second))) * time.Second
	}
	return f
}

// plain takes the URL out of an error: its path may hold an identity.
func plain(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
