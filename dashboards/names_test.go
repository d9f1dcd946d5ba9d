package dashboards

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// notShown are metrics without a panel or a rule, and why.
var notShown = map[string]string{
	"countersign_relay_endpoint_attempt_reasons_total":    "asked for one endpoint at a time, at /metrics?endpoint=ID",
	"countersign_relay_endpoint_attempt_duration_seconds": "the same",
	"countersign_relay_endpoint_repeated_requests_total":  "the same",
}

// ofTarget are the labels that Prometheus adds.
var ofTarget = []string{"job", "namespace", "instance"}

// ofLibrary are the metrics that the Prometheus library makes for every process, as far as they are
// used here, with their labels.
var ofLibrary = map[string][]string{
	"process_cpu_seconds_total": nil, "process_resident_memory_bytes": nil, "process_open_fds": nil, "process_max_fds": nil, "process_start_time_seconds": nil,
	"go_goroutines": nil, "go_memstats_heap_inuse_bytes": nil, "go_gc_duration_seconds": {"quantile"},
}

// code is what the program's sources say about metrics, commands and words.
type code struct {
	metrics  map[string][]string        // series and their labels; never nil, even without labels
	base     map[string]string          // series to metric: x_bucket to x
	words    map[string]bool            // every string literal
	commands map[string]map[string]bool // "endpoints resume" to its flags
}

