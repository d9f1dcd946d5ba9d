package main

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"countersign/ingest/provider"
	"countersign/kyc"
)

// generic reads the block that is an adapter: first its form, then what it says.
func (l *loader) generic(dst **provider.GenericSpec) setter {
	return func(n *yaml.Node, at string) {
		spec, before := provider.GenericSpec{}, len(l.problems)
		l.object(
			n, at,
			field{"version", false, value(l, &spec.Version, tagNumber, whole(1, 1_000_000))},
			field{"doc", false, value(l, &spec.Doc, tagText, parseText)},
			field{"resolution", false, value(l, &spec.Resolution, tagDuration, duration(time.Microsecond, time.Second))},
			field{"signature", true, l.genericSignature(&spec.Signature)},
			field{"map", true, l.genericMap(&spec.Map)},
			field{"statuses", false, l.genericStatuses(&spec.Statuses)},
			field{"reasons", false, l.genericReasons(&spec.Reasons)},
		)
		*dst = &spec
		if len(l.problems) > before {
			return
		}
		_, err := provider.Generic(spec)
		for _, err := range parts(err) {
			if e, ok := errors.AsType[*provider.GenericError](err); ok {
				l.wrong(inside(n, e.Key), join(at, e.Key), mistake{veiled(e.What), e.Remedy})
			}
		}
	}
}

func (l *loader) genericSignature(s *provider.GenericSignature) setter {
	text := func(dst *string) setter { return value(l, dst, tagAny, parseText) }
	return func(n *yaml.Node, at string) {
		l.object(
			n, at,
			field{"kind", true, value(l, &s.Kind, tagText, oneOf(provider.GenericKinds()...))},
			field{"header", false, text(&s.Header)},
			field{"algorithm", false, value(l, &s.Algorithm, tagText, oneOf("sha256", "sha1", "sha512"))},
			field{"encoding", false, value(l, &s.Encoding, tagText, oneOf("hex", "base64"))},
			field{"prefix", false, text(&s.Prefix)},
			field{"announce", false, text(&s.Announce)},
			field{"announced", false, text(&s.Announced)},
			field{"member", false, text(&s.Member)},
			field{"timestamp_member", false, text(&s.TimestampMember)},
			field{"suffix", false, text(&s.Suffix)},
			field{"plain", false, value(l, &s.Plain, tagFlag, parseFlag)},
			field{"tolerance", false, value(l, &s.Tolerance, tagDuration, func(s string) (time.Duration, *mistake) {
				if s == "any" {
					return provider.AnyAge, nil
				}
				return parseTolerance(s)
			})},
		)
	}
}

func (l *loader) genericMap(dst *map[string]string) setter {
	return func(n *yaml.Node, at string) {
		*dst = map[string]string{}
		var fields []field
		for _, k := range provider.GenericKeys() {
			fields = append(fields, field{k.Name, k.Need, func(n *yaml.Node, at string) {
				var text string
				value(l, &text, tagAny, parseText)(n, at)
				(*dst)[k.Name] = text
			}})
		}
		l.object(n, at, fields...)
	}
}

func (l *loader) genericStatuses(dst *map[string]kyc.Status) setter {
	return func(n *yaml.Node, at string) {
		*dst = map[string]kyc.Status{}
		l.pairs(n, at, func(word string, _, v *yaml.Node) {
			var s kyc.Status
			if at := join(at, show(word)); l.plain(v, at) {
				value(l, &s, tagText, oneOf(kyc.Statuses...))(v, at)
			}
			(*dst)[word] = s
		})
		if len(n.Content) == 0 && n.Kind == yaml.MappingNode {
			l.wrong(n, at, mistake{"is an empty table", "name the provider's words, or remove it: map.status then gives ours"})
		}
	}
}

// genericReasons reads a reason, or a list of it and whether another try can mend it, for every
// code.
func (l *loader) genericReasons(dst *map[string]provider.GenericReason) setter {
	return func(n *yaml.Node, at string) {
		*dst = map[string]provider.GenericReason{}
		l.pairs(n, at, func(code string, _, v *yaml.Node) {
			var r provider.GenericReason
			at, items := join(at, show(code)), v.Content
			switch {
			case !l.plain(v, at):
				return
			case v.Kind == yaml.ScalarNode:
				items = []*yaml.Node{v}
			case v.Kind != yaml.SequenceNode || len(items) == 0 || len(items) > 2:
				l.wrong(v, at, mistake{"is not a reason and a hint", "write [reason, retryable], [reason, terminal], or the reason alone where the code does not say"})
				return
			}
			value(l, &r.Reason, tagText, oneOf(kyc.Priority...))(items[0], at)
			if len(items) == 2 {
				value(l, &r.Hint, tagText, oneOf("retryable", "terminal"))(items[1], at)
			}
			(*dst)[code] = r
		})
	}
}

