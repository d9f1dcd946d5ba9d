package main

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"countersign/ingest"
	"countersign/ingest/confirm"
	"countersign/ingest/provider"
	"countersign/relay"
	"countersign/relay/format"
	"countersign/signing"
)

// newSource turns a configured source into the ingress's.
func newSource(sc SourceConfig) (ingest.Source, error) {
	a, err := adapterOf(sc)
	if err != nil {
		return ingest.Source{}, err
	}
	s := ingest.Source{
		Name: sc.Name, Adapter: a, Options: sourceOptions(sc), Keys: sc.Keys, Partner: sc.Partner, PartnerFrom: sc.PartnerFrom,
		Check: sc.Check, Checks: sc.CheckByWorkflow, Workflows: sc.Workflows, Rate: sc.Rate, Livemode: sc.Livemode, Evidence: sc.Evidence, MaxBody: sc.MaxBody, Allow: sc.Allow,
	}
	if !sc.Token.IsZero() {
		k, err := signing.ParseKey(sc.Token.Reveal())
		if err != nil {
			return ingest.Source{}, fmt.Errorf("source %s: token: %w", sc.Name, err)
		}
		s.Token = signing.Keyring{k}
	}
	return s, nil
}

// sourceOptions are the adapter's options; a tolerance in the config is one of them, where the
// scheme has a timestamp.
func sourceOptions(sc SourceConfig) provider.Options {
	o := provider.Options{}
	maps.Copy(o, sc.Options)
	a, _ := provider.ByName(sc.Provider)
	if _, timed := a.Options["tolerance"]; timed && sc.Tolerance > 0 {
		o["tolerance"] = sc.Tolerance.String()
	}
	return o
}

// apiSource is a configured source as the confirmer knows it; false: its provider cannot be asked.
func apiSource(sc SourceConfig) (confirm.Source, bool) {
	a, ok := provider.ByName(sc.Provider)
	if !ok || a.API == nil {
		return confirm.Source{}, false
	}
	s := confirm.Source{Name: sc.Name, API: a.API, Options: sourceOptions(sc), Live: sc.Livemode}
	if sc.API != nil {
		s.Base, s.Rate = sc.API.URL, sc.API.Rate
		s.Credentials = provider.Credentials{User: sc.API.User, Key: sc.API.Key}
	}
	return s, true
}

func personRefs() map[string][]relay.RefKind {
	refs := map[string][]relay.RefKind{}
	for _, k := range provider.GenericPersonRefs {
		refs[provider.GenericName] = append(refs[provider.GenericName], relay.RefKind(k))
	}
	for _, a := range provider.All {
		for _, k := range a.PersonRefs {
			refs[a.Name] = append(refs[a.Name], relay.RefKind(k))
		}
	}
	return refs
}

// knownNames is what the config may name.
func knownNames() known {
	k := known{
		Providers: map[string]func(map[string]string) error{}, Formats: map[string]bool{},
		Asks: map[string]bool{}, Publishes: map[string]bool{}, Streams: map[string]bool{},
	}
	for _, a := range provider.All {
		k.Asks[a.Name] = a.API != nil
		k.Streams[a.Name] = a.Stream != nil
		k.Publishes[a.Name] = a.API != nil && a.API.Keys != nil
		k.Providers[a.Name] = func(options map[string]string) error {
			_, err := a.Scheme(options)
			return err
		}
	}
	k.Providers[provider.GenericName] = genericOptions
	k.Source, k.KeySizes, k.KeySize, k.KeySigns = checkSource, sourceKeySizes, endpointKeySize, endpointKeySigns
	for _, f := range format.All {
		k.Formats[f.Name] = true
	}
	k.Signing = signingHeaders()
	return k
}

// signingHeaders are the headers that formats set, found by having each sign something. A delivery
// keeps the format it was made in, so those of all are kept free.
func signingHeaders() map[string]bool {
	h := http.Header{}
	key, err := signing.NewKey([]byte(strings.Repeat("k", 32)))
	for _, f := range format.All {
		if err == nil {
			err = f.Scheme.Sign(h, signing.Message{ID: "msg", Time: time.Unix(1, 0), Body: []byte("{}")}, signing.Keyring{key})
		}
	}
	if err != nil {
		panic("a format cannot sign: " + err.Error()) // a test has seen each do it
	}
	names := map[string]bool{}
	for name := range h {
		names[http.CanonicalHeaderKey(name)] = true
	}
	return names
}

// checkSource finds what would keep a source from working, so that `countersign check` says it and
// not the first callback.
func checkSource(sc SourceConfig) (key string, m *mistake) {
	a, err := adapterOf(sc)
	if err != nil {
		return "", nil // said at the block itself
	}
	scheme, err := a.Scheme(sourceOptions(sc))
	if err != nil {
		return "options", &mistake{err.Error(), "see docs/PROVIDERS.md for what " + sc.Provider + " takes"}
	}
	if len(sc.Workflows) > 0 && a.Workflow == "" {
		return "workflows", &mistake{"are of no use: no update of this source names one, so that no person could be approved", "remove them"}
	}
	published := a.API != nil && a.API.Keys != nil
	switch {
	case signing.Keyless(scheme) && len(sc.Keys) > 0:
		return "keys", &mistake{"are of no use: with these options " + sc.Provider + " proves nothing that a key could check", "remove them, and give the source a token or allow"}
	case !signing.Keyless(scheme) && !published && len(sc.Keys) == 0:
		return "keys", &mistake{"is missing: " + sc.Provider + " proves its callbacks with one", "add keys: [env:NAME]"}
	case !signing.Keyless(scheme) && !published:
		if err := signing.CheckKeys(scheme, sc.Keys); err != nil {
			return "keys", &mistake{"cannot be used: " + err.Error(), "compare the secret with the provider's dashboard"}
		}
	}
	if sc.API != nil && a.API != nil && sc.API.URL == "" && a.API.Base(sc.Livemode) == "" {
		return "api.url", &mistake{"is missing: " + sc.Provider + " gives each account or region an address of its own", "add the address of your account's API"}
	}
	return "", nil
}
