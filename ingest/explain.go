package ingest

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/ingest/journal"
	"countersign/ingest/provider"
	"countersign/kyc"
	"countersign/signing"
)

// Explanation is what a source would make of a callback.
type Explanation struct {
	Provider string
	Proves   kyc.Authenticity // of each callback of the source
	Needs    kyc.Authenticity // what an approval needs without confirmation
	Genuine  bool
	Verdict  string // that it would be answered with
	Why      string // of a callback that is refused or kept, in words that may be shown
	Steps    []string
	Meaning  *provider.Meaning // nil: it is not genuine, so it was not translated (I7)
	Updates  []kyc.Update      // that would be applied, with what only the source knows
}

// Why a callback cannot be explained.
var (
	ErrNoSource = errors.New("there is no such source in this gateway's config")
	ErrStream   = errors.New("this source takes no callbacks: its stream is followed")
)

// Explain says step by step why a source would take a callback or refuse it at an instant, and what
// it would mean. Nothing is written, counted or logged, and no provider is asked: of published keys
// those count that are known. It guesses at what went wrong, so it is for a person and never for
// the path of a callback.
func (in *Ingress) Explain(name string, h http.Header, body []byte, at time.Time) (Explanation, error) {
	src := in.set.Load().sources[name]
	switch {
	case src == nil:
		return Explanation{}, ErrNoSource
	case src.Adapter.Stream != nil:
		return Explanation{}, ErrStream
	}
	e := Explanation{Provider: src.Adapter.Name, Proves: src.proves, Needs: src.Evidence}
	keys, err := src.Keys, error(nil)
	if src.KeysFor != nil {
		keys, err = src.known(h)
	}
	if err == nil {
		err = src.scheme.Verify(h, body, keys, at)
		e.Steps = signing.Explain(src.scheme, h, body, keys, at)
	} else {
		e.Steps = []string{"The key that the callback names is not at hand: " + err.Error() + "."}
	}
	if err != nil {
		e.Verdict, e.Why = string(ofSignature(err)), err.Error()
		return e, nil
	}
	e.Genuine = true
	meaning, _ := src.Adapter.Meaning(h, body, src.Options)
	e.Meaning = &meaning
	quiet, alone := in.aside(src)
	m := &message{src: alone, h: h, body: body, now: at}
	m.translate()
	e.foresee(m, quiet.intake(m))
	return e, nil
}

// foresee says what an intake comes to.
func (e *Explanation) foresee(m *message, t journal.Intake) {
	e.Updates = updatesOf(t)
	switch {
	case t.Applied():
		e.Verdict = string(accepted)
	case t.Keep != nil:
		e.Verdict = string(quarantined)
	case m.res.Reply != nil:
		e.Verdict = string(handshake)
	default:
		e.Verdict, e.Why = string(ignored), m.res.Ignored
	}
	if t.Keep != nil {
		e.Why = t.Keep.Detail
	}
}

func updatesOf(t journal.Intake) (us []kyc.Update) {
	for i := range t.Records {
		if u := t.Records[i].Update; u != nil {
			us = append(us, *u)
		}
	}
	return us
}

// known are the keys that are at hand for a callback, of those that the provider publishes.
func (s *source) known(h signing.Header) (signing.Keyring, error) {
	if s.KnownKeys == nil {
		return nil, provider.ErrNoKey
	}
	return s.KnownKeys(h)
}

// aside is an ingress that serves nobody, and a source as it is for it: what they count and log is
// lost.
func (in *Ingress) aside(src *source) (*Ingress, *source) {
	quiet := &Ingress{o: in.o}
	quiet.o.Logger = slog.New(slog.DiscardHandler)
	alone := *src
	alone.tally = &tally{label: src.tally.label, ahead: uncounted{}, faults: uncounted{}}
	return quiet, &alone
}

// uncounted is a counter that counts nothing.
type uncounted struct{ prometheus.Counter }

// Inc implements prometheus.Counter.
func (uncounted) Inc() {}

// Add implements prometheus.Counter.
func (uncounted) Add(float64) {}

// Foresee says what Release would come to: its updates, and why the body would be kept on. Nothing
// is written, counted or logged. Errors are those of Release.
func (in *Ingress) Foresee(item journal.Item) (updates []kyc.Update, kept string, err error) {
	src := in.set.Load().sources[item.Source]
	if src == nil {
		return nil, "", fmt.Errorf("source %s: %w", item.Source, errNoSource)
	}
	quiet, alone := in.aside(src)
	quiet.set.Store(&set{sources: map[string]*source{item.Source: alone}})
	t, err := quiet.Release(item)
	if err != nil {
		return nil, "", err
	}
	if t.Keep != nil {
		kept = string(t.Keep.Reason)
	}
	return updatesOf(t), kept, nil
}
