package confirm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"countersign/ingest/provider"
	"countersign/signing"
)

// The bounds of what is remembered of published keys. Whoever forges can name as many keys as they like, so what does not exist is remembered for a short time,
// and looked up seldom.
const (
	keyHolds   = 24 * time.Hour
	noKeyHolds = 5 * time.Minute
	maxKeys    = 256
	lookUps    = 1 // a second
	lookBurst  = 10
)

// Keys looks up the keys that a provider publishes, and remembers them. Make it with NewKeys. It is safe for concurrent use.
type Keys struct {
	s     *source
	now   func() time.Time
	limit *rate.Limiter

	mu    sync.Mutex // guards known and asks
	known map[string]knownKey
	asks  map[string]*lookUp
}

type knownKey struct {
	ring  signing.Keyring // nil: there is no such key, or it has expired
	until time.Time
}

// lookUp is one question in flight, for everybody who needs its answer.
type lookUp struct {
	done chan struct{}
	key  knownKey
	err  error
}

// NewKeys makes the key look-up of a source whose API publishes keys.
func NewKeys(src Source, now func() time.Time) (*Keys, error) {
	if src.API == nil || src.API.Keys == nil {
		return nil, fmt.Errorf("source %s: its provider publishes no keys", src.Name)
	}
	if !src.canAsk() {
		return nil, fmt.Errorf("source %s: callbacks are proved with keys from the provider's api: set api.user and api.key", src.Name)
	}
	if src.Timeout == 0 {
		src.Timeout = time.Second // a callback waits for it, and has five to ten in all
	}
	if src.Base == "" {
		src.Base = src.API.Base(src.Live)
	}
	return &Keys{
		s: &source{Source: src, client: newClient(src.Timeout)}, now: now, limit: rate.NewLimiter(lookUps, lookBurst),
		known: map[string]knownKey{}, asks: map[string]*lookUp{},
	}, nil
}

// For returns the key that a callback names. Errors wrap signing's where the callback is at fault, and provider.ErrNoKey where the provider could not be asked.
func (k *Keys) For(ctx context.Context, h signing.Header) (signing.Keyring, error) {
	kid, err := k.s.API.Keys.KeyID(h)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	if known, ok := k.known[kid]; ok && k.now().Before(known.until) {
		k.mu.Unlock()
		return known.answer()
	}
	l := k.asks[kid]
	if l == nil {
		if !k.limit.Allow() {
			k.mu.Unlock()
			return nil, fmt.Errorf("%w: too many unknown keys at once", provider.ErrNoKey)
		}
		l = &lookUp{done: make(chan struct{})}
		k.asks[kid] = l
		k.mu.Unlock()
		k.lookUp(ctx, kid, l)
	} else {
		k.mu.Unlock()
	}
	select {
	case <-l.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: the provider takes too long", provider.ErrNoKey)
	}
	if l.err != nil {
		return nil, fmt.Errorf("%w: %w", provider.ErrNoKey, l.err)
	}
	return l.key.answer()
}

func (k knownKey) answer() (signing.Keyring, error) {
	if k.ring == nil {
		return nil, fmt.Errorf("%w: the provider has no such key", signing.ErrMismatch)
	}
	return k.ring, nil
}

// lookUp asks the provider once, for everybody who waits for this key, and remembers what it says.
func (k *Keys) lookUp(ctx context.Context, kid string, l *lookUp) {
	l.key, l.err = k.ask(ctx, kid)
	k.mu.Lock()
	delete(k.asks, kid)
	if l.err == nil {
		k.remember(kid, l.key)
	}
	k.mu.Unlock()
	close(l.done)
}

func (k *Keys) ask(ctx context.Context, kid string) (knownKey, error) {
	none := knownKey{until: k.now().Add(noKeyHolds)}
	call, err := k.s.API.Keys.Call(kid)
	if err != nil {
		return none, err
	}
	answer, err := k.s.call(ctx, call, k.now)
	if f := (*failure)(nil); errors.As(err, &f) && (f.outcome == notFound || f.bad) {
		return none, nil
	}
	if err != nil {
		return none, err
	}
	text, expired, err := k.s.API.Keys.Read(answer)
	if err != nil || expired {
		return none, err
	}
	key, err := signing.ParseKey(text)
	if err != nil {
		return none, err
	}
	return knownKey{ring: signing.Keyring{key}, until: k.now().Add(keyHolds)}, nil
}

// remember keeps a key, in the place of one that ran out, else of one that does not exist, else of the oldest.
func (k *Keys) remember(kid string, key knownKey) {
	if len(k.known) >= maxKeys {
		victim, worst := "", time.Time{}
		for id, old := range k.known {
			at := old.until
			if old.ring == nil {
				at = at.Add(-keyHolds)
			}
			if victim == "" || at.Before(worst) {
				victim, worst = id, at
			}
		}
		delete(k.known, victim)
	}
	k.known[kid] = key
}
