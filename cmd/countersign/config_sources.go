package main

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"countersign/kyc"
	"countersign/relay"
	"countersign/signing"
)

func (l *loader) source(n *yaml.Node, at string) {
	s := SourceConfig{Livemode: l.live(), Evidence: kyc.Signed, MaxBody: 1 << 20}
	before := len(l.problems)
	ok := l.object(
		n, at,
		field{"name", true, l.named(&s.Name, "source")},
		field{"provider", true, value(l, &s.Provider, tagText, l.parseProvider)},
		field{"keys", false, l.list(false, appendTo(l, (*[]signing.Key)(&s.Keys), tagText, l.parseKey))},
		field{"partner", false, l.declaredPartner(&s.Partner)},
		field{"partner_from", false, value(l, &s.PartnerFrom, tagText, oneOf("subject_prefix", "submission"))},
		field{"check", false, l.check(&s)},
		field{"workflows", false, l.list(false, appendTo(l, &s.Workflows, tagAny, parseText))},
		field{"rate", false, value(l, &s.Rate, tagNumber, parseRate)},
		field{"tolerance", false, value(l, &s.Tolerance, tagDuration, parseTolerance)},
		field{"livemode", false, value(l, &s.Livemode, tagFlag, parseFlag)},
		field{"evidence", false, value(l, &s.Evidence, tagText, oneOf(kyc.Signed, kyc.Authenticated, kyc.Network))},
		field{"max_body", false, value(l, &s.MaxBody, tagSize, size(1<<10, 16<<20))},
		field{"token", false, value(l, &s.Token, tagText, l.parseToken)},
		field{"allow", false, l.prefixes(false, &s.Allow)},
		field{"options", false, l.texts(&s.Options)},
		field{"api", false, l.api(&s)},
		field{"generic", false, l.generic(&s.Generic)},
	)
	if !ok {
		return
	}
	switch {
	case !has(n, "partner") && !has(n, "partner_from"):
		l.wrong(n, join(at, "partner"), mistake{"is missing: no partner would be told", "add partner: ID, or partner_from: subject_prefix | submission"})
	case has(n, "partner") && has(n, "partner_from"):
		l.wrong(n, join(at, "partner_from"), mistake{"cannot be used with partner", "keep one of them"})
	}
	if s.Name == relay.ManualSource || s.Name == relay.SimulationSource {
		l.wrong(n, join(at, "name"), mistake{"is reserved for what no provider has said", "call it otherwise, such as " + s.Provider + "-eu"})
	}
	l.proofs(n, at, &s)
	l.genericBeside(n, at, &s)
	if _, twice := s.Options["tolerance"]; twice && has(n, "tolerance") {
		l.wrong(n, join(at, "options.tolerance"), mistake{"cannot be used with tolerance", "keep one of them"})
	}
	if options := l.known.Providers[s.Provider]; options != nil && len(l.problems) == before {
		if err := options(s.Options); err != nil {
			l.wrong(n, join(at, "options"), mistake{err.Error(), "see `countersign providers` for what " + s.Provider + " takes"})
		}
	}
	if l.known.Source != nil && len(l.problems) == before {
		if key, m := l.known.Source(s); m != nil {
			l.wrong(n, join(at, key), *m)
		}
	}
	if l.known.KeySizes != nil && l.live() && len(l.problems) == before {
		for i, size := range l.known.KeySizes(s) {
			if size < minSecret {
				l.wrong(child(n, "keys").Content[i], fmt.Sprintf("%s.keys[%d]", at, i), tooShort(size))
			}
		}
	}
	l.cfg.Sources = append(l.cfg.Sources, s)
}

// proofs checks that a source has something to know its provider by.
func (l *loader) proofs(n *yaml.Node, at string, s *SourceConfig) {
	if l.known.Streams[s.Provider] {
		l.followed(n, at, s)
		return
	}
	switch {
	case l.known.Publishes[s.Provider] && !has(n, "api"):
		l.wrong(n, join(at, "api"), mistake{"is missing: " + s.Provider + " publishes the keys of its callbacks through its API", "add api: {user: …, key: env:NAME}"})
	case l.known.Publishes[s.Provider] && has(n, "keys"):
		l.wrong(n, join(at, "keys"), mistake{"are not used: " + s.Provider + " publishes the keys of its callbacks through its API", "remove them"})
	case !has(n, "keys") && !has(n, "token") && !has(n, "allow") && !l.known.Publishes[s.Provider]:
		l.wrong(n, join(at, "keys"), mistake{"is missing: anybody could post", "add the provider's keys; where it has none, a token or allow"})
	}
	if has(n, "api") && s.Provider != "" && !l.known.Asks[s.Provider] {
		l.wrong(n, join(at, "api"), mistake{"is of no use: " + s.Provider + " is never asked", "remove it; docs/PROVIDERS.md says which providers can be asked"})
	}
}

