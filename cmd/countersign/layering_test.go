package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// layers is the house: every package and what of ours it may import. A package or an edge that is
// not here fails the test; so does one that nobody uses any more.
var layers = map[string][]string{
	"kyc":                  {},
	"kyc/truth":            {}, // imported by tests only
	"kyc/truth/second":     {}, // the same
	"signing":              {},
	"dashboards":           {},
	"docs":                 {},
	"dashboards/console":   {"docs", "kyc", "relay/control/api", "relay/control/client"},
	"outbox/store":         {},
	"outbox/trace":         {},
	"relay/send":           {},
	"ingest/provider":      {"kyc", "signing"},
	"ingest/journal":       {"kyc", "outbox/store"},
	"ingest/forward":       {"ingest/journal", "kyc", "outbox/store", "outbox/trace"},
	"ingest/forward/group": {"ingest/forward"},
	"ingest/forward/kafka": {"ingest/forward", "ingest/forward/group"},
	"ingest":               {"ingest/journal", "ingest/provider", "kyc", "outbox/trace", "signing"},
	"ingest/confirm":       {"ingest/journal", "ingest/provider", "signing"},
	"ingest/stream":        {"ingest/journal", "ingest/provider"},
	"outbox":               {"outbox/store"},
	"relay/format":         {"kyc", "signing"},
	"relay/registry":       {"kyc", "outbox/store", "relay/format", "relay/send", "signing"},
	"relay":                {"ingest/forward", "ingest/journal", "kyc", "outbox", "outbox/store", "outbox/trace", "relay/registry"},
	"relay/replay":         {"ingest/journal", "outbox", "outbox/store", "relay", "relay/registry"},
	"relay/notice":         {"outbox", "outbox/store", "relay/registry"},
	"relay/dispatch":       {"outbox", "outbox/store", "outbox/trace", "relay/registry", "relay/send", "signing"},
	"relay/audit":          {"outbox/store"},
	"relay/cluster":        {"ingest/forward", "ingest/forward/group", "ingest/journal", "kyc", "outbox", "outbox/store", "relay"},
	"relay/manynodes":      {}, // tests only: a model of what is to be built
	"relay/control":        {"ingest/journal", "kyc", "outbox", "outbox/store", "outbox/trace", "relay", "relay/audit", "relay/control/api", "relay/dispatch", "relay/format", "relay/registry", "relay/replay", "signing"},
	"relay/control/api":    {},
	"relay/control/client": {"relay/control/api"},
	"docs/site":            {"relay/control"}, // a module of its own, which makes the documentation a site
	"cmd/countersign":      {"dashboards", "dashboards/console", "ingest", "ingest/confirm", "ingest/forward", "ingest/forward/kafka", "ingest/journal", "ingest/provider", "ingest/stream", "kyc", "outbox", "outbox/store", "outbox/trace", "relay", "relay/audit", "relay/control", "relay/control/api", "relay/control/client", "relay/dispatch", "relay/format", "relay/notice", "relay/registry", "relay/replay", "relay/send", "signing"},
}

// kycsim is a module of its own: the other side of both wires. It must not know the ingress or the
// relay it judges.
var simLayers = []string{"cmd/kycsim/attack", "ingest/forward/brokers/cluster", "ingest/provider", "kyc", "outbox", "outbox/store", "relay/format", "signing"}

// judges are modules of their own that hold what only tests need: the official libraries that judge
// us, and the brokers and the disk we are tried on.
var judges = []string{"dashboards/browser", "dashboards/promtest", "dashboards/ruletest", "docs/doctest", "ingest/forward/brokers", "ingest/forward/brokers/cluster", "outbox/store/powercut", "outbox/store/powercut/disk", "signing/judge"}

// clients are the packages that may know a client of Kafka, beside the judges and the simulator,
// which use another one than ours.
var clients = []string{"ingest/forward/kafka"}

