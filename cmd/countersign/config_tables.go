package main

import (
	"cmp"
	"crypto/tls"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"countersign/ingest"
	"countersign/kyc"
	"countersign/relay"
	"countersign/relay/registry"
	"countersign/relay/send"
	"countersign/signing"
)

// root reads the whole file. The order of the rows matters: mode and egress decide which URLs pass,
// sources and tokens name partners, and limits hold what sources take.
func (l *loader) root(n *yaml.Node) {
	c := l.cfg
	parseMode := oneOf(modeSandbox, modeLive)
	l.override("COUNTERSIGN_MODE", value(l, &l.mode, tagText, parseMode))
	l.object(
		n, "",
		field{"mode", false, value(l, &c.Mode, tagText, parseMode)},
		field{"data", false, value(l, &c.Data, tagText, parseText)},
		field{"listen", false, l.listen},
		field{"tls", false, l.tls},
		field{"trusted_proxies", false, l.prefixes(true, &c.TrustedProxies)},
		field{"egress", false, l.egress},
		field{"partners", true, l.list(true, l.partner)},
		field{"sources", true, l.list(true, l.source)},
		field{"operator", false, l.operator},
		field{"limits", false, l.limits},
		field{"kafka", false, l.kafka},
		field{"tracing", false, l.tracing},
		field{"storage", false, l.storage},
		field{"retention", false, l.retention},
		field{"tokens", false, l.list(true, l.token)},
		field{"log", false, l.log},
	)
	for _, look := range l.later {
		look()
	}
	c.Mode = cmp.Or(l.mode, c.Mode)
	l.override("COUNTERSIGN_DATA", value(l, &c.Data, tagText, parseText))
	l.override("COUNTERSIGN_LISTEN_CALLBACKS", value(l, &c.Listen.Callbacks, tagText, parseHostPort))
	l.override("COUNTERSIGN_LISTEN_CONTROL", value(l, &c.Listen.Control, tagText, parseHostPort))
	l.override("COUNTERSIGN_LISTEN_METRICS", value(l, &c.Listen.Metrics, tagText, parsePrivate))
	if m := c.Listen.Metrics; (m == c.Listen.Control || m == c.Listen.Callbacks) && !strings.HasSuffix(m, ":0") {
		l.wrong(n, "listen.metrics", mistake{"is the address of another listener", "give each its own"})
	}
	if c.Listen.Callbacks == c.Listen.Control && !strings.HasSuffix(c.Listen.Control, ":0") {
		l.wrong(n, "listen.control", mistake{"is the address of the callback listener", "give each its own: the control listener must not be public"})
	}
}

// override reads one variable, as if its text stood in the file. An empty one counts as unset.
func (l *loader) override(name string, set setter) {
	if v, ok := l.env(name); ok && v != "" {
		set(&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: v}, name)
		key := strings.ToLower(strings.TrimPrefix(name, "COUNTERSIGN_"))
		l.cfg.variables[strings.Replace(key, "listen_", "listen.", 1)] = name
	}
}

func (l *loader) live() bool { return cmp.Or(l.mode, l.cfg.Mode) == modeLive }

func (l *loader) prefixes(mayBeEmpty bool, dst *[]netip.Prefix) setter {
	return l.list(mayBeEmpty, appendTo(l, dst, tagText, parsePrefix))
}

// appendTo reads one item of a list.
func appendTo[T any](l *loader, dst *[]T, tags string, parse func(string) (T, *mistake)) setter {
	return func(n *yaml.Node, at string) {
		var v T
		before := len(l.problems)
		if value(l, &v, tags, parse)(n, at); len(l.problems) == before {
			*dst = append(*dst, v)
		}
	}
}

func (l *loader) listen(n *yaml.Node, at string) {
	l.object(
		n, at,
		field{"callbacks", false, value(l, &l.cfg.Listen.Callbacks, tagText, parseHostPort)},
		field{"control", false, value(l, &l.cfg.Listen.Control, tagText, parseHostPort)},
		field{"control_hosts", false, l.list(true, appendTo(l, &l.cfg.Listen.ControlHosts, tagText, parseHost))},
		field{"metrics", false, value(l, &l.cfg.Listen.Metrics, tagText, parsePrivate)},
		field{"idle_timeout", false, value(l, &l.cfg.Listen.IdleTimeout, tagDuration, duration(time.Second, time.Hour))},
	)
}

