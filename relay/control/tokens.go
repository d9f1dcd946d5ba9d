package control

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"countersign/relay/control/api"
	"countersign/relay/registry"
)

const (
	useEvery = time.Minute // how much of when each token was last used may be lost in a crash
	maxMade  = 1000
)

// Where a token comes from.
const (
	fromConfig = "config" // or the data directory
	fromMade   = "made"
)

// madeToken is a token made at run time as it is kept: its digest, never itself.
type madeToken struct {
	SHA256    string    `json:"sha256"`
	Scope     Scope     `json:"scope"`
	Partner   string    `json:"partner,omitempty"`
	MadeAt    time.Time `json:"made_at"`
	MadeBy    string    `json:"made_by"`
	ExpiresAt time.Time `json:"expires_at,omitzero"` // zero: never
	RevokedAt time.Time `json:"revoked_at,omitzero"`
	RevokedBy string    `json:"revoked_by,omitempty"`
}

// holder is one token that is known, right or not any more.
type holder struct {
	Token
	from string
	made madeToken // zero where it is from the config

	used    atomic.Int64 // unix seconds; 0: never
	written atomic.Int64 // of used, what is in the file
}

// ended says why a token is refused: byExpired or byRevoked; "": it is not.
func (h *holder) ended(now time.Time) string {
	switch {
	case !h.made.RevokedAt.IsZero():
		return byRevoked
	case !h.made.ExpiresAt.IsZero() && !now.Before(h.made.ExpiresAt):
		return byExpired
	default:
		return ""
	}
}

// endedAt is when that was, or will be.
func (h *holder) endedAt() time.Time {
	if !h.made.RevokedAt.IsZero() {
		return h.made.RevokedAt
	}
	return h.made.ExpiresAt
}

// holders are all tokens that this gateway knows: those of the config, and those made while it
// runs, which are in the registry, in two copies. It is safe for use by several goroutines.
type holders struct {
	registry *registry.Registry // nil: there are none but the config's

	changing sync.Mutex // held while one is made or revoked, over the commit

	mu  sync.RWMutex // guards all
	all []*holder
}

// newHolders reads those that were made.
func newHolders(reg *registry.Registry, fixed []Token) (*holders, error) {
	ts := &holders{registry: reg}
	for _, t := range fixed {
		ts.all = append(ts.all, &holder{Token: t, from: fromConfig})
	}
	if reg == nil {
		return ts, nil
	}
	err := reg.Tokens(ts.read)
	for _, h := range ts.all {
		if err == nil {
			err = ts.readUse(h)
		}
	}
	return ts, err
}

// readUse finds out when a token was last used.
func (ts *holders) readUse(h *holder) error {
	if ts.registry == nil {
		return nil
	}
	return ts.registry.TokenUse(h.Name, func(v []byte) {
		if n, err := parseUse(v); err == nil {
			h.used.Store(n)
			h.written.Store(n)
		}
	})
}

