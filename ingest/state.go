package ingest

import (
	"slices"
	"strings"
	"time"

	"countersign/kyc"
)

// SourceState is how a source is set up, and what has come to it since the process began.
type SourceState struct {
	Name, Provider       string
	Partner, PartnerFrom string
	Livemode             bool
	Proves               kyc.Authenticity // of each callback
	Needs                kyc.Authenticity // what an approval needs without confirmation
	Keys                 int              // that verify, the newest first
	Keyed                bool             // a key proves its callbacks
	Published            bool             // and the provider publishes it
	Token                bool             // its path has one
	Stream               bool             // it is followed, and nobody posts to it
	Allow                []string         // client addresses; none: any
	Workflows            []string         // whose approvals count; none: all
	Rate                 float64          // callbacks per second; 0: no limit
	MaxBody              int64            // bytes

	Verdicts map[string]uint64 // callbacks answered, by verdict; those that there were none of are left out
	Last     time.Time         // when the last one was answered; zero: none was
	Taken    time.Time         // and the last that was taken
}

// Sources says how each source is, by name.
func (in *Ingress) Sources() []SourceState {
	var all []SourceState
	for _, s := range in.set.Load().sources {
		all = append(all, s.state())
	}
	slices.SortFunc(all, func(a, b SourceState) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// CertificateEnds is when the TLS certificate of the listener ends; zero: it serves plain HTTP.
func (in *Ingress) CertificateEnds() time.Time {
	if in.o.TLS == nil {
		return time.Time{}
	}
	return in.o.TLS.ends()
}

func (s *source) state() SourceState {
	v := SourceState{
		Name: s.Name, Provider: s.Adapter.Name, Partner: s.Partner, PartnerFrom: s.PartnerFrom, Livemode: s.Livemode, Proves: s.proves, Needs: s.Evidence,
		Keys: len(s.Keys), Keyed: s.keyed, Published: s.KeysFor != nil, Token: len(s.Token) > 0, Stream: s.Adapter.Stream != nil,
		Workflows: s.Workflows, Rate: s.Rate, MaxBody: s.MaxBody, Verdicts: map[string]uint64{}, Last: instant(s.tally.came.Load()), Taken: instant(s.tally.taken.Load()),
	}
	for _, p := range s.Allow {
		v.Allow = append(v.Allow, p.String())
	}
	for _, verdict := range verdicts {
		if n := s.tally.callbacks.value(verdict); n > 0 {
			v.Verdicts[string(verdict)] = n
		}
	}
	return v
}

// seen notes that a callback was answered.
func (t *tally) seen(v verdict, now time.Time) {
	t.came.Store(now.UnixNano())
	if v.taken() {
		t.taken.Store(now.UnixNano())
	}
}

func instant(nanoseconds int64) time.Time {
	if nanoseconds == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanoseconds).UTC()
}
