package provider

import (
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/signing"
)

// fuzzed are the adapters a fuzzer chooses from: all, or the one in COUNTERSIGN_FUZZ_ADAPTER, which
// `make fuzz` sets to each in turn.
func fuzzed(f *testing.F) []Adapter {
	f.Helper()
	name := os.Getenv("COUNTERSIGN_FUZZ_ADAPTER")
	if name == "" {
		return All
	}
	a, ok := ByName(name)
	if !ok {
		f.Fatalf("no adapter %s", name)
	}
	return []Adapter{a}
}

// FuzzTranslate: no body makes a translator panic, name somebody twice or nobody at all, leak text,
// or say something else the second time.
func FuzzTranslate(f *testing.F) {
	all := fuzzed(f)
	options := map[string][]Options{}
	for i, a := range all {
		options[a.Name] = []Options{nil}
		for _, x := range fixtures(f, a) {
			f.Add(uint8(i), uint8(0), x.body)
			if len(x.options) > 0 && !slices.ContainsFunc(options[a.Name], func(o Options) bool { return asJSON(f, o) == asJSON(f, x.options) }) {
				options[a.Name] = append(options[a.Name], x.options)
			}
		}
	}
	f.Fuzz(func(t *testing.T, i, n uint8, body []byte) {
		a := all[int(i)%len(all)]
		o := options[a.Name][int(n)%len(options[a.Name])]
		r, err := a.Translate(http.Header{}, body, o)
		sound(t, a, r, err)
		again, _ := a.Translate(http.Header{}, body, o)
		if asJSON(t, again) != asJSON(t, r) {
			t.Errorf("translate is not a function of the body")
		}
	})
}

// FuzzAnswer: the same of what a provider's API answers.
func FuzzAnswer(f *testing.F) {
	var all []Adapter
	for _, a := range fuzzed(f) {
		if a.API != nil {
			all = append(all, a)
		}
	}
	if len(all) == 0 {
		f.Skip("the adapter has no API")
	}
	questionsOf := map[string][]Fetch{}
	for i, a := range all {
		for n, x := range questions(f, a) {
			questionsOf[a.Name] = append(questionsOf[a.Name], x.q)
			first, second := []byte{}, []byte{}
			if len(x.answers) > 0 {
				first = x.answers[0]
			}
			if len(x.answers) > 1 {
				second = x.answers[1]
			}
			f.Add(uint8(i), uint8(n), first, second)
		}
	}
	f.Fuzz(func(t *testing.T, i, n uint8, first, second []byte) {
		a := all[int(i)%len(all)]
		q := questionsOf[a.Name][int(n)%len(questionsOf[a.Name])]
		for _, answers := range [][][]byte{{first}, {first, second}} {
			if _, _, err := a.API.Next(q, answers, nil); err != nil {
				continue
			}
			r, err := a.API.Read(q, answers, nil)
			sound(t, a, r, err)
		}
	})
}

// FuzzForge: whatever stands under a genuine proof, only the bytes that it was made for are
// accepted as signed.
func FuzzForge(f *testing.F) {
	all := slices.DeleteFunc(slices.Clone(fuzzed(f)), func(a Adapter) bool { return a.Authenticity(nil) != kyc.Signed })
	if len(all) == 0 {
		f.Skip("the adapter signs nothing")
	}
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	type genuine struct {
		scheme signing.Scheme
		ring   signing.Keyring
		body   []byte
		h      http.Header
	}
	var proven []genuine
	for i, a := range all {
		s, err := a.Scheme(nil)
		if err != nil {
			f.Fatal(err)
		}
		g := genuine{scheme: s, ring: ring(f, firstKey(f, a)), body: fixtures(f, a)[0].body, h: http.Header{}}
		if err := s.Sign(g.h, signing.Message{ID: "m", Time: now, Body: g.body}, g.ring); err != nil {
			f.Fatal(err)
		}
		proven = append(proven, g)
		f.Add(uint8(i), g.body)
		f.Add(uint8(i), append([]byte(" "), g.body...))
	}
	f.Fuzz(func(t *testing.T, i uint8, body []byte) {
		g := proven[int(i)%len(proven)]
		if err := g.scheme.Verify(g.h, body, g.ring, now); (err == nil) != (string(body) == string(g.body)) {
			t.Errorf("%s: %v", all[int(i)%len(all)].Name, err)
		}
	})
}