// genericBeside checks that the block and its provider come together, and that nothing stands
// beside it which it says itself.
func (l *loader) genericBeside(n *yaml.Node, at string, s *SourceConfig) {
	block := has(n, "generic")
	switch isGeneric := s.Provider == provider.GenericName; {
	case isGeneric && !block:
		l.wrong(n, join(at, "generic"), mistake{"is missing: without it nothing is known of this provider", "add generic: {signature: …, map: …}; docs/ADDING.md has an example"})
	case block && !isGeneric && s.Provider != "":
		l.wrong(n, join(at, "generic"), mistake{"goes with provider generic only: " + s.Provider + " has an adapter of its own", "remove the block, or set provider: generic"})
	case block && has(n, "tolerance"):
		l.wrong(n, join(at, "tolerance"), mistake{"cannot be used with generic", "move it to generic.signature.tolerance"})
	}
}

// genericOptions refuses all: a generic adapter is configured where it is made.
func genericOptions(options map[string]string) error {
	if len(options) > 0 {
		return errors.New("a generic adapter has no options: the block generic says everything")
	}
	return nil
}

// parts are the errors that were joined.
func parts(err error) []error {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		return all.Unwrap()
	}
	return nil
}

// inside finds the line that a mistake is on; where the key is missing, the nearest line around it.
func inside(block *yaml.Node, key string) *yaml.Node {
	name, rest, _ := strings.Cut(key, ".")
	section := entry(block, name)
	if section == nil {
		return block
	}
	if v := entry(section, rest); v != nil {
		return v
	}
	return section
}

// entry is the value of a mapping's key, nil if there is none.
func entry(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

var secretForm = regexp.MustCompile(`\b(whsec|sk)_|[A-Za-z0-9_+/=-]{41}`)

// veiled is what may be repeated of an expression: what looks like a secret in the wrong place may
// not.
func veiled(what string) string {
	if secretForm.MatchString(what) {
		return "is no expression (not shown: there might be a secret in it)"
	}
	return what
}

// adapterOf is the adapter of a source: one of this program's, or one made of its configuration.
func adapterOf(sc SourceConfig) (provider.Adapter, error) {
	if sc.Generic != nil {
		a, err := provider.Generic(*sc.Generic)
		if err != nil {
			return a, fmt.Errorf("source %s: %w", sc.Name, err)
		}
		return a, nil
	}
	a, ok := provider.ByName(sc.Provider)
	if !ok {
		return a, fmt.Errorf("source %s: provider %s is not in this program", sc.Name, sc.Provider)
	}
	return a, nil
}

// adapter is that of a captured callback. Of a config nothing is read but the one block, so that no
// secret has to be there.
func (f captured) adapter(c *console) (provider.Adapter, error) {
	switch a, ok := provider.ByName(f.Provider); {
	case f.Provider == provider.GenericName && f.Config == "":
		return a, errors.New("provider generic needs --config FILE, whose source has the block generic")
	case f.Provider == provider.GenericName:
		return f.generic(c)
	case !ok:
		return a, unknownProvider(f.Provider)
	case f.Config != "" || f.Source != "":
		return a, errors.New("--config and --source go with --provider generic only")
	default:
		return a, nil
	}
}

func (f captured) generic(c *console) (provider.Adapter, error) {
	l := newLoader(f.Config, c.env, known{})
	var names []string
	var found SourceConfig
	if list := entry(l.parse(), "sources"); list != nil {
		for i, n := range list.Content {
			name, of := entry(n, "name"), entry(n, "provider")
			if of == nil || of.Value != provider.GenericName || f.Source != "" && (name == nil || name.Value != f.Source) {
				continue
			}
			at := "sources[" + strconv.Itoa(i) + "]"
			found = SourceConfig{Name: cmp.Or(f.Source, at), Provider: provider.GenericName}
			names = append(names, at)
			if name != nil {
				names[len(names)-1] = show(name.Value)
			}
			l.object(&yaml.Node{Kind: yaml.MappingNode, Line: n.Line, Content: keep(n, "generic")}, at, field{"generic", true, l.generic(&found.Generic)})
		}
	}
	switch {
	case len(l.problems) > 0:
		for _, p := range l.problems {
			fmt.Fprintln(c.err, p) //nolint:errcheck // a terminal that is gone is no error of ours
		}
		return provider.Adapter{}, fmt.Errorf("%d problem(s) in %s", len(l.problems), f.Config)
	case len(names) == 0:
		return provider.Adapter{}, fmt.Errorf("%s has no source%s whose provider is generic", f.Config, strings.TrimRight(" "+f.Source, " "))
	case len(names) > 1:
		slices.Sort(names)
		return provider.Adapter{}, fmt.Errorf("%s has several generic sources: choose one of %s with --source", f.Config, strings.Join(names, ", "))
	}
	return adapterOf(found)
}

// keep is the one entry of a mapping, as its content.
func keep(n *yaml.Node, key string) []*yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i : i+2]
		}
	}
	return nil
}