func (l *loader) parseFileRef(ref string) (string, *mistake) { return fileRef(ref, l.dir) }

// parseAuthorities wants a file of PEM certificates.
func (l *loader) parseAuthorities(ref string) (string, *mistake) {
	path, m := fileRef(ref, l.dir)
	if m != nil {
		return "", m
	}
	if _, err := ingest.ReadAuthorities(path); err != nil {
		return "", &mistake{"cannot be used: " + err.Error(), "name a PEM file with the certificates of the authorities that vouch for your providers or proxies, and nothing else"}
	}
	return path, nil
}

func (l *loader) tls(n *yaml.Node, at string) {
	c := &TLSConfig{}
	l.object(
		n, at,
		field{"cert", true, value(l, &c.CertFile, tagText, l.parseFileRef)},
		field{"key", true, value(l, &c.KeyFile, tagText, l.parseFileRef)},
		field{"client_ca", false, value(l, &c.ClientCAFile, tagText, l.parseAuthorities)},
	)
	if c.CertFile == "" || c.KeyFile == "" {
		return
	}
	if _, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile); err != nil {
		l.wrong(n, at, mistake{"certificate and key cannot be loaded: " + err.Error(), "name a PEM certificate (with its chain) and the PEM key that belongs to it"})
		return
	}
	l.cfg.TLS = c
	l.holdsSecret(c.KeyFile)
}

func (l *loader) storage(n *yaml.Node, at string) {
	c := &l.cfg.Storage
	l.object(
		n, at,
		field{"max_size", false, value(l, &c.MaxSize, tagSize, size(16<<20, 16<<40))},
		field{"backlog", false, value(l, &c.Backlog, tagNumber, whole[int64](1, 1e9))},
	)
}

func (l *loader) retention(n *yaml.Node, at string) {
	c := &l.cfg.Retention
	keep := func(dst *time.Duration) setter { return value(l, dst, tagDuration, duration(time.Hour, 100*year)) }
	l.object(
		n, at,
		field{"changes", false, keep(&c.Changes)},
		field{"attempts", false, keep(&c.Attempts)},
		field{"quarantine_bodies", false, keep(&c.QuarantineBodies)},
		field{"history", false, keep(&c.History)},
		field{"audit", false, keep(&c.Audit)},
	)
}

func (l *loader) log(n *yaml.Node, at string) {
	c := &l.cfg.Log
	l.object(
		n, at,
		field{"level", false, value(l, &c.Level, tagText, oneOf("debug", "info", "warn", "error"))},
		field{"format", false, value(l, &c.Format, tagText, oneOf(formatJSON, formatText, formatAuto))},
		field{"deliveries", false, value(l, &c.Deliveries, tagText, oneOf(deliveriesFailures, deliveriesAll))},
	)
}

// named reads a name that must be unique among its kind.
func (l *loader) named(dst *string, kind string) setter {
	return func(n *yaml.Node, at string) {
		if value(l, dst, tagText, parseName)(n, at); *dst != "" {
			l.unique(kind, *dst, n, at)
		}
	}
}

// declaredPartner reads the id of a partner of this file.
func (l *loader) declaredPartner(dst *string) setter {
	return value(l, dst, tagText, func(s string) (string, *mistake) {
		if _, ok := l.taken["partner"][s]; !ok {
			return "", &mistake{"no partner " + show(s) + " is declared", "declare it under partners, or correct the id"}
		}
		return s, nil
	})
}

// has reports whether a mapping holds a key, sound or not.
func has(n *yaml.Node, key string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return true
		}
	}
	return false
}

// child is the value of a key that a mapping has.
func child(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return &yaml.Node{}
}

func (l *loader) checks(dst *[]kyc.Check) setter {
	return func(n *yaml.Node, at string) {
		*dst = nil
		l.list(false, appendTo(l, dst, tagText, oneOf(kyc.Checks...)))(n, at)
	}
}