// tracers are the packages that may know OpenTelemetry: its API where there are spans, and its SDK
// where they are sent.
var tracers = map[string][]string{
	"go.opentelemetry.io/otel":           {"cmd/countersign", "ingest", "ingest/forward", "outbox/trace", "relay", "relay/dispatch"},
	"go.opentelemetry.io/otel/sdk":       {"cmd/countersign"},
	"go.opentelemetry.io/otel/exporters": {"cmd/countersign"},
	"go.opentelemetry.io/proto":          {"cmd/countersign"},
}

// stdOnly are the packages that import the standard library and nothing else.
var stdOnly = []string{"kyc", "kyc/truth", "kyc/truth/second", "relay/control/api", "relay/control/client", "signing"}

const module = "countersign/"

func TestLayers(t *testing.T) {
	got := imports(t, "../..")
	for pkg, all := range got {
		allowed, ok := layers[pkg]
		if strings.HasPrefix(pkg, "cmd/kycsim") {
			allowed, ok = simLayers, true
		}
		if slices.Contains(judges, pkg) {
			allowed, ok = []string{"dashboards", "outbox/store/powercut/disk", "signing"}, true
		}
		if !ok {
			t.Errorf("package %s is not in the table of layers", pkg)
			continue
		}
		for _, imp := range all {
			ours, isOurs := strings.CutPrefix(imp, module)
			switch {
			case isOurs && !slices.Contains(allowed, ours):
				t.Errorf("%s imports %s, which the table of layers does not allow", pkg, ours)
			case !isOurs && slices.Contains(stdOnly, pkg) && strings.Contains(strings.Split(imp, "/")[0], "."):
				t.Errorf("%s imports %s, but is standard library only", pkg, imp)
			case strings.HasPrefix(imp, "github.com/segmentio/kafka-go") && !slices.Contains(clients, pkg):
				t.Errorf("%s imports %s: what knows Kafka's client is %s", pkg, imp, clients)
			}
			for path, may := range tracers {
				if strings.HasPrefix(imp, path) && !slices.Contains(may, pkg) {
					t.Errorf("%s imports %s: what knows %s is %s", pkg, imp, path, may)
				}
			}
		}
	}
	for pkg, allowed := range layers {
		if got[pkg] == nil {
			t.Errorf("package %s is in the table of layers but not in the house", pkg)
		}
		for _, ours := range allowed {
			if !slices.Contains(got[pkg], module+ours) {
				t.Errorf("%s no longer imports %s: take the edge out of the table", pkg, ours)
			}
		}
	}
}

// TestOneOwner: what the registry keeps is read and written by relay/registry, and by nobody else.
func TestOneOwner(t *testing.T) {
	named := regexp.MustCompile(`\bstore\.Registry\b`)
	owned := 0
	for pkg := range layers {
		files, err := filepath.Glob(filepath.Join("../..", pkg, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			switch {
			case err != nil:
				t.Fatal(err)
			case strings.HasSuffix(f, "_test.go") || !named.Match(b):
			case pkg == "relay/registry":
				owned++
			default:
				t.Errorf("%s names the registry's bucket: ask relay/registry", f)
			}
		}
	}
	if owned == 0 {
		t.Error("relay/registry does not name its bucket: this test sees nothing")
	}
}

// imports maps each package folder to what its files, tests left out, import.
func imports(t *testing.T, root string) map[string][]string {
	t.Helper()
	got := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == "testdata" || path != root && strings.HasPrefix(name, ".") && name != ".." {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		pkg = filepath.ToSlash(pkg)
		got[pkg] = append(got[pkg], "")
		for _, imp := range f.Imports {
			p, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				return err
			}
			got[pkg] = append(got[pkg], p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestTopLevel holds the top of the house: nouns that are agreed, and nothing else.
func TestTopLevel(t *testing.T) {
	allowed := []string{
		"cmd", "dashboards", "docs", "ingest", "kyc", "outbox", "relay", "signing",
		"go.mod", "go.sum", "README.md", "Makefile", "Dockerfile", "CHANGELOG.md", "LICENSE",
	}
	entries, err := filepath.Glob("../../*")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name := filepath.Base(e); !strings.HasPrefix(name, ".") && !slices.Contains(allowed, name) && name != "bin" && name != "data" {
			t.Errorf("%s stands at the top of the house", name)
		}
	}
}
