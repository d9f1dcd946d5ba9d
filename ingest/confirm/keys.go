package confirm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"countersign/ingest/provider"
	"countersign/signing"
)

// The bounds of what is remembered of published keys. What the provider has once published a key
// for is proved and few; whoever forges can name as many ids as they like.
const (
	keyHolds   = 24 * time.Hour     // then a key is fetched anew, while it goes on serving
	keyServes  = 7 * 24 * time.Hour // since it was fetched, as long as the provider cannot be asked
	noKeyHolds = 5 * time.Minute
	maxKeys    = 256
	maxNone    = 4096
)

// KeyStore keeps what was looked up over a restart. KeepKey and DropKey are nil only when it is on
// stable storage. Public keys are no secrets, but what gives one back must notice that it was
// changed.
type KeyStore interface {
	Keys(source string) ([]PublishedKey, error)
	KeepKey(ctx context.Context, source string, k PublishedKey) error
	DropKey(ctx context.Context, source, id string) error
}

// PublishedKey is one key of a provider as it is kept.
type PublishedKey struct {
	ID      string    `json:"id"`
	Text    string    `json:"text"` // of the scheme's keyring, such as a JWK
	Fetched time.Time `json:"fetched"`
}

// KeysOptions of Keys. Source and Logger are required.
type KeysOptions struct {
	Source  Source
	Store   KeyStore // nil: a restart forgets
	Control Control  // judges the API's addresses; nil: every one may be called
	Logger  *slog.Logger
	Metrics *KeyMetrics // nil: nothing is counted
	Now     func() time.Time
}

// Keys looks up the keys that a provider publishes, and remembers them. Make it with NewKeys, and
// run it, for what has to be fetched anew. It is safe for concurrent use.
type Keys struct {
	o       KeysOptions
	s       *source
	now     func() time.Time
	expired *rate.Limiter // look-ups of ids that had a key once, while a callback waits
	wake    chan struct{}

	mu    sync.Mutex // guards what follows
	known map[string]*knownKey
	none  map[[sha256.Size]byte]time.Time // ids without a key, until when that is believed
	asks  map[string]*lookUp
	fair  fairness
	dirty []func(ctx context.Context) error // what the store has still to be told
}

// knownKey is an id that the provider has published a key for.
type knownKey struct {
	PublishedKey
	ring  signing.Keyring
	again time.Time // when it is fetched anew if somebody needs it
	due   bool      // somebody does
}

// lookUp is one question in flight, for everybody who needs its answer.
type lookUp struct {
	done chan struct{}
	key  *knownKey // nil: there is none, or it has expired
	err  error
}

// NewKeys makes the key look-up of a source whose API publishes keys, and reads what was kept of
// it.
func NewKeys(o KeysOptions) (*Keys, error) {
	src := o.Source
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
	if o.Now == nil {
		o.Now = time.Now
	}
	k := &Keys{
		o: o, s: &source{Source: src, client: newClient(src.Timeout, o.Control)}, now: o.Now, expired: rate.NewLimiter(knownLookUps, lookBurst),
		wake: make(chan struct{}, 1), known: map[string]*knownKey{}, none: map[[sha256.Size]byte]time.Time{}, asks: map[string]*lookUp{}, fair: newFairness(),
	}
	if err := k.load(); err != nil {
		return nil, fmt.Errorf("source %s: read its provider's keys: %w", src.Name, err)
	}
	return k, nil
}

// Callback is what of a callback a look-up needs. Nothing of it is proved.
type Callback struct {
	Header signing.Header
	Body   []byte
	Client netip.Addr
}

// For returns the key that a callback names. Errors wrap signing's where the callback is at fault,
// and provider.ErrNoKey where the provider could not be asked just now.
func (k *Keys) For(ctx context.Context, c Callback) (signing.Keyring, error) {
	kid, err := k.s.API.Keys.KeyID(c.Header)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	if ring := k.serving(kid); ring != nil {
		k.mu.Unlock()
		return ring, nil
	}
	l, mine := k.asks[kid], false
	if l == nil {
		if l, err = k.begin(kid, &c); err != nil {
			k.mu.Unlock()
			return nil, err
		}
		mine = true
	}
	k.mu.Unlock()
	if mine {
		k.lookUp(ctx, kid, l)
	}
	select {
	case <-l.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: the provider takes too long", provider.ErrNoKey)
	}
	switch {
	case l.err != nil:
		return nil, fmt.Errorf("%w: %w", provider.ErrNoKey, l.err)
	case l.key == nil:
		return nil, errNoSuchKey
	}
	return l.key.ring, nil
}

var errNoSuchKey = fmt.Errorf("%w: the provider has no such key", signing.ErrMismatch)

// serving returns the key of an id that had one when it was last asked for. A key that has had its
// day is fetched anew meanwhile, so that no callback waits for that.
func (k *Keys) serving(kid string) signing.Keyring {
	known := k.known[kid]
	now := k.now()
	if known == nil || now.Sub(known.Fetched) >= keyServes {
		return nil
	}
	if !now.Before(known.again) && !known.due {
		known.due = true
		k.stir()
	}
	return known.ring
}

