package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"countersign/ingest/provider"
)

// providerPage is what a reader of docs/providers/NAME.md types.
type providerPage struct {
	name         string
	file, secret string // the file of the secret, and what the page writes into it
	config       string
	commands     []typed
}

// sourceOf is the item of sources in the page's config, policyOf what its partner has beside an id.
func (p *providerPage) sourceOf() string {
	_, rest, _ := strings.Cut(p.config, "sources:\n")
	item, _, _ := strings.Cut(rest, "partners:\n")
	return item
}

func (p *providerPage) policyOf() string {
	_, rest, _ := strings.Cut(p.config, "  - id: acme\n")
	return rest
}

// asks reports whether its source needs an account at the provider's API, which no test has.
func (p *providerPage) asks() bool { return strings.Contains(p.config, "\n    api:") }

var (
	secretLine = regexp.MustCompile("(?m)^```sh\numask 077; printf %s '(.*)' > (\\S+)\n```$")
	configPart = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")
	typedPart  = regexp.MustCompile("(?ms)^```console\n(.*?)^```$")
	writeLine  = regexp.MustCompile(`^echo '(.*)' > (\S+)$`)
	laterAPI   = regexp.MustCompile(`(?m)^    # api: \{.*key: file:(\S+?)[,}].*$`)
)

func providerPages(t *testing.T) (all []*providerPage) {
	t.Helper()
	for _, a := range provider.All {
		text := read(t, "../../docs/providers/"+a.Name+".md")
		p := &providerPage{name: a.Name}
		secret, config, console := secretLine.FindStringSubmatch(text), configPart.FindStringSubmatch(text), typedPart.FindStringSubmatch(text)
		if secret == nil || config == nil || console == nil {
			t.Fatalf("the page of %s has no secret, no config, or nothing to type", a.Name)
		}
		p.secret, p.file, p.config = secret[1], secret[2], config[1]
		for line := range strings.Lines(console[1]) {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				p.commands = append(p.commands, typed{line: strings.TrimSpace(command)})
			} else if n := len(p.commands); n > 0 {
				p.commands[n-1].out += line
			}
		}
		all = append(all, p)
	}
	return all
}

// TestProviderSettings reads the config of every provider's page as check does, as it stands there,
// and with the provider's API, where the page says how to add it.
func TestProviderSettings(t *testing.T) {
	check := func(p *providerPage, config, api string) {
		t.Helper()
		dir := t.TempDir()
		write(t, dir, p.file, p.secret)
		if api != "" {
			write(t, dir, api, "an-account-at-the-providers-api")
		}
		path := write(t, dir, "countersign.yaml", config)
		code, out, errs := cli(t, nil, "check", "--config", path)
		if want := p.commands[0]; code != exitYes || want.line != "countersign check" || !printed(want.out, out) {
			t.Errorf("%s: %s\nexit %d\n%s%s", p.name, config, code, out, errs)
		}
		if strings.Contains(errs, "warning") {
			t.Errorf("%s: the smallest config that works has a warning: %s", p.name, errs)
		}
	}
	later := 0
	for _, p := range providerPages(t) {
		check(p, p.config, "")
		if m := laterAPI.FindStringSubmatch(p.config); m != nil {
			later++
			check(p, strings.Replace(p.config, "    # api:", "    api:", 1), m[1])
		}
	}
	if later < 8 {
		t.Errorf("%d pages say how to add the provider's API", later)
	}
}

// TestProviderCommands types what the pages say under "Check it", at one gateway that has the
// source of each page, and finds what they show. Each page has a partner of its own here.
func TestProviderCommands(t *testing.T) {
	dir := t.TempDir()
	var sources, partners strings.Builder
	pages := providerPages(t)
	for _, p := range pages {
		write(t, dir, p.file, p.secret)
		if !p.asks() {
			sources.WriteString(strings.Replace(p.sourceOf(), "partner: acme", "partner: "+p.name, 1))
			fmt.Fprintf(&partners, "  - id: %s\n%s", p.name, p.policyOf())
		}
	}
	config := write(t, dir, "countersign.yaml", fmt.Sprintf(
		"mode: sandbox\ndata: %s\nlisten: {callbacks: %s, control: %s}\nsources:\n%spartners:\n%s", filepath.Join(dir, "data"), freeAddr(t), freeAddr(t), sources.String(), partners.String(),
	))
	start(t, config)
	triggered := 0
	for _, p := range pages {
		for _, c := range p.commands[1:] {
			if strings.HasPrefix(c.line, "countersign trigger ") {
				triggered++
			}
			p.types(t, dir, config, c)
		}
	}
	if triggered < len(pages)-2 { // Alpaca posts nothing, and only Plaid has Plaid's keys
		t.Errorf("%d of %d pages send a callback", triggered, len(pages))
	}
}

// types one command of a page.
func (p *providerPage) types(t *testing.T, dir, config string, c typed) {
	t.Helper()
	if strings.HasPrefix(c.line, "countersign serve ") {
		return // it runs
	}
	if m := writeLine.FindStringSubmatch(c.line); m != nil {
		write(t, dir, m[2], m[1])
		return
	}
	line := strings.ReplaceAll(c.line, " acme ", " "+p.name+" ")
	args := strings.Fields(strings.TrimPrefix(line, "countersign "))
	for i, a := range args {
		if a == "body.json" {
			args[i] = filepath.Join(dir, a)
		}
	}
	if args[0] != "translate" {
		args = append(args, "--config", config)
	}
	want := strings.ReplaceAll(c.out, "acme/", p.name+"/")
	once := slices.Contains([]string{"trigger", "submit"}, args[0])
	var code int
	var out, errs string
	try := func() bool {
		code, out, errs = cli(t, nil, args...)
		return code == exitYes && printed(want, out)
	}
	if once {
		if !try() {
			t.Errorf("%s: $ %s\nexit %d\n%s%s\nthe page shows\n%s", p.name, line, code, out, errs, want)
		}
		return
	}
	eventually(t, fmt.Sprintf("%s: $ %s shows\n%s", p.name, line, want), try)
}

// TestProviderPagesNameWhatExists: a metric, a verdict and a command that the pages name are there.
func TestProviderPagesNameWhatExists(t *testing.T) {
	files, err := filepath.Glob("../../docs/providers/*.md")
	if err != nil || len(files) != len(provider.All) {
		t.Fatalf("%d pages: %v", len(files), err)
	}
	metrics := definedMetrics(t)
	for _, file := range append(files, "../../docs/PROVIDERS.md") {
		text := read(t, file)
		for _, m := range regexp.MustCompile(`countersign_[a-z_]+`).FindAllString(text, -1) {
			if !slices.Contains(metrics, strings.TrimPrefix(m, "countersign_")) {
				t.Errorf("%s names the metric %s, which does not exist", file, m)
			}
		}
		for _, m := range regexp.MustCompile("(?m)(?:`|^\\$ )countersign ([a-z]+)").FindAllStringSubmatch(text, -1) {
			if !slices.Contains(commandNames(), m[1]) {
				t.Errorf("%s names the command countersign %s, which does not exist", file, m[1])
			}
		}
	}
	for _, verdict := range []string{"mismatch", "unsigned", "unknown"} {
		if text := read(t, "../../docs/providers/sumsub.md"); !strings.Contains(text, "`"+verdict+"`") || !strings.Contains(read(t, "../../ingest/verdict.go"), `verdict = "`+verdict+`"`) {
			t.Errorf("there is no verdict %s", verdict)
		}
	}
	if _, err := os.Stat("../../dashboards/console/sources.go"); err != nil {
		t.Error(err)
	}
}
