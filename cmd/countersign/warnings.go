package main

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"countersign/kyc"
	"countersign/outbox/store"
)

// warnings are what a config that works probably does not mean. `countersign check` prints them,
// and its answer stays yes.
func warnings(cfg *Config) (all []problem) {
	warn := func(key, what, remedy string) {
		all = append(all, problem{File: cfg.Path, Key: key, What: what, Remedy: remedy})
	}
	for i, others := range sharers(cfg.Sources) {
		for _, j := range others {
			what, remedy := shared(&cfg.Sources[j], &cfg.Sources[i])
			warn(fmt.Sprintf("sources[%d]", i), what, remedy)
		}
	}
	given := offers(cfg.Sources, gives)
	for i := range cfg.Partners {
		p := &cfg.Partners[i]
		by := given(p.ID)
		for _, r := range []struct {
			key             string
			required, usual []kyc.Check
		}{
			{"required", p.Policy.Required, defaultPolicy().Required},
			{"required_company", p.Policy.RequiredCompany, defaultPolicy().RequiredCompany},
		} {
			for _, c := range by.missing(r.required, r.usual) {
				warn(fmt.Sprintf("partners[%d].policy.%s", i, r.key), fmt.Sprintf("%s: no source of %s can give it, so that no person can be approved", c, p.ID),
					"correct the policy, or the source's check; docs/PROVIDERS.md says what each provider approves")
			}
		}
	}
	all = append(all, egressWarnings(cfg, time.Now())...)
	if host, _, err := net.SplitHostPort(cfg.Listen.Control); err == nil {
		if what := tooOpen(host); what != "" {
			warn("listen.control", what, closeIt)
		}
	}
	for _, w := range append(wideNetworks(cfg), shortKeys(cfg)...) {
		warn(w.Key, w.What, w.Remedy)
	}
	for _, f := range exposed(cfg) {
		warn("", f.String(), fmt.Sprintf("chmod 600 %s, and replace the secret if somebody may have read it", f.path))
	}
	return all
}

// doubt logs what a config that works probably does not mean.
func (g *gateway) doubt(cfg *Config) {
	for _, p := range append(wideNetworks(cfg), shortKeys(cfg)...) {
		g.log.Warn("config_warning", "key", p.Key, "what", p.What, "remedy", p.Remedy)
	}
	for _, f := range exposed(cfg) {
		g.log.Warn("file_open_to_others", "path", f.path, "mode", fmt.Sprintf("%04o", f.mode.Perm()), "remedy", "chmod 600")
	}
}

// exposedFile is a file with secrets that others than its owner may read or change.
type exposedFile struct {
	path string
	mode fs.FileMode
}

// String says what is wrong.
func (f exposedFile) String() string {
	return fmt.Sprintf("%s holds secrets, and others than its owner may read or change it (mode %04o)", f.path, f.mode.Perm())
}

// exposed lists them: of the config and of the data directory. What is not there yet is not listed.
func exposed(cfg *Config) (files []exposedFile) {
	for _, p := range slices.Concat(cfg.SecretFiles, store.Files(cfg.Data), []string{filepath.Join(cfg.Data, tokenFile)}) {
		if fi, err := os.Stat(p); err == nil && fi.Mode().Perm()&0o077 != 0 {
			files = append(files, exposedFile{p, fi.Mode()})
		}
	}
	return files
}

// shared says what follows from a secret that two sources have in common.
func shared(a, b *SourceConfig) (what, remedy string) {
	if a.Provider == b.Provider && a.Livemode != b.Livemode {
		return fmt.Sprintf("%s and %s are test and live with one secret: whoever may sign a test callback can approve a real person", a.Name, b.Name),
			"give each environment a secret of its own at the provider"
	}
	return fmt.Sprintf("%s and %s have a secret in common: a callback to one of them passes at the other, with other people and another check", a.Name, b.Name),
		"give each a secret of its own at the provider, or make one source of them"
}

// sharers names, for each source, those before it by whose secrets a callback of it is proved: of
// each secret the first that has it, and the first that is live where that is not, or a test.
func sharers(sources []SourceConfig) [][]int {
	owners := map[[sha256.Size]byte][]int{}
	all := make([][]int, len(sources))
	for i := range sources {
		for _, sum := range secretsOf(&sources[i]) {
			known := owners[sum]
			for _, j := range known {
				if j != i && !slices.Contains(all[i], j) {
					all[i] = append(all[i], j)
				}
			}
			if len(known) == 0 || len(known) == 1 && sources[known[0]].Livemode != sources[i].Livemode {
				owners[sum] = append(known, i)
			}
		}
	}
	return all
}

// secretsOf are digests of a source's keys, or of its token where that is all there is.
func secretsOf(s *SourceConfig) (sums [][sha256.Size]byte) {
	for _, k := range s.Keys {
		if public := k.Public(); public != "" {
			sums = append(sums, sha256.Sum256([]byte(public)))
		}
		k.With(func(secret []byte) { sums = append(sums, sha256.Sum256(secret)) })
	}
	if len(sums) == 0 && !s.Token.IsZero() {
		sums = append(sums, sha256.Sum256([]byte(s.Token.Reveal())))
	}
	return sums
}

// The widest networks that somebody who writes one can mean. fc00::/7 is IPv6's private space as a
// whole.
const (
	widest4 = 8
	widest6 = 16
)

var private6 = netip.MustParsePrefix("fc00::/7")

// wideNetworks lists the networks of the config that let in, or out, a large part of the Internet:
// all that allow and trusted_proxies are for is to name few.
func wideNetworks(cfg *Config) (all []problem) {
	look := func(key string, networks []netip.Prefix, what string) {
		for i, p := range networks {
			if wide(p) {
				all = append(all, problem{
					File: cfg.Path, Key: fmt.Sprintf("%s[%d]", key, i), What: fmt.Sprintf("%s is a large part of all addresses: %s", p, what),
					Remedy: fmt.Sprintf("name the networks you mean, none wider than /%d (IPv6: /%d)", widest4, widest6),
				})
			}
		}
	}
	look("trusted_proxies", cfg.TrustedProxies, "whoever is in it may say that a request comes from any address")
	for i := range cfg.Sources {
		look(fmt.Sprintf("sources[%d].allow", i), cfg.Sources[i].Allow, "whoever is in it may post")
	}
	look("egress.allow", cfg.EgressAllow, "endpoints and providers' APIs may be in private networks of it")
	return all
}

// wide reports whether a network is wider than anybody's. One of IPv4 written as IPv6 counts as
// what it is.
func wide(p netip.Prefix) bool {
	switch a := p.Addr(); {
	case a.Is4():
		return p.Bits() < widest4
	case a.Is4In6():
		return p.Bits() < 96+widest4
	case private6.Contains(a) && p.Bits() >= private6.Bits():
		return false
	default:
		return p.Bits() < widest6
	}
}