// begin decides whether an id may be looked up while the callback waits, and by whose budget.
func (k *Keys) begin(kid string, c *Callback) (*lookUp, error) {
	sum := sha256.Sum256([]byte(kid))
	if until, ok := k.none[sum]; ok && k.now().Before(until) {
		return nil, errNoSuchKey
	}
	if plausible := k.s.API.Keys.Plausible; plausible != nil {
		if err := plausible(c.Header, c.Body, k.s.Options, k.now()); err != nil {
			return nil, err // whatever the key is
		}
	}
	var allowed bool
	if k.known[kid] != nil {
		allowed = k.expired.AllowN(k.now(), 1)
	} else {
		allowed = k.fair.allow(c.Client, kid, k.now())
	}
	if !allowed {
		k.o.Metrics.count(k.s.Name, keyPutOff)
		k.stir()
		return nil, fmt.Errorf("%w: too many unknown keys at once", provider.ErrNoKey)
	}
	l := &lookUp{done: make(chan struct{})}
	k.asks[kid] = l
	return l, nil
}

// Proved notes that a callback from this address was genuine: a new key is looked up for it before
// those that anybody else names.
func (k *Keys) Proved(client netip.Addr) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fair.proved(client, k.now())
}

// lookUp asks the provider once, for everybody who waits for this key, and remembers what it says.
func (k *Keys) lookUp(ctx context.Context, kid string, l *lookUp) {
	l.key, l.err = k.ask(ctx, kid)
	k.mu.Lock()
	delete(k.asks, kid)
	if l.key != nil && k.endedSince(kid, l.key.Fetched) {
		l.key = nil // this answer is older than the one that ended it
	}
	switch {
	case l.err != nil:
		k.o.Metrics.count(k.s.Name, keyFailed)
	case l.key == nil:
		k.o.Metrics.count(k.s.Name, keyNone)
		k.forget(kid)
	default:
		k.o.Metrics.count(k.s.Name, keyFound)
		k.remember(l.key)
	}
	k.mu.Unlock()
	close(l.done)
}

// ask returns nil where the provider says that there is no such key, or that it has expired. That a
// call is wrong (400) says so only of an id that never had a key: wrong credentials are answered
// the same way by some.
func (k *Keys) ask(ctx context.Context, kid string) (*knownKey, error) {
	asked := k.now() // an answer is no fresher than its question
	call, err := k.s.API.Keys.Call(kid)
	if err != nil {
		return nil, err
	}
	answer, err := k.s.call(ctx, call, k.now)
	if f := (*failure)(nil); errors.As(err, &f) && (f.outcome == notFound || f.bad && !k.had(kid)) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	text, expired, err := k.s.API.Keys.Read(answer)
	if err != nil || expired {
		return nil, err
	}
	return newKnownKey(PublishedKey{ID: kid, Text: text, Fetched: asked})
}

func newKnownKey(p PublishedKey) (*knownKey, error) {
	key, err := signing.ParseKey(p.Text)
	if err != nil {
		return nil, err
	}
	return &knownKey{PublishedKey: p, ring: signing.Keyring{key}, again: p.Fetched.Add(keyHolds)}, nil
}

func (k *Keys) had(kid string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.known[kid] != nil
}

// endedSince reports whether the provider has said since then that an id has no key. mu is held.
func (k *Keys) endedSince(kid string, then time.Time) bool {
	until, ok := k.none[sha256.Sum256([]byte(kid))]
	return ok && then.Before(until.Add(-noKeyHolds))
}

// remember keeps a key, in the place of the one fetched longest ago if there are too many.
func (k *Keys) remember(key *knownKey) {
	if k.known[key.ID] == nil && len(k.known) >= maxKeys {
		var oldest *knownKey
		for _, old := range k.known {
			if oldest == nil || old.Fetched.Before(oldest.Fetched) {
				oldest = old
			}
		}
		k.drop(oldest.ID)
	}
	k.known[key.ID] = key
	if s := k.o.Store; s != nil {
		k.dirty = append(k.dirty, func(ctx context.Context) error { return s.KeepKey(ctx, k.s.Name, key.PublishedKey) })
		k.stir()
	}
}

// forget remembers for a while that an id has no key, or none any more: that ends one at once.
func (k *Keys) forget(kid string) {
	k.drop(kid)
	for sum := range k.none {
		if len(k.none) < maxNone {
			break
		}
		delete(k.none, sum)
	}
	k.none[sha256.Sum256([]byte(kid))] = k.now().Add(noKeyHolds)
}

func (k *Keys) drop(kid string) {
	if k.known[kid] == nil {
		return
	}
	delete(k.known, kid)
	if s := k.o.Store; s != nil {
		k.dirty = append(k.dirty, func(ctx context.Context) error { return s.DropKey(ctx, k.s.Name, kid) })
		k.stir()
	}
}

// stir lets Run look at what there is to do.
func (k *Keys) stir() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}
