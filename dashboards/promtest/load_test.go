//go:build realprometheus

package promtest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"countersign/ingest/provider"
	"countersign/signing"
)

// post sends a callback. Whatever it is answered: much of the load is there to be refused.
func (g *town) post(ctx context.Context, path string, h http.Header, body io.Reader) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+g.callbacks+path, body)
	if err != nil {
		return
	}
	if h != nil {
		req.Header = h
	}
	if resp, err := g.client.Do(req); err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}

// said is what the generic provider says.
type said map[string]any

func (g *town) face(ctx context.Context, s said) {
	body, sign := s.signed()
	g.post(ctx, "/v1/callbacks/face", sign, bytes.NewReader(body))
}

func (s said) signed() ([]byte, http.Header) {
	if s["at"] == nil {
		s["at"] = time.Now().UTC().Format(time.RFC3339Nano)
	}
	body, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	mac := hmac.New(sha256.New, []byte(hmacKey))
	mac.Write(body)
	return body, http.Header{"X-Face-Signature": {hex.EncodeToString(mac.Sum(nil))}}
}

// slow is a body of which the last byte comes after a while.
type slow struct {
	rest []byte
	wait time.Duration
}

func (s *slow) Read(p []byte) (int, error) {
	switch len(s.rest) {
	case 0:
		return 0, io.EOF
	case 1:
		time.Sleep(s.wait)
	}
	n := copy(p, s.rest[:max(1, len(s.rest)-1)])
	s.rest = s.rest[n:]
	return n, nil
}

// load is what happens all the time until it is stopped.
func (g *town) load(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	every := func(pause time.Duration, f func(n int)) {
		all.Go(func() {
			tick := time.NewTicker(pause)
			defer tick.Stop()
			for n := 0; ; n++ {
				f(n)
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	run := strconv.FormatInt(time.Now().UnixNano(), 10)
	id := func(what string, n int) string { return fmt.Sprintf("%s-%s-%d", what, run, n) }
	every(200*time.Millisecond, func(n int) {
		g.person(ctx, n, id)
	})
	every(500*time.Millisecond, func(n int) { // bodies that come slowly: the answer takes longer than is promised
		body, h := said{"id": id("slow", n), "who": id("slow", n), "session": id("slow", n), "result": "clear"}.signed()
		go g.post(ctx, "/v1/callbacks/face", h, &slow{body, 1200 * time.Millisecond})
	})
	every(500*time.Millisecond, func(n int) { g.ask(ctx, n, id) })
	every(time.Second, func(int) { // strangers: no signature, no such source, a wrong token
		g.post(ctx, "/v1/callbacks/face", nil, bytes.NewReader([]byte(`{}`)))
		g.post(ctx, "/v1/callbacks/nobody", nil, bytes.NewReader([]byte(`{}`)))
		if req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.control+"/v1/endpoints", nil); err == nil {
			req.Header.Set("Authorization", "Bearer cs_wrong")
			if resp, err := http.DefaultClient.Do(req); err == nil {
				resp.Body.Close()
			}
		}
	})
	return func() { cancel(); all.Wait() }
}

// person is one of each kind, all about people of their own.
func (g *town) person(ctx context.Context, n int, id func(string, int) string) {
	who, session := id("user", n), id("session", n)
	tell := func(what string, more said) {
		s := said{"id": id(what, n), "who": who, "session": session}
		maps.Copy(s, more)
		g.face(ctx, s)
	}
	switch n % 7 {
	case 0: // ends soon: two timers
		tell("ends", said{"result": "clear", "until": time.Now().Add(3 * time.Second).UTC().Format(time.RFC3339)})
	case 1: // held behind a hit
		tell("hit", said{"result": "failed", "why": "LIST"})
		tell("after", said{"result": "clear"})
	case 2: // parked behind a final rejection
		tell("fake", said{"result": "failed", "why": "FAKE"})
		session = id("again", n)
		tell("after", said{"result": "clear"})
	case 3:
		tell("ahead", said{"result": "clear", "at": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)})
	case 4: // a word that is not known: applied as in_review, and kept
		tell("word", said{"result": "perhaps"})
	case 5:
		tell("begun", said{"result": "begun"})
		tell("ended", said{"result": "clear"})
	case 6:
		tell("marked", said{"result": "clear", "flow": marked})
	}
}

// marked is a text of records that can be found in the file.
const marked = "a-workflow-to-be-damaged"

// ask is callbacks that prove too little, or name a key that nobody has published.
func (g *town) ask(ctx context.Context, n int, id func(string, int) string) {
	if body, err := provider.Sample("jumio", "processed", provider.SampleVars{Subject: id("asked", n), At: time.Now()}); err == nil {
		g.post(ctx, "/v1/callbacks/asked/"+pathToken, nil, bytes.NewReader(body))
	}
	a, _ := provider.ByName("plaid_idv")
	scheme, err := a.Scheme(provider.Options{})
	if err != nil {
		return
	}
	body, err := provider.Sample("plaid_idv", "status_updated", provider.SampleVars{Subject: id("keyed", n), At: time.Now()})
	if err != nil {
		return
	}
	h := http.Header{}
	if scheme.Sign(h, signing.Message{ID: id("keyed", n), Time: time.Now(), Body: body}, signing.Keyring{unpublished(id("key", n))}) == nil {
		g.post(ctx, "/v1/callbacks/keyed", h, bytes.NewReader(body))
	}
}

// unpublished is a new key under a name.
func unpublished(name string) signing.Key {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	number := func(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
	point, err := k.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	secret, err := k.Bytes()
	if err != nil {
		panic(err)
	}
	text, err := json.Marshal(map[string]string{
		"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": name, "x": number(point[1:33]), "y": number(point[33:]), "d": number(secret),
	})
	if err != nil {
		panic(err)
	}
	key, err := signing.ParseKey(string(text))
	if err != nil {
		panic(err)
	}
	return key
}