// validity reads how many months approvals of check types last.
func (l *loader) validity(dst *map[kyc.Check]int) setter {
	return func(n *yaml.Node, at string) {
		*dst = map[kyc.Check]int{}
		l.pairs(n, at, func(typ string, k, v *yaml.Node) {
			at := join(at, show(typ))
			check, m := oneOf(kyc.Checks...)(typ)
			if m != nil {
				l.wrong(k, at, *m)
				return
			}
			var months int
			if l.plain(v, at) {
				value(l, &months, tagNumber, whole(1, registry.MaxValidity))(v, at)
			}
			(*dst)[check] = months
		})
	}
}

func (l *loader) partner(n *yaml.Node, at string) {
	p := PartnerConfig{Policy: defaultPolicy(), MaxOpen: relay.DefaultMaxOpen}
	l.object(
		n, at,
		field{"id", true, l.named(&p.ID, "partner")},
		field{"renamed_from", false, l.renamedPartner(&p)},
		field{"max_submissions", false, value(l, &p.MaxOpen, tagNumber, whole[int64](1, registry.MaxOpenRefs))},
		field{"policy", false, func(n *yaml.Node, at string) {
			l.object(
				n, at,
				field{"required", false, l.checks(&p.Policy.Required)},
				field{"required_company", false, l.checks(&p.Policy.RequiredCompany)},
				field{"validity_months", false, value(l, &p.Policy.ValidityMonths, tagNumber, whole(1, registry.MaxValidity))},
				field{"validity", false, l.validity(&p.Policy.Validity)},
				field{"notice_days", false, value(l, &p.Policy.NoticeDays, tagNumber, whole(1, registry.MaxNotice))},
			)
		}},
		field{"endpoints", false, l.list(true, func(n *yaml.Node, at string) { p.Endpoints = append(p.Endpoints, l.endpoint(n, at)) })},
	)
	l.cfg.lines[join(at, "id")] = child(n, "id").Line
	l.cfg.Partners = append(l.cfg.Partners, p)
}

// renamedPartner reads the id that a partner had. That none of this file has it can be said when
// all are read.
func (l *loader) renamedPartner(p *PartnerConfig) setter {
	return func(n *yaml.Node, at string) {
		before := len(l.problems)
		if value(l, &p.RenamedFrom, tagText, parseName)(n, at); len(l.problems) > before {
			return
		}
		l.unique("partner renamed_from", p.RenamedFrom, n, at)
		l.cfg.lines[at] = n.Line
		l.later = append(l.later, func() {
			if line, ok := l.taken["partner"][p.RenamedFrom]; ok {
				l.wrong(n, at, mistake{"partner " + show(p.RenamedFrom) + " is in this file, on line " + strconv.Itoa(line), "name the id that this partner had and no partner has now, or remove renamed_from"})
			}
		})
	}
}

func (l *loader) endpoint(n *yaml.Node, at string) EndpointConfig {
	e := defaultEndpoint()
	l.object(
		n, at,
		field{"id", true, l.named(&e.ID, "endpoint")},
		field{"renamed_from", false, l.renamedFrom(&e)},
		field{"url", true, value(l, &e.URL, tagText, l.parseURL)},
		field{"format", false, value(l, &e.Format, tagText, l.parseFormat)},
		field{"keys", false, func(n *yaml.Node, at string) { l.endpointKeys(&e.Keys, e.Format)(n, at) }},
		field{"events", false, func(n *yaml.Node, at string) {
			e.Events = nil
			l.list(false, appendTo(l, &e.Events, tagText, parseEvent))(n, at)
		}},
		field{"filter", false, value(l, &e.Filter, tagText, parseFilter)},
		field{"concurrency", false, value(l, &e.Concurrency, tagNumber, whole(1, registry.MaxConcurrency))},
		field{"rate", false, value(l, &e.Rate, tagNumber, parseRate)},
		field{"timeout", false, value(l, &e.Timeout, tagDuration, duration(registry.MinTimeout, registry.MaxTimeout))},
		field{"max_owed", false, value(l, &e.MaxOwed, tagNumber, whole[int64](1, registry.MostOwed))},
		field{"since", false, value(l, &e.Since, tagTime, parseSince)},
		field{"retry", false, func(n *yaml.Node, at string) { l.retry(&e.Retry, n, at) }},
		field{"disable_after", false, value(l, &e.DisableAfter, tagDuration, parseDisableAfter)},
		field{"tls", false, l.endpointTLS(&e)},
		field{"headers", false, l.headers(&e.Headers)},
		field{"auth", false, l.auth(&e.Headers)},
	)
	e.GenerateKey = !has(n, "keys")
	l.cfg.lines[join(at, "id")] = child(n, "id").Line
	return e
}

