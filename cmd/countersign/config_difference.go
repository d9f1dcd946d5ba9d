package main

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"countersign/relay/control/api"
)

// reloaded and fixed divide the keys of a config: what counts after a reload, and what takes a
// restart. A key stands for all below it. A test holds them to configReference, and to
// docs/CONFIGURATION.md.
var (
	reloadedKeys = []string{"limits", "trusted_proxies", "sources", "partners", "operator", "retention", "tokens", "log.level", "log.deliveries"}
	fixedKeys    = []string{"mode", "data", "listen", "tls", "egress", "kafka", "tracing", "storage", "log.format"}
)

// followedFiles are files that are read again when they change, whether anything is reloaded or
// not.
var followedFiles = []string{"tls", "kafka.tls"}

// below reports whether a key is one of these, or below one. Names of what stands in lists count
// for nothing.
func below(key string, roots []string) bool {
	return slices.ContainsFunc(roots, func(r string) bool {
		rest, ok := strings.CutPrefix(key, r)
		return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// saying is what a file says at one key.
type saying struct {
	key  string // with the names of list entries: sources[sumsub-eu].rate
	text string
	line int
	sum  [sha256.Size]byte // of what a reference leads to; never shown
}

// sayings is what a whole file says. It prints as a fixed word: a header's value may be a secret.
type sayings []saying

// Format writes a fixed word, whatever the verb.
func (sayings) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "said") }

// flatten appends what a file says, in its order.
func (l *loader) flatten(all []saying, n *yaml.Node, at string) []saying {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !extension(at, n.Content[i].Value) {
				all = l.flatten(all, n.Content[i+1], join(at, n.Content[i].Value))
			}
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			all = l.flatten(all, item, at+"["+nameOf(item, i)+"]")
		}
		if len(n.Content) == 0 {
			all = append(all, saying{key: at, text: "[]", line: n.Line})
		}
	default:
		s := saying{key: at, text: n.Value, line: n.Line}
		if !below(at, followedFiles) && !strings.Contains(at, "].tls.") {
			s.sum = sha256.Sum256([]byte(l.leadsTo(n.Value)))
		}
		all = append(all, s)
	}
	return all
}

// leadsTo is what a reference leads to; "": it is none.
func (l *loader) leadsTo(text string) string {
	if s, ok := l.secrets[text]; ok {
		return s
	}
	if name, ok := strings.CutPrefix(text, "env:"); ok {
		v, _ := l.env(name)
		return v
	}
	path, m := fileRef(text, l.dir)
	if m != nil {
		return ""
	}
	v, _ := readSecretFile(path) // what is wrong with it was said by whoever needs it
	return v
}

// nameOf is what an item of a list is called by: its own name, or its place.
func nameOf(item *yaml.Node, i int) string {
	for _, key := range []string{"name", "id"} {
		if v := child(item, key); item.Kind == yaml.MappingNode && v.Kind == yaml.ScalarNode && v.Value != "" {
			return v.Value
		}
	}
	return strconv.Itoa(i)
}

// differences are what another config says otherwise, in its order, and then what it says no more.
// A source, a partner, an endpoint or a token that comes or goes is one.
func differences(was, is *Config) (all []api.Difference) {
	seen := map[string]bool{}
	add := func(d api.Difference) {
		if !seen[d.Key] {
			seen[d.Key] = true
			all = append(all, d)
		}
	}
	before, after := byKey(was.Said), byKey(is.Said)
	things, now := thingsOf(was.Said), thingsOf(is.Said)
	for _, s := range is.Said {
		old, had := before[s.key]
		thing := outermost(s.key, things)
		switch {
		case thing != "":
			add(api.Difference{Key: thing, Is: "new"})
		case !had:
			add(api.Difference{Key: s.key, Is: shown(&s)})
		case old.text != s.text:
			add(api.Difference{Key: s.key, Was: shown(&old), Is: shown(&s)})
		case old.sum != s.sum:
			add(api.Difference{Key: s.key, Was: shown(&old), Is: "the same reference, which leads to something else now"})
		}
	}
	for _, s := range was.Said {
		if _, has := after[s.key]; has {
			continue
		}
		if thing := outermost(s.key, now); thing != "" {
			add(api.Difference{Key: thing, Was: "gone"})
			continue
		}
		add(api.Difference{Key: s.key, Was: shown(&s)})
	}
	return all
}

func byKey(all []saying) map[string]saying {
	m := make(map[string]saying, len(all))
	for _, s := range all {
		m[s.key] = s
	}
	return m
}

// thingsOf are the sources, partners, endpoints and tokens of a file, by their keys.
func thingsOf(all []saying) map[string]bool {
	m := map[string]bool{}
	for i := range all {
		for _, thing := range things(all[i].key) {
			m[thing] = true
		}
	}
	return m
}

// outermost is the outermost thing that a key belongs to and that the other file does not have; "":
// it has all.
func outermost(key string, other map[string]bool) string {
	for _, thing := range things(key) {
		if !other[thing] {
			return thing
		}
	}
	return ""
}

// things are the sources, partners, endpoints and tokens that a key is in, the outermost first.
func things(key string) (all []string) {
	for _, list := range []string{"sources[", "partners[", "tokens[", "].endpoints["} {
		i := strings.Index(key, list)
		if i < 0 || i > 0 && list[0] != ']' {
			continue
		}
		if end := strings.IndexByte(key[i+len(list):], ']'); end >= 0 {
			all = append(all, key[:i+len(list)+end+1])
		}
	}
	return all
}

// shownMost is how much of a value is shown.
const shownMost = 80

// shown is a value as it may be printed: what may be a secret, or hold one, is not.
func shown(s *saying) string {
	last := s.key[strings.LastIndexByte(s.key, '.')+1:]
	switch {
	case strings.HasPrefix(s.text, "file:"), strings.HasPrefix(s.text, "env:"):
		return s.text
	case last == "url", last == "endpoint", last == "sha256", strings.Contains(s.key, ".headers."), strings.Contains(s.key, ".auth."), strings.Contains(s.key, ".options."):
		return "(not shown)"
	}
	if r := []rune(s.text); len(r) > shownMost {
		return string(r[:shownMost]) + "…"
	}
	return s.text
}

// unchangeable are the keys that a config has otherwise and that take a restart.
func unchangeable(was, is *Config) (wrong []problem) {
	lines, defaults := byKey(is.Said), map[string]string{}
	for _, k := range configReference() {
		defaults[k.Key] = k.Default
	}
	for _, d := range differences(was, is) {
		if usual := defaults[d.Key]; !below(d.Key, fixedKeys) || usual != "" && cmp.Or(d.Was, usual) == cmp.Or(d.Is, usual) {
			continue // a default that is written out, or no more, is no other
		}
		p := problem{File: is.Path, Line: lines[d.Key].line, Key: d.Key, Remedy: "restart for this, or put it back as it was; nothing else of this file counts before"}
		switch {
		case d.Was == "":
			p.What = "was not set when this process started, and cannot be set while it runs"
		case d.Is == "":
			p.What = fmt.Sprintf("was %s when this process started, and cannot be taken out while it runs", d.Was)
		default:
			p.What = fmt.Sprintf("is %s now, was %s when this process started, and cannot change while it runs", d.Is, d.Was)
		}
		wrong = append(wrong, p)
	}
	return wrong
}