// followed checks a source whose provider posts nothing: what is for callbacks would only seem to
// do something.
func (l *loader) followed(n *yaml.Node, at string, s *SourceConfig) {
	if !has(n, "api") {
		l.wrong(n, join(at, "api"), mistake{"is missing: " + s.Provider + " posts no callbacks, its stream is followed", "add api: {user: …, key: env:NAME}"})
	}
	for _, key := range []string{"keys", "token", "allow", "rate"} {
		if has(n, key) {
			l.wrong(n, join(at, key), mistake{"is of no use: " + s.Provider + " posts no callbacks", "remove it"})
		}
	}
}

// defaultQuestions are asked within an hour at the default rate.
const defaultQuestions = 10_000

// api reads an account at the provider's API.
func (l *loader) api(s *SourceConfig) setter {
	return func(n *yaml.Node, at string) {
		a := &APIConfig{Questions: defaultQuestions}
		l.object(
			n, at,
			field{"url", false, value(l, &a.URL, tagText, l.parseBase)},
			field{"user", false, value(l, &a.User, tagText, parseText)},
			field{"key", true, value(l, &a.Key, tagText, l.parseKey)},
			field{"rate", false, value(l, &a.Rate, tagNumber, parseRate)},
			field{"questions", false, value(l, &a.Questions, tagNumber, whole(1, 1_000_000))},
		)
		s.API = a
	}
}

// parseBase wants the address of an API, to which paths are joined.
func (l *loader) parseBase(s string) (string, *mistake) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return "", &mistake{"is not the address of an API", "write it like https://api.example.com/v1, without a query and without credentials"}
	case u.Scheme == "http" && l.live():
		return "", &mistake{"credentials would travel in clear", "use https in live mode"}
	}
	if _, m := l.parseURL(s); m != nil {
		return "", m
	}
	return strings.TrimRight(s, "/"), nil
}

func (l *loader) parseProvider(s string) (string, *mistake) {
	if _, ok := l.known.Providers[s]; !ok {
		return "", &mistake{"unknown provider " + show(s), didYouMean(s, sortedKeys(l.known.Providers)) + "use one of those that `countersign providers` lists"}
	}
	return s, nil
}

// parseTolerance wants what timestamps can tell apart.
func parseTolerance(s string) (time.Duration, *mistake) {
	d, m := duration(time.Second, 7*day)(s)
	if m == nil && d%time.Second != 0 {
		return 0, &mistake{"is not in whole seconds, as signed timestamps are", "write it like 300s or 5m"}
	}
	return d, m
}

var tokenForm = regexp.MustCompile(`^[A-Za-z0-9._~-]{16,256}$`)

// parseToken wants a path segment that nobody guesses and no proxy rewrites.
func (l *loader) parseToken(ref string) (Secret, *mistake) {
	s, m := l.parseSecret(ref)
	if m == nil && !tokenForm.MatchString(s.Reveal()) {
		return Secret{}, &mistake{"the token is too short for a secret, or would not survive in a path", "use 16 to 256 of A-Z, a-z, 0-9 and -._~, such as openssl rand -hex 16 prints"}
	}
	return s, m
}

// check reads one check type, or a mapping of the provider's workflows.
func (l *loader) check(s *SourceConfig) setter {
	parse := oneOf(kyc.Checks...)
	return func(n *yaml.Node, at string) {
		if n.Kind != yaml.MappingNode {
			value(l, &s.Check, tagText, parse)(n, at)
			return
		}
		s.CheckByWorkflow = map[string]kyc.Check{}
		l.pairs(n, at, func(workflow string, k, v *yaml.Node) {
			at := join(at, show(workflow))
			if strings.TrimSpace(workflow) == "" {
				l.wrong(k, at, mistake{"is no workflow", "name it as the provider does"})
				return
			}
			var c kyc.Check
			if l.plain(v, at) {
				value(l, &c, tagText, parse)(v, at)
			}
			s.CheckByWorkflow[workflow] = c
		})
	}
}

// texts reads a mapping of plain values, which the adapter takes as text.
func (l *loader) texts(dst *map[string]string) setter {
	return func(n *yaml.Node, at string) {
		*dst = map[string]string{}
		l.pairs(n, at, func(key string, _, v *yaml.Node) {
			at := join(at, show(key))
			var s string
			if l.plain(v, at) {
				value(l, &s, tagAny, parseText)(v, at)
			}
			(*dst)[key] = s
		})
	}
}
