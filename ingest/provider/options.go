package provider

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"countersign/signing"
)

// allow refuses an option that its adapter does not know: a misspelt one must not silently leave
// the default in force.
func (o Options) allow(known map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if _, ok := known[name]; ok {
			continue
		}
		if len(known) == 0 {
			return fmt.Errorf("unknown option %q: there are none", name)
		}
		return fmt.Errorf("unknown option %q: allowed are %s", name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
	}
	return nil
}

// oneOf returns the value of an option that must be one of a few words, the first of which is its
// default.
func (o Options) oneOf(name string, words ...string) (string, error) {
	v, ok := o[name]
	if !ok {
		return words[0], nil
	}
	if !slices.Contains(words, v) {
		return "", fmt.Errorf("option %s: %q is not one of %s", name, v, strings.Join(words, ", "))
	}
	return v, nil
}

// tolerance returns how old a signed message may be. The word any (0) accepts any age, and not
// every scheme may.
func (o Options) tolerance(unset time.Duration, anyAllowed bool) (time.Duration, error) {
	v, ok := o["tolerance"]
	switch {
	case !ok:
		return unset, nil
	case v == "any" && anyAllowed:
		return 0, nil
	}
	d, err := time.ParseDuration(v)
	switch {
	case err == nil && d == 0 && anyAllowed:
		return 0, errors.New("option tolerance: 0 accepts nothing; write any to accept any age, or a duration such as 72h")
	case err != nil || d <= 0:
		return 0, fmt.Errorf("option tolerance: %q is not a duration such as 5m", v)
	}
	if d%time.Second != 0 {
		return 0, fmt.Errorf("option tolerance: %q is not in whole seconds, as the timestamps are", v)
	}
	return d, nil
}

// static builds the scheme of a fixed credential in a header from the options auth, which is one of
// these kinds (none, basic, bearer, header), the first if unset, and header.
func (o Options) static(kinds ...string) (signing.Scheme, error) {
	auth, err := o.oneOf("auth", kinds...)
	if err != nil {
		return nil, err
	}
	header := o["header"]
	switch {
	case auth != "header" && header != "":
		return nil, errors.New("option header: only auth: header reads it; remove it, or set auth: header")
	case auth == "none":
		return signing.Unsigned{}, nil
	case auth == "basic":
		return signing.Static{Header: "Authorization", Scheme: signing.Basic}, nil
	case auth == "bearer":
		return signing.Static{Header: "Authorization", Scheme: signing.Bearer}, nil
	case header == "" || strings.ContainsFunc(header, func(r rune) bool { return r != '-' && (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z') }):
		return nil, errors.New("option header: auth: header needs the name of a header, such as X-Countersign-Token")
	}
	return signing.Static{Header: header, Scheme: signing.Raw}, nil
}
