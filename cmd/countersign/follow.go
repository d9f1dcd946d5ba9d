package main

import (
	"countersign/ingest"
	"countersign/ingest/provider"
	"countersign/ingest/stream"
	"countersign/kyc"
	"countersign/relay/send"
)

// startFollower follows the streams of providers that post nothing. Like the ingress it takes work
// in, so it stops before the relay.
func (g *gateway) startFollower(in *ingest.Ingress) error {
	o := stream.Options{
		Journal: g.journal, Take: in.Streamed, Logger: g.log, Metrics: g.metrics(), Control: send.Guard(g.cfg.Live(), g.cfg.EgressAllow),
	}
	o.Sources = followedSources(g.cfg)
	f, err := stream.New(o)
	if err != nil {
		return err
	}
	g.follower = f
	g.process.start("follower", f.Run)
	return nil
}

// followedSources are the sources whose provider posts nothing.
func followedSources(cfg *Config) (all []stream.Source) {
	for _, sc := range cfg.Sources {
		if s, ok := streamSource(sc); ok {
			all = append(all, s)
		}
	}
	return all
}

// streamSource is a configured source as the follower knows it; false: its provider posts
// callbacks.
func streamSource(sc SourceConfig) (stream.Source, bool) {
	a, ok := provider.ByName(sc.Provider)
	if !ok || a.Stream == nil {
		return stream.Source{}, false
	}
	s := stream.Source{Name: sc.Name, Adapter: a, Options: sourceOptions(sc), Live: sc.Livemode, MaxEvent: sc.MaxBody}
	if sc.API != nil {
		s.Base, s.Credentials = sc.API.URL, provider.Credentials{User: sc.API.User, Key: sc.API.Key}
	}
	return s, true
}

// proved is how far what an adapter's provider says with these options can be trusted: as far as a
// callback's proof goes, or, on a stream, as the connection that we opened.
func proved(a provider.Adapter, o provider.Options) kyc.Authenticity {
	if a.Stream != nil {
		return a.Evidence
	}
	return a.Authenticity(o)
}