// renamedFrom reads the id that an endpoint had. That none of this file has it can be said when all
// are read.
func (l *loader) renamedFrom(e *EndpointConfig) setter {
	return func(n *yaml.Node, at string) {
		before := len(l.problems)
		if value(l, &e.RenamedFrom, tagText, parseName)(n, at); len(l.problems) > before {
			return
		}
		l.unique("renamed_from", e.RenamedFrom, n, at)
		l.cfg.lines[at] = n.Line
		l.later = append(l.later, func() {
			if line, ok := l.taken["endpoint"][e.RenamedFrom]; ok {
				l.wrong(n, at, mistake{"endpoint " + show(e.RenamedFrom) + " is in this file, on line " + strconv.Itoa(line), "name the id that this endpoint had and no endpoint has now, or remove renamed_from"})
			}
		})
	}
}

func (l *loader) retry(r *RetryConfig, n *yaml.Node, at string) {
	before := len(l.problems)
	l.object(
		n, at,
		field{"first", false, value(l, &r.First, tagDuration, duration(registry.MinWait, registry.MaxWait))},
		field{"factor", false, value(l, &r.Factor, tagNumber, number(1, registry.MaxFactor))},
		field{"max", false, value(l, &r.Max, tagDuration, duration(registry.MinWait, registry.MaxWait))},
		field{"jitter", false, value(l, &r.Jitter, tagNumber, number(0, registry.MaxJitter))},
		field{"attempts", false, value(l, &r.Attempts, tagNumber, whole(1, registry.MaxAttempts))},
		field{"max_retry_after", false, value(l, &r.MaxRetryAfter, tagDuration, duration(registry.MinRetryAfter, registry.MaxRetryAfter))},
	)
	if m := (*registry.Retry)(r).Check(); len(l.problems) == before && m != nil {
		l.wrong(n, join(at, m.Field), *ofRule(m))
	}
}

func (l *loader) parseURL(s string) (string, *mistake) {
	if m := ofURL(send.CheckURL(s, l.live(), l.cfg.EgressAllow)); m != nil {
		return "", m
	}
	return s, nil
}

func (l *loader) parseFormat(s string) (string, *mistake) {
	if !l.known.Formats[s] {
		return "", &mistake{"unknown format " + show(s), didYouMean(s, sortedSet(l.known.Formats)) + "use one of those that `countersign formats` lists"}
	}
	return s, nil
}

// endpointKeys reads strings and {key, until} objects, newest first.
func (l *loader) endpointKeys(dst *[]EndpointKey, format string) setter {
	return func(n *yaml.Node, at string) {
		lasting, before := false, len(l.problems)
		l.list(false, func(n *yaml.Node, at string) {
			var k EndpointKey
			key := value(l, &k.Key, tagText, func(ref string) (signing.Key, *mistake) {
				k.Ref = ref
				key, m := l.parseKey(ref)
				if m == nil && l.known.KeySigns != nil {
					if err := l.known.KeySigns(format, key); err != nil {
						return key, &mistake{"cannot sign in format " + format + ": " + err.Error(), "see docs/FORMATS.md for the keys that each format takes"}
					}
				}
				if m == nil && l.known.KeySize != nil && l.live() {
					if size := l.known.KeySize(format, key); size < minSecret {
						short := tooShort(size)
						m = &short
					}
				}
				return key, m
			})
			if n.Kind == yaml.MappingNode {
				l.object(n, at, field{"key", true, key}, field{"until", true, value(l, &k.Until, tagTime, parseTime)})
			} else {
				key(n, at)
				lasting = true
			}
			*dst = append(*dst, k)
		})(n, at)
		if !lasting && len(l.problems) == before {
			l.wrong(n, at, mistake{"every key ends", "put the new key first, without until"})
		}
	}
}
