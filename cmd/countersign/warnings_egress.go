package main

import (
	"crypto/x509"
	"slices"
	"time"
)

// expiresSoon is how long before its end a client certificate is a warning.
const expiresSoon = 14 * day

// egressWarnings are about how endpoints are reached.
func egressWarnings(cfg *Config, now time.Time) (all []problem) {
	warn := func(key, what, remedy string) {
		all = append(all, problem{File: cfg.Path, Key: key, What: what, Remedy: remedy})
	}
	if cfg.EgressProxy != nil && cfg.EgressProxy.InClear() {
		warn("egress.proxy_auth", "travels in clear to a proxy that is spoken to over http", "use an https proxy, or one that knows this machine by its address")
	}
	for i, p := range cfg.receivers() {
		for j := range p.Endpoints {
			e := &p.Endpoints[j]
			if leaf := e.TLS.Leaf(); leaf != nil {
				if what, remedy := doubtful(leaf, now); what != "" {
					warn(join(cfg.endpointKey(i, j), "tls.cert"), what, remedy)
				}
			}
		}
	}
	return all
}

// doubtful says why a server may refuse a client certificate; "": nothing is known of it. It may be
// renewed while the gateway runs, so it keeps nothing from starting.
func doubtful(leaf *x509.Certificate, now time.Time) (what, remedy string) {
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	const renew = "renew it in its place: the gateway follows the file"
	switch {
	case now.Before(leaf.NotBefore):
		return "is not valid before " + at(leaf.NotBefore), "compare the clock of this machine, or wait"
	case now.After(leaf.NotAfter):
		return "has expired, at " + at(leaf.NotAfter), renew
	case now.Add(expiresSoon).After(leaf.NotAfter):
		return "expires soon, at " + at(leaf.NotAfter), renew
	case len(leaf.ExtKeyUsage) > 0 && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth) && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny):
		return "is not made for clients (its extended key usage), so that servers may refuse it", "have one issued with client authentication"
	}
	return "", ""
}
