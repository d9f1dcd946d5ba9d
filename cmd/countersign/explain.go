package main

import (
	"errors"
	"net/http"
	"time"

	"countersign/ingest"
	"countersign/ingest/journal"
	"countersign/relay/control"
	"countersign/relay/control/api"
)

// explain is what a source would make of a callback, for the control API.
func (g *gateway) explain(source string, h http.Header, body []byte, at time.Time) (v control.Explained, err error) {
	in := g.ingress.Load()
	if in == nil {
		return v, control.ErrNotNow
	}
	e, err := in.Explain(source, h, body, at)
	switch {
	case errors.Is(err, ingest.ErrNoSource):
		return v, control.ErrNoSource
	case errors.Is(err, ingest.ErrStream):
		return v, control.ErrStream
	case err != nil:
		return v, err
	}
	v = control.Explained{Provider: e.Provider, Proves: e.Proves, Needs: e.Needs, Genuine: e.Genuine, Verdict: e.Verdict, Why: e.Why, Steps: e.Steps, Updates: e.Updates}
	if m := e.Meaning; m != nil {
		v.Meaning = &control.Meaning{Disposition: m.Disposition, Error: m.Error, Ignored: m.Ignored, Hold: string(m.Hold), Updates: m.Updates}
		for _, f := range m.Fetch {
			v.Meaning.Fetch = append(v.Meaning.Fetch, api.Asked{What: f.What, Ref: f.Ref, Confirms: f.Confirms})
		}
	}
	return v, nil
}

// foresee is what a release of a body would come to.
func (g *gateway) foresee(item journal.Item) (v control.Foreseen, err error) {
	if item.Reason == journal.Oversized {
		rs, err := releaseRecord(item, time.Now())
		for i := range rs {
			v.Updates = append(v.Updates, *rs[i].Update)
		}
		return v, err
	}
	in := g.ingress.Load()
	if in == nil {
		return v, control.ErrNotNow
	}
	v.Updates, v.Kept, err = in.Foresee(item)
	return v, err
}

// sourceStates is how each source is.
func (g *gateway) sourceStates() (all []api.Source) {
	in := g.ingress.Load()
	if in == nil {
		return nil
	}
	for _, s := range in.Sources() {
		v := api.Source{
			Object: "source", Name: s.Name, Provider: s.Provider, Partner: s.Partner, PartnerFrom: s.PartnerFrom, Livemode: s.Livemode, Proves: string(s.Proves), Needs: string(s.Needs),
			Keys: s.Keys, Keyed: s.Keyed, Publishes: s.Published, Token: s.Token, Stream: s.Stream, Allow: s.Allow, Workflows: s.Workflows, Rate: s.Rate, MaxBody: s.MaxBody,
			Verdicts: s.Verdicts, Last: s.Last, Taken: s.Taken,
		}
		if !s.Stream {
			v.Certificate = in.CertificateEnds()
		}
		for _, k := range g.keepers.state(s.Name) {
			v.Published = append(v.Published, api.PubKey{ID: k.ID, Fetched: k.Fetched, Until: k.Until})
		}
		all = append(all, v)
	}
	return all
}
