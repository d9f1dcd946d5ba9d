package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxConfig is far above any real config, and far below what would trouble us.
const maxConfig = 4 << 20

// loader walks the YAML tree by tables of fields. It works on nodes, not on structs, so that every
// problem has its line.
type loader struct {
	file     string // as the user wrote it
	dir      string // what file: references are relative to
	env      func(string) (string, bool)
	known    known
	cfg      *Config
	mode     string // from the environment, "" if it is silent
	problems []problem
	taken    map[string]map[string]int // kind → name → line, for names that must be unique
	later    []func()                  // what can be looked at when the whole file is read
	asked    map[string]bool           // every key of every table visited, for the test of configReference
}

func newLoader(path string, env func(string) (string, bool), k known) *loader {
	return &loader{
		file: path, dir: filepath.Dir(path), env: env, known: k, cfg: defaultConfig(path),
		taken: map[string]map[string]int{}, asked: map[string]bool{},
	}
}

// mistake is what is wrong with a value, and the remedy.
type mistake struct{ what, remedy string }

// setter reads one node into its place; at is the node's key, for messages.
type setter func(n *yaml.Node, at string)

// field is one row of an object's table.
type field struct {
	key  string
	need bool
	set  setter
}

func (l *loader) wrong(n *yaml.Node, at string, m mistake) {
	p := problem{File: l.file, Line: n.Line, Key: at, What: m.what, Remedy: m.remedy}
	if n.Line == 0 {
		p.File = "environment"
	}
	l.problems = append(l.problems, p)
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)

// parse reads the file into one node. Nothing but a single document of plain values is accepted.
func (l *loader) parse() *yaml.Node {
	f, err := os.Open(l.file)
	if err != nil {
		l.problems = append(l.problems, problem{File: l.file, What: "cannot be read: " + fileError(err), Remedy: "name the config file with --config"})
		return nil
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil || len(text) > maxConfig {
		l.problems = append(l.problems, problem{File: l.file, What: "cannot be read, or is over 4 MiB", Remedy: "name the config file with --config"})
		return nil
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return &yaml.Node{Kind: yaml.MappingNode, Line: 1}
	case err != nil:
		l.syntax(err)
		return nil
	}
	switch err := d.Decode(&more); {
	case err == nil:
		l.wrong(&yaml.Node{Line: max(more.Line, 1)}, "", mistake{"a second document begins", "keep the config in one document, without ---"})
		return nil
	case !errors.Is(err, io.EOF):
		l.syntax(err)
		return nil
	}
	if len(doc.Content) == 0 || doc.Content[0].ShortTag() == "!!null" { // comments only
		return &yaml.Node{Kind: yaml.MappingNode, Line: 1}
	}
	return doc.Content[0]
}

func (l *loader) syntax(err error) {
	p := problem{File: l.file, Line: 1, What: "is not YAML", Remedy: "check the indentation (spaces only), the colons and the quotes near that line"}
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			p.Line = n
		}
		if !strings.Contains(m[2], "anchor") { // it quotes the name, which may be an unquoted secret that begins with a star
			p.What += ": " + m[2]
		}
	}
	l.problems = append(l.problems, p)
}

// plain refuses what makes a file mean something else than what stands in it.
func (l *loader) plain(n *yaml.Node, at string) bool {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		l.wrong(n, at, mistake{"uses a YAML anchor or alias", "write the value out"})
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null":
		l.wrong(n, at, mistake{"has no value", "give it one, or remove the key to have the default"})
	default:
		return true
	}
	return false
}

// pairs calls each for the entries of a mapping whose keys are sound.
func (l *loader) pairs(n *yaml.Node, at string, each func(key string, k, v *yaml.Node)) bool {
	if !l.plain(n, at) {
		return false
	}
	if n.Kind != yaml.MappingNode {
		l.wrong(n, at, mistake{"expected keys and values, got " + kindOf(n), "write it as key: value lines"})
		return false
	}
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode || k.Anchor != "" {
			l.wrong(k, at, mistake{"has a key that is no plain word", "write it as key: value lines"})
			continue
		}
		if line, twice := first[k.Value]; twice {
			l.wrong(k, join(at, show(k.Value)), mistake{"is duplicated; first on line " + strconv.Itoa(line), "keep one of them"})
			continue
		}
		first[k.Value] = k.Line
		each(k.Value, k, v)
	}
	return true
}