// scan reads the sources of the packages that have metrics, and of the command line.
func scan(t *testing.T) *code {
	t.Helper()
	c := &code{metrics: map[string][]string{}, base: map[string]string{}, words: map[string]bool{}, commands: map[string]map[string]bool{}}
	structs := map[string]*ast.StructType{}
	for _, dir := range []string{"kyc", "ingest", "outbox", "relay", "cmd/countersign"} {
		err := filepath.WalkDir(filepath.Join("..", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				c.look(n)
				if s, ok := n.(*ast.TypeSpec); ok && dir == "cmd/countersign" {
					if st, ok := s.Type.(*ast.StructType); ok {
						structs[s.Name.Name] = st
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	c.commandsOf("", structs["commands"], structs)
	for name, want := range map[string]int{"metrics": 30, "commands": 15, "words": 100} {
		if got := reflect.Indirect(reflect.ValueOf(c)).FieldByName(name).Len(); got < want {
			t.Fatalf("found only %d %s in the sources: has their form changed?", got, name)
		}
	}
	return c
}

func literal(e ast.Expr) (string, bool) {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(l.Value)
	return s, err == nil
}

// look notes literals, and metrics: NewXVec(Opts{Name: "x"}, labels), NewX(Opts{…}), NewDesc("x",
// help, labels, …) and histogram("x", …) in place of Opts; and the forwarder's counter("x", help,
// labels…) and gauge("x", help, …), all of which have a topic.
func (c *code) look(n ast.Node) {
	if l, ok := n.(*ast.BasicLit); ok {
		if s, ok := literal(l); ok {
			c.words[s] = true
		}
	}
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) == 0 {
		return
	}
	if id, ok := call.Fun.(*ast.Ident); ok && (id.Name == "counter" || id.Name == "gauge") && len(call.Args) > 1 {
		if name, ok := literal(call.Args[0]); ok {
			c.add("countersign_"+name, false, append([]string{"topic"}, literals(call.Args[2:])...))
		}
		return
	}
	fun, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !strings.HasPrefix(fun.Sel.Name, "New") {
		return
	}
	name, ok := metricOf(call.Args[0], fun.Sel.Name)
	if !ok {
		return
	}
	labels := []string{}
	for _, a := range call.Args[1:] {
		list, ok := a.(*ast.CompositeLit)
		if !ok {
			continue
		}
		labels = append(labels, literals(list.Elts)...)
	}
	name = "countersign_" + name
	histogram := strings.HasPrefix(fun.Sel.Name, "NewHistogram")
	c.add(name, histogram || strings.HasPrefix(fun.Sel.Name, "NewSummary"), labels)
	if histogram { // where it is scraped as a native one, its name alone
		c.base[name], c.metrics[name] = name, labels
	}
}

func literals(es []ast.Expr) (all []string) {
	for _, e := range es {
		if s, ok := literal(e); ok {
			all = append(all, s)
		}
	}
	return all
}

func metricOf(arg ast.Expr, constructor string) (string, bool) {
	switch a := arg.(type) {
	case *ast.BasicLit:
		if constructor == "NewDesc" {
			return literal(a)
		}
	case *ast.CallExpr: // histogram(name, help, buckets)
		if f, ok := a.Fun.(*ast.Ident); ok && f.Name == "histogram" {
			return literal(a.Args[0])
		}
	case *ast.CompositeLit:
		t, ok := a.Type.(*ast.SelectorExpr)
		if !ok || !strings.HasSuffix(t.Sel.Name, "Opts") {
			return "", false
		}
		for _, e := range a.Elts {
			if kv, ok := e.(*ast.KeyValueExpr); ok {
				if k, ok := kv.Key.(*ast.Ident); ok && k.Name == "Name" {
					return literal(kv.Value)
				}
			}
		}
	}
	return "", false
}

func (c *code) add(name string, histogram bool, labels []string) {
	c.base[name] = name
	if !histogram {
		c.metrics[name] = labels
		return
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		c.base[name+suffix] = name
		c.metrics[name+suffix] = labels
	}
	c.metrics[name+"_bucket"] = append(slices.Clone(labels), "le")
}

// commandsOf reads the command line from kong's struct tags.
func (c *code) commandsOf(prefix string, st *ast.StructType, structs map[string]*ast.StructType) {
	if st == nil {
		return
	}
	for _, field := range st.Fields.List {
		if field.Tag == nil || len(field.Names) == 0 {
			continue
		}
		raw, _ := strconv.Unquote(field.Tag.Value)
		if _, ok := reflect.StructTag(raw).Lookup("cmd"); !ok {
			continue
		}
		name := strings.TrimSpace(prefix + " " + kebab(field.Names[0].Name))
		flags := map[string]bool{}
		if id, ok := field.Type.(*ast.Ident); ok {
			flagsOf(structs[id.Name], structs, flags)
			c.commandsOf(name, structs[id.Name], structs)
		}
		c.commands[name] = flags
	}
}

func flagsOf(st *ast.StructType, structs map[string]*ast.StructType, flags map[string]bool) {
	if st == nil {
		return
	}
	for _, field := range st.Fields.List {
		if len(field.Names) == 0 { // embedded
			if id, ok := field.Type.(*ast.Ident); ok {
				flagsOf(structs[id.Name], structs, flags)
			}
			continue
		}
		var tag reflect.StructTag
		if field.Tag != nil {
			raw, _ := strconv.Unquote(field.Tag.Value)
			tag = reflect.StructTag(raw)
		}
		_, cmd := tag.Lookup("cmd")
		_, arg := tag.Lookup("arg")
		if cmd || arg {
			continue
		}
		name := kebab(field.Names[0].Name)
		if n := tag.Get("name"); n != "" {
			name = n
		}
		flags["--"+name] = true
	}
}

var humps = regexp.MustCompile(`([a-z])([A-Z])`)

func kebab(s string) string { return strings.ToLower(humps.ReplaceAllString(s, "$1-$2")) }

// checkCommand checks a command of a runbook, as "endpoints resume ID --config F".
func (c *code) checkCommand(line string) error {
	words := strings.Fields(line)
	name := words[0]
	if len(words) > 1 && c.commands[name+" "+words[1]] != nil {
		name += " " + words[1]
	}
	flags := c.commands[name]
	group := slices.ContainsFunc(slices.Collect(maps.Keys(c.commands)), func(k string) bool { return strings.HasPrefix(k, name+" ") })
	if shown := c.commands[name+" show"]; group && name == "subject" && shown != nil { // what follows is what to show, if it is no command
		name, flags, group = name+" show", shown, false
	}
	if listed := c.commands[name+" list"]; group && listed != nil && (len(words) == 1 || strings.HasPrefix(words[1], "-")) {
		name, flags = name+" list", listed // which is what the command alone does
	}
	if flags == nil || group && len(words) > 1 && !strings.HasPrefix(words[1], "-") {
		return fmt.Errorf("there is no such command among %v", slices.Sorted(maps.Keys(c.commands)))
	}
	for _, w := range words {
		if flag, _, _ := strings.Cut(w, "="); strings.HasPrefix(flag, "--") && !flags[flag] {
			return fmt.Errorf("%s has no flag %s", name, flag)
		}
	}
	return nil
}

var (
	anySelector = regexp.MustCompile(`\b((?:countersign|process|go)_[a-z0-9_]+)(?:\{([^}]*)\})?`)
	matcher     = regexp.MustCompile(`(\w+)(=~|!~|!=|=)"([^"]*)"`)
)

// TestMetrics: every metric, label and label value in a panel or a rule exists in the code, and
// every metric of the code is in one of them.
func TestMetrics(t *testing.T) {
	c := scan(t)
	used := map[string]bool{}
	f := func(where, expr string) {
		t.Helper()
		for _, m := range anySelector.FindAllStringSubmatch(expr, -1) {
			labels, ok := c.metrics[m[1]]
			if !ok {
				labels, ok = ofLibrary[m[1]]
			}
			if !ok {
				t.Errorf("%s: %s is no metric", where, m[1])
				continue
			}
			used[c.base[m[1]]] = true
			for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
				if !slices.Contains(labels, l[1]) && !slices.Contains(ofTarget, l[1]) {
					t.Errorf("%s: %s has no label %s", where, m[1], l[1])
				}
				for word := range strings.SplitSeq(l[3], "|") {
					if slices.Contains([]string{"verdict", "reason", "outcome", "evidence", "status", "class", "topic"}, l[1]) && !c.words[word] {
						t.Errorf("%s: %s is no %s of %s", where, word, l[1], m[1])
					}
				}
			}
		}
	}
	for name, b := range committed(t) {
		for _, p := range b.Panels {
			for _, q := range p.Targets {
				f(name+": "+p.Title, q.Expr)
			}
		}
		for _, a := range b.Annotations.List {
			f(name+": "+a.Name, a.Expr)
		}
		for _, v := range b.Templating.List {
			f(name+": "+v.Name, v.Definition)
		}
	}
	for _, r := range allRules(t) {
		f(r.Record+r.Alert, r.Expr)
	}
	for _, metric := range c.base {
		if reason, hidden := notShown[metric]; hidden == used[metric] {
			t.Errorf("%s is on a panel or in a rule: %v; listed as not shown: %q", metric, used[metric], reason)
		}
	}
}
