package main

import (
	"fmt"

	"countersign/relay/format"
	"countersign/signing"
)

// minSecret is how many bytes of a key nobody may know but the two who share it: fewer can be tried
// out by whoever has caught one callback, for a signature tells when a guess is right. No provider
// that has an adapter hands out shorter ones.
const minSecret = 16

// sourceKeySizes are how many secret bytes each key of a source has. A source whose adapter cannot
// be built, or that has no keys, has none.
func sourceKeySizes(sc SourceConfig) (sizes []int) {
	a, err := adapterOf(sc)
	if err != nil {
		return nil
	}
	s, err := a.Scheme(sourceOptions(sc))
	if err != nil {
		return nil
	}
	for _, k := range sc.Keys {
		sizes = append(sizes, signing.SecretSize(s, k))
	}
	return sizes
}

// endpointKeySize is how many secret bytes a key of an endpoint has.
func endpointKeySize(name string, k signing.Key) int {
	f, _ := format.ByName(name)
	return signing.SecretSize(f.Scheme, k)
}

// endpointKeySigns is why a key cannot sign for an endpoint of a format; of one that is not in this
// program that is said elsewhere.
func endpointKeySigns(name string, k signing.Key) error {
	f, ok := format.ByName(name)
	if !ok {
		return nil
	}
	return signing.CheckSigning(f.Scheme, signing.Keyring{k})
}

func tooShort(size int) mistake {
	return mistake{
		fmt.Sprintf("has %d secret bytes, and live mode wants %d: a shorter one can be found by trying", size, minSecret),
		"make a longer one, such as openssl rand -hex 32 prints, and give it to both sides",
	}
}

// shortKeys lists what live mode would refuse, for a sandbox that is to become live.
func shortKeys(cfg *Config) (all []problem) {
	look := func(key string, size int) {
		if size < minSecret {
			m := tooShort(size)
			all = append(all, problem{File: cfg.Path, Key: key, What: m.what, Remedy: m.remedy})
		}
	}
	for i := range cfg.Sources {
		for j, size := range sourceKeySizes(cfg.Sources[i]) {
			look(fmt.Sprintf("sources[%d].keys[%d]", i, j), size)
		}
	}
	for i, p := range cfg.receivers() {
		for j := range p.Endpoints {
			e := &p.Endpoints[j]
			for n := range e.Keys {
				look(fmt.Sprintf("%s.keys[%d]", cfg.endpointKey(i, j), n), endpointKeySize(e.Format, e.Keys[n].Key))
			}
		}
	}
	return all
}
