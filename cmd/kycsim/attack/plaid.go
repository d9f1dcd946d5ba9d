package attack

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"countersign/ingest/provider"
	"countersign/signing"
)

// plaid is a provider that publishes its keys by their ids, and is asked for whatever id anybody
// names.
type plaid struct {
	server *http.Server
	asked  atomic.Int64

	mu   sync.Mutex        // guards keys
	keys map[string]string // private JWKs, by id
}

func newPlaid(ctx context.Context, addr string) (*plaid, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("play a provider: %w", err)
	}
	p := &plaid{keys: map[string]string{}}
	p.server = &http.Server{Handler: http.HandlerFunc(p.serve), ReadHeaderTimeout: patience, ErrorLog: quiet}
	go p.server.Serve(ln) //nolint:errcheck // it ends with its server
	return p, nil
}

func (p *plaid) serve(w http.ResponseWriter, r *http.Request) {
	var call struct {
		KeyID string `json:"key_id"`
	}
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path != "/webhook_verification_key/get" || json.NewDecoder(r.Body).Decode(&call) != nil {
		w.WriteHeader(http.StatusInternalServerError) // what it asks else is not answered in this attack
		return
	}
	p.asked.Add(1)
	p.mu.Lock()
	jwk, ok := p.keys[call.KeyID]
	p.mu.Unlock()
	if !ok {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error_type":"INVALID_INPUT","error_code":"INVALID_WEBHOOK_VERIFICATION_KEY_ID"}`) //nolint:errcheck // it may be gone
		return
	}
	var key map[string]any
	if json.Unmarshal([]byte(jwk), &key) != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	delete(key, "d")
	key["created_at"], key["expired_at"] = 1750000000, nil
	json.NewEncoder(w).Encode(map[string]any{"key": key, "request_id": "r"}) //nolint:errcheck,errchkjson,gosec // it may be gone
}

// rotate makes a key of this id.
func (p *plaid) rotate(kid string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	public, err := key.PublicKey.Bytes()
	if err != nil {
		return err
	}
	private, err := key.Bytes()
	if err != nil {
		return err
	}
	text := base64.RawURLEncoding.EncodeToString
	jwk, err := json.Marshal(map[string]string{
		"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid, "x": text(public[1:33]), "y": text(public[33:]), "d": text(private),
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys[kid] = string(jwk)
	return nil
}

// genuine is a callback signed with the key of this id.
func (p *plaid) genuine(kid string, n int) (string, error) {
	p.mu.Lock()
	jwk := p.keys[kid]
	p.mu.Unlock()
	a, ok := provider.ByName("plaid_idv")
	if !ok {
		return "", errors.New("there is no provider plaid_idv")
	}
	body, err := provider.Sample("plaid_idv", "status_updated", provider.SampleVars{Subject: "s", SessionRef: fmt.Sprintf("%s-%d", kid, n), At: time.Now()})
	if err != nil {
		return "", err
	}
	scheme, err := a.Scheme(nil)
	if err != nil {
		return "", err
	}
	key, err := signing.ParseKey(jwk)
	if err != nil {
		return "", err
	}
	g := Genuine{Path: "/v1/callbacks/published", Header: http.Header{}, Body: body}
	err = scheme.Sign(g.Header, signing.Message{ID: kid, Time: time.Now(), Body: body}, signing.Keyring{key})
	return g.request(), err
}

// forgedKey is a callback that anybody can make: right but for its signature, and with a key id of
// the forger's own.
func forgedKey(kid string) string {
	const body = `{"webhook_type":"IDENTITY_VERIFICATION","webhook_code":"STATUS_UPDATED","identity_verification_id":"idv_forged","environment":"sandbox"}`
	text := base64.RawURLEncoding.EncodeToString
	token := text([]byte(`{"alg":"ES256","kid":"`+kid+`","typ":"JWT"}`)) + "." +
		text([]byte(fmt.Sprintf(`{"iat":%d,"request_body_sha256":"%x"}`, time.Now().Unix(), sha256.Sum256([]byte(body))))) + "." + text([]byte(strings.Repeat("x", 64)))
	return fmt.Sprintf("POST /v1/callbacks/published HTTP/1.1\r\nHost: gateway\r\nPlaid-Verification: %s\r\nContent-Length: %d\r\n\r\n%s", token, len(body), body)
}

// unknownKeys: key ids that forgers invent must not keep the gateway from looking up, or knowing,
// the provider's own.
func unknownKeys(ctx context.Context, t *Target, s *Section, name string) error {
	p, err := newPlaid(ctx, t.Plaid)
	if err != nil {
		return err
	}
	defer p.server.Close() //nolint:errcheck // nothing depends on it
	if err := p.rotate("key-1"); err != nil {
		return err
	}
	if status, err := p.send(ctx, t, "key-1", 0); err != nil || status != http.StatusOK {
		s.fault("%s: a genuine callback before them: %d, %v", name, status, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	var forged atomic.Int64
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				forged.Add(int64(stream(ctx, from(w*31+i%31), t.Callbacks, forgedKey(fmt.Sprintf("forged-%d-%d", w, i)), 3)))
			}
		})
	}
	pause(ctx, time.Second)
	var statuses []int
	for i := range 40 {
		status, err := p.send(ctx, t, "key-1", i+1)
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			statuses = append(statuses, status)
		}
	}
	if len(statuses) > 0 {
		s.fault("%s: of 40 genuine callbacks beside them %d were answered %v", name, len(statuses), statuses)
	}
	if err := p.rotate("key-2"); err != nil {
		return err
	}
	for try := 1; ; try++ {
		status, err := p.send(ctx, t, "key-2", try)
		if err != nil {
			return err
		}
		if status == http.StatusOK {
			s.note("%s: %d forged callbacks, %d look-ups; 40 of 40 genuine ones taken, and the first with a new key at try %d, once a second", name, forged.Load(), p.asked.Load(), try)
			return nil
		}
		if try == 20 || status != http.StatusServiceUnavailable {
			s.fault("%s: a genuine callback with a new key beside them: %d at try %d", name, status, try)
			return nil
		}
		pause(ctx, time.Second)
	}
}

// send sends a genuine callback and returns how it was answered.
func (p *plaid) send(ctx context.Context, t *Target, kid string, n int) (int, error) {
	text, err := p.genuine(kid, n)
	if err != nil {
		return 0, err
	}
	x, err := t.say(ctx, text)
	if err != nil || len(x.statuses) == 0 {
		return 0, err
	}
	return slices.Max(x.statuses), nil
}
