package control

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"countersign/relay/registry"
)

// showAgain is how long a call that is sent again with its Idempotency-Key is shown the key, or the
// token, that it made: whoever lost the first answer can ask within that time.
const showAgain = time.Hour

// onceOnly are the calls that are being made with an Idempotency-Key.
type onceOnly struct {
	mu    sync.Mutex // guards under
	under map[string]bool
}

// begin reports whether nobody makes a call of this id.
func (o *onceOnly) begin(id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.under[id] {
		return false
	}
	if o.under == nil {
		o.under = map[string]bool{}
	}
	o.under[id] = true
	return true
}

func (o *onceOnly) end(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.under, id)
}

// again is the answer of a call that was made before, as it was given then. It changes nothing.
type again struct {
	json.RawMessage
}

// idle implements idle.
func (again) idle() bool { return true }

// once is a call that may carry an Idempotency-Key: with the same key, the same token gets the same
// answer, and nothing is done again, for 24 hours at the least and also after a restart. What it
// makes and its answer are written in one transaction, so that there is no moment at which the one
// is there without the other.
type once struct {
	s        *Server
	id, said string
}

// once finds out whether a call was made before. done: this is what it is answered. Else ends must
// be called when the call has been made, and o goes with the change.
func (s *Server) once(req *http.Request, t Token) (o *once, done any, ends func(), err error) {
	ends = func() {}
	key := req.Header.Get("Idempotency-Key")
	if key == "" {
		return nil, nil, ends, nil
	}
	body, err := held(req)
	if err != nil {
		return nil, nil, ends, err
	}
	o = &once{s: s, id: digest(t.Name, key), said: digest(req.Method, req.URL.RequestURI(), string(body))}
	if !s.calls.begin(o.id) {
		return nil, nil, ends, &problem{http.StatusConflict, "conflict", "idempotency_key_in_use", "a call with this Idempotency-Key is being made: wait, and send it again", "Idempotency-Key"}
	}
	a, ok, err := s.o.Registry.Answer(o.id)
	switch {
	case err == nil && !ok:
		return o, nil, func() { s.calls.end(o.id) }, nil
	case err == nil && a.Said != o.said:
		err = &problem{http.StatusConflict, "conflict", "idempotency_key_used", "this Idempotency-Key was used for another call", "Idempotency-Key"}
	case err == nil:
		done, err = shownAgain(&a, s.now())
	}
	s.calls.end(o.id)
	return nil, done, ends, err
}

// held reads the body of a call, which is still there after: nobody may be waited for by whoever
// sends it slowly.
func held(req *http.Request) ([]byte, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, bad("body", "the body cannot be read, or is too long")
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	return body, nil
}

// shownAgain is a kept answer, without the key, or the token, that it made when that was long ago.
func shownAgain(a *registry.Answer, now time.Time) (any, error) {
	if now.Sub(a.At) <= showAgain {
		return again{a.Body}, nil
	}
	var v map[string]json.RawMessage
	if err := json.Unmarshal(a.Body, &v); err != nil {
		return nil, fmt.Errorf("read a kept answer: %w", err)
	}
	delete(v, "key")
	delete(v, "token")
	delete(v, "secret")
	if made := v["replacement"]; made != nil {
		var key map[string]json.RawMessage
		if err := json.Unmarshal(made, &key); err != nil {
			return nil, fmt.Errorf("read a kept answer: %w", err)
		}
		delete(key, "secret")
		b, err := json.Marshal(key)
		if err != nil {
			return nil, err
		}
		v["replacement"] = b
	}
	b, err := json.Marshal(v)
	return again{b}, err
}

// answer is what the registry keeps of this call with a change; nil: it carries no key.
func (o *once) answer(view func(v registry.Version, key string) any) func(registry.Version, string) (registry.Answer, error) {
	if o == nil {
		return nil
	}
	return func(v registry.Version, key string) (registry.Answer, error) {
		a, err := o.keeps(view(v, key), v.At)
		if err != nil {
			return registry.Answer{}, err
		}
		return *a, nil
	}
}

// keeps is what is kept of this call, which is answered so; nil: it carries no key.
func (o *once) keeps(view any, now time.Time) (*registry.Answer, error) {
	if o == nil {
		return nil, nil
	}
	body, err := json.Marshal(view)
	return &registry.Answer{ID: o.id, At: now, Said: o.said, Body: body}, err
}

// digest is one of several texts, none of which can pass for a part of another.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p) //nolint:errcheck // a hash takes everything
	}
	return hex.EncodeToString(h.Sum(nil))
}
