package ingest

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"countersign/ingest/journal"
	"countersign/ingest/provider"
	"countersign/kyc"
	"countersign/signing"
)

// probe is an adapter whose bodies say what becomes of them.
type probe struct {
	translated atomic.Int64
}

func (p *probe) adapter() provider.Adapter {
	return provider.Adapter{
		Name: "probe", Version: 3, Evidence: kyc.Signed,
		Scheme:    func(provider.Options) (signing.Scheme, error) { return p, nil },
		Translate: p.translate,
	}
}

// keysFor is a provider that publishes its keys: it answers by what the callback says of its key.
func (p *probe) keysFor(_ context.Context, h signing.Header, _ []byte, _ netip.Addr) (signing.Keyring, error) {
	switch kid := h.Values("X-Key"); {
	case len(kid) == 0:
		return nil, signing.ErrMissing
	case kid[0] == "unreachable":
		return nil, fmt.Errorf("%w: no route", provider.ErrNoKey)
	case kid[0] == "unknown":
		return nil, signing.ErrMismatch
	}
	k, err := signing.ParseKey(hmacKey)
	return signing.Keyring{k}, err
}

var probeScheme = signing.BodyHMAC{Header: "X-Probe", Encoding: signing.Hex}

// Sign implements signing.Scheme.
func (p *probe) Sign(h signing.Header, m signing.Message, keys signing.Keyring) error {
	return probeScheme.Sign(h, m, keys)
}

// Verify panics where the body asks for it, else it is the usual one.
func (p *probe) Verify(h signing.Header, body []byte, keys signing.Keyring, now time.Time) error {
	if text := string(body); strings.HasPrefix(text, "panic in verify") {
		panic(text)
	}
	return probeScheme.Verify(h, body, keys, now)
}

func (p *probe) translate(_ signing.Header, body []byte, _ provider.Options) (provider.Result, error) {
	p.translated.Add(1)
	word, rest, _ := strings.Cut(string(body), ":")
	u := kyc.Update{Subject: kyc.Subject{ID: "user-1"}, Scope: kyc.Overall, Check: kyc.Screening, Status: kyc.Pending}
	switch word {
	case "ignored":
		return provider.Result{Ignored: "carries no status"}, nil
	case "nothing":
		return provider.Result{}, nil
	case "fetch":
		return provider.Result{Fetch: []provider.Fetch{{Ref: "r", What: "w"}}}, nil
	case "weak": // an approval, and how to have it confirmed
		u.Status = kyc.Approved
		return provider.Result{Updates: []kyc.Update{u}, Fetch: []provider.Fetch{{Ref: "r", What: "w", Confirms: true}}}, nil
	case "fault":
		return provider.Result{Ignored: "broken", Fault: true}, nil
	case "handshake":
		return provider.Result{Ignored: "a challenge", Reply: []byte("challenge-17")}, nil
	case "subject": // an adapter that takes whatever stands there
		u.Subject.ID = rest
		return provider.Result{Updates: []kyc.Update{u}}, nil
	case "ref":
		u.Verification.Ref = rest
		return provider.Result{Updates: []kyc.Update{u}}, nil
	case "fetches":
		return provider.Result{Fetch: []provider.Fetch{{Ref: rest, What: "w"}}}, nil
	case "reply":
		return provider.Result{Updates: []kyc.Update{u}, Reply: []byte("thanks")}, nil
	case "keep":
		u.Status = kyc.InReview
		return provider.Result{Updates: []kyc.Update{u}, KeepBody: true}, nil
	case "held":
		return provider.Result{Hold: provider.Holds[int(body[len(body)-1]-'0')]}, nil
	case "panic":
		panic(fmt.Errorf("cannot make sense of %s", body))
	case "index":
		return provider.Result{Ignored: string(body[len(body)])}, nil
	default:
		return provider.Result{}, fmt.Errorf("%w: no such word", provider.ErrUnreadable)
	}
}

// faulty is the journal, or what a test makes of it.
type faulty struct {
	Appender
	mu    sync.Mutex // guards the fields below
	err   error
	gate  chan struct{} // while set, calls wait for it
	calls int
}

func (f *faulty) set(err error, gate chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err, f.gate = err, gate
}

func (f *faulty) called() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

func (f *faulty) before(ctx context.Context) error {
	f.mu.Lock()
	err, gate := f.err, f.gate
	f.calls++
	f.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

// Append implements Appender.
func (f *faulty) Append(ctx context.Context, rs ...journal.Record) error {
	if err := f.before(ctx); err != nil {
		return err
	}
	return f.Appender.Append(ctx, rs...)
}

// Hold implements Appender.
func (f *faulty) Hold(ctx context.Context, item journal.Item, rs ...journal.Record) error {
	if err := f.before(ctx); err != nil {
		return err
	}
	return f.Appender.Hold(ctx, item, rs...)
}

// book keeps what is logged.
type book struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