// fix puts other tokens of the config in the place of those there were; those that were made stay.
// Whoever comes with one that has gone is refused from now on. When one that is new was last used
// is not known where that cannot be read.
func (ts *holders) fix(fixed []Token) (unread error) {
	ts.changing.Lock()
	defer ts.changing.Unlock()
	var all []*holder
	for _, t := range fixed {
		h := &holder{Token: t, from: fromConfig}
		if i := slices.IndexFunc(ts.all, func(o *holder) bool { return o.from == fromConfig && o.Token == t }); i >= 0 {
			h = ts.all[i]
		} else if err := ts.readUse(h); err != nil {
			unread = err
		}
		all = append(all, h)
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, h := range ts.all {
		if h.from == fromMade {
			all = append(all, h)
		}
	}
	ts.all = all
	return unread
}

// read takes one over from the registry, where each stands once or twice.
func (ts *holders) read(name string, v []byte) error {
	if slices.ContainsFunc(ts.all, func(h *holder) bool { return h.from == fromMade && h.Name == name }) {
		return nil
	}
	var m madeToken
	if err := json.Unmarshal(v, &m); err != nil {
		return fmt.Errorf("token %s: %w", name, err)
	}
	h := &holder{from: fromMade, made: m, Token: Token{Name: name, Scope: m.Scope, Partner: m.Partner}}
	if n, err := hex.Decode(h.SHA256[:], []byte(m.SHA256)); err != nil || n != len(h.SHA256) {
		return fmt.Errorf("token %s: its digest is none", name)
	}
	ts.all = append(ts.all, h)
	return nil
}

func parseUse(v []byte) (n int64, err error) {
	if v == nil {
		return 0, nil
	}
	return n, json.Unmarshal(v, &n)
}

// find returns whose token a text is, or why it is refused. It takes as long whichever it is.
func (ts *holders) find(text string, now time.Time) (found *holder, why string) {
	if text == "" {
		return nil, byMissing
	}
	sum := sha256.Sum256([]byte(text))
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	why = byUnknown
	for _, h := range ts.all {
		if subtle.ConstantTimeCompare(sum[:], h.SHA256[:]) == 1 {
			found, why = h, h.ended(now)
		}
	}
	return found, why
}

// end is when a token ends; zero: never, or it has gone.
func (ts *holders) end(t Token) time.Time {
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	for _, h := range ts.all {
		if h.SHA256 == t.SHA256 && h.Name == t.Name {
			return h.made.ExpiresAt
		}
	}
	return time.Time{}
}

// use notes that a token was used. It is in the file within useEvery, with a commit that others
// wait for or one soon after; nobody waits for that.
func (ts *holders) use(h *holder, now time.Time) {
	at := now.Unix()
	h.used.Store(at)
	before := h.written.Load()
	if ts.registry == nil || at-before < int64(useEvery/time.Second) || ts.registry.Low() || !h.written.CompareAndSwap(before, at) {
		return
	}
	ts.registry.NoteTokenUse(h.Name, fmt.Append(nil, at))
}

var (
	errNameTaken = errors.New("there is a token of this name")
	errTooMany   = fmt.Errorf("there are %d tokens, and none of them has ended; revoke some", maxMade)
	errNoToken   = errors.New("there is no token of this name")
	errFixed     = errors.New("this token is not one that was made here: it is in the config or in the data directory; remove it there, and reload")
)

// tokenName is how a token may be called: as in the config.
var tokenName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// make keeps a new token, in the place of one of its name that has ended: nil once that is on
// stable storage. It counts from then on.
func (ts *holders) make(ctx context.Context, name string, m madeToken, now time.Time, answer *registry.Answer) error {
	ts.changing.Lock()
	defer ts.changing.Unlock()
	ts.mu.RLock()
	gone, err := ts.place(name, now)
	ts.mu.RUnlock()
	if err != nil {
		return err
	}
	h := &holder{from: fromMade, made: m, Token: Token{Name: name, Scope: m.Scope, Partner: m.Partner}}
	if _, err := hex.Decode(h.SHA256[:], []byte(m.SHA256)); err != nil {
		return fmt.Errorf("the digest of token %s: %w", name, err)
	}
	v, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("keep token %s: %w", name, err)
	}
	instead := ""
	if gone != nil {
		instead = gone.Name
	}
	if err := ts.registry.KeepToken(ctx, name, v, instead, answer); err != nil {
		return fmt.Errorf("keep token %s: %w", name, err)
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.all = append(slices.DeleteFunc(ts.all, func(o *holder) bool { return o == gone }), h)
	return nil
}

// place says which token that has ended a new one takes the place of: one of its name, or, of too
// many, the one that ended first; nil: of none.
func (ts *holders) place(name string, now time.Time) (gone *holder, err error) {
	made := 0
	for _, h := range ts.all {
		switch over := h.from == fromMade && h.ended(now) != ""; {
		case h.Name == name && over:
			return h, nil
		case h.Name == name:
			return nil, errNameTaken
		case over && (gone == nil || h.endedAt().Before(gone.endedAt())):
			gone = h
		}
		if h.from == fromMade {
			made++
		}
	}
	switch {
	case made < maxMade:
		return nil, nil
	case gone == nil:
		return nil, errTooMany
	default:
		return gone, nil
	}
}

// revoke ends a token, which may be repeated. It is refused from now on; nil: and after a restart,
// for that is on stable storage.
func (ts *holders) revoke(ctx context.Context, name, actor string, now time.Time) error {
	ts.changing.Lock()
	defer ts.changing.Unlock()
	ts.mu.Lock()
	h, err := ts.revocable(name)
	if err != nil {
		ts.mu.Unlock()
		return err
	}
	if h.made.RevokedAt.IsZero() { // else it is only written again: the disk may have refused it before
		h.made.RevokedAt, h.made.RevokedBy = now, actor // before it is written: whatever the disk says, nobody passes with it here any more
	}
	m := h.made
	ts.mu.Unlock()
	v, err := json.Marshal(m)
	if err == nil {
		err = ts.registry.KeepToken(ctx, name, v, "", nil)
	}
	if err != nil {
		return fmt.Errorf("token %s is refused until the next start, and that it is revoked is not kept: %w", name, err)
	}
	return nil
}

// revocable finds a token that was made here, for whoever holds mu.
func (ts *holders) revocable(name string) (*holder, error) {
	fixed := false
	for _, h := range ts.all {
		switch {
		case h.Name != name:
		case h.from != fromMade:
			fixed = true
		default:
			return h, nil
		}
	}
	if fixed {
		return nil, errFixed
	}
	return nil, errNoToken
}

// list returns all of them, by name.
func (ts *holders) list(now time.Time) []api.Token {
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	views := make([]api.Token, 0, len(ts.all))
	for _, h := range ts.all {
		views = append(views, h.view(now))
	}
	slices.SortStableFunc(views, func(a, b api.Token) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.From, b.From))
	})
	return views
}