// object reads a mapping by its table. Fields are set in the table's order, whatever the file's, so
// that a row may rely on those above it.
func (l *loader) object(n *yaml.Node, at string, fields ...field) bool {
	found := map[string]*yaml.Node{}
	ok := l.pairs(n, at, func(key string, k, v *yaml.Node) {
		if slices.ContainsFunc(fields, func(f field) bool { return f.key == key }) {
			found[key] = v
			return
		}
		names := make([]string, len(fields))
		for i, f := range fields {
			names[i] = f.key
		}
		l.wrong(k, join(at, show(key)), mistake{"unknown key", didYouMean(key, names) + "use one of " + strings.Join(names, ", ")})
	})
	if !ok {
		return false
	}
	for _, f := range fields {
		l.asked[pattern(join(at, f.key))] = true
		v := found[f.key]
		switch {
		case v != nil && l.plain(v, join(at, f.key)):
			f.set(v, join(at, f.key))
		case v == nil && f.need:
			l.wrong(n, join(at, f.key), mistake{"is missing", "add it"})
		}
	}
	return true
}

// list calls each for every item. An empty list is refused where it would mean the same as no list
// to a reader, and something else to us.
func (l *loader) list(mayBeEmpty bool, each setter) setter {
	return func(n *yaml.Node, at string) {
		switch {
		case n.Kind != yaml.SequenceNode:
			l.wrong(n, at, mistake{"expected a list, got " + kindOf(n), "write [a, b], or one item a line after a dash"})
		case len(n.Content) == 0 && !mayBeEmpty:
			l.wrong(n, at, mistake{"is an empty list", "name at least one, or remove the key to have the default"})
		}
		if n.Kind != yaml.SequenceNode {
			return
		}
		for i, item := range n.Content {
			if here := at + "[" + strconv.Itoa(i) + "]"; l.plain(item, here) {
				each(item, here)
			}
		}
	}
}

// value reads a scalar whose YAML type is among tags.
func value[T any](l *loader, dst *T, tags string, parse func(string) (T, *mistake)) setter {
	return func(n *yaml.Node, at string) {
		if n.Kind != yaml.ScalarNode || !slices.Contains(strings.Fields(tags), n.ShortTag()) {
			l.wrong(n, at, mistake{"expected " + wanted(tags) + ", got " + kindOf(n), remedyFor(tags)})
			return
		}
		v, m := parse(n.Value)
		if m != nil {
			l.wrong(n, at, *m)
			return
		}
		*dst = v
	}
}

// unique notes a name, which must be new among its kind.
func (l *loader) unique(kind, name string, n *yaml.Node, at string) {
	if l.taken[kind] == nil {
		l.taken[kind] = map[string]int{}
	}
	if line, ok := l.taken[kind][name]; ok {
		l.wrong(n, at, mistake{kind + " " + show(name) + " is duplicated; first on line " + strconv.Itoa(line), "give each its own name"})
		return
	}
	l.taken[kind][name] = n.Line
}

func join(at, key string) string {
	if at == "" {
		return key
	}
	return at + "." + key
}

var index = regexp.MustCompile(`\[\d+\]`)

// pattern turns sources[3].name into sources[].name.
func pattern(at string) string {
	at = index.ReplaceAllString(at, "[]")
	if rest, ok := strings.CutPrefix(at, "operator.endpoints[]."); ok {
		return "partners[].endpoints[]." + rest // they have the same keys
	}
	return at
}

var harmless = regexp.MustCompile(`^[A-Za-z0-9_.:/*-]{1,40}$`)

// show repeats a word of the file, unless it might be a secret that stands in the wrong place.
func show(s string) string {
	if !harmless.MatchString(s) || strings.Contains(s, "whsec") || strings.Contains(s, "sk_") {
		return "(not shown)"
	}
	return s
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	default:
	}
	switch n.ShortTag() {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "a boolean"
	case "!!str":
		return "a string"
	case "!!timestamp":
		return "a date"
	default:
		return "an unsupported YAML type"
	}
}

// The YAML types a value may be written in.
const (
	tagText     = "!!str"
	tagNumber   = "!!int !!float !!str" // a text gets a better message from its parser
	tagSize     = "!!int !!str"
	tagDuration = "!!int !!float !!str"
	tagTime     = "!!timestamp !!str"
	tagFlag     = "!!bool"
	tagAny      = "!!str !!int !!float !!bool !!timestamp"
)

func wanted(tags string) string {
	switch tags {
	case tagFlag:
		return "true or false"
	case tagTime:
		return "a time"
	case tagText:
		return "a string"
	default:
		return "a single value"
	}
}

func remedyFor(tags string) string {
	switch tags {
	case tagFlag:
		return "write true or false, without quotes"
	case tagTime:
		return "write it like 2026-12-01 or 2026-12-01T08:00:00Z"
	case tagText:
		return "write one value, in quotes if it looks like a number"
	default:
		return "write one value"
	}
}

// fileError says why a file could not be read, without the path that os repeats.
func fileError(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "it does not exist"
	case errors.Is(err, fs.ErrPermission):
		return "permission denied"
	}
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err.Error()
	}
	return "the read failed"
}
