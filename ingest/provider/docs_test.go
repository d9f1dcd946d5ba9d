package provider

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"countersign/kyc"
	"countersign/signing"
)

var update = flag.Bool("update", false, "write docs/PROVIDERS.md and docs/providers")

const (
	providersPage = "../../docs/PROVIDERS.md"
	providersDir  = "../../docs/providers"
)

// TestProvidersPage holds docs/PROVIDERS.md to the adapters: what stands between its markers is
// what they say of themselves.
func TestProvidersPage(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil || !strings.Contains(string(readme), fmt.Sprintf("In: %d providers", len(All))) {
		t.Errorf("the README does not say that there are %d providers: %v", len(All), err)
	}
	holdPage(t, providersPage, map[string]string{"list": pageList(t), "table": pageTable(t)})
}

// pageParts are the headings of the second level of every provider's page.
var pageParts = []string{"In the provider's dashboard", "In Countersign", "Check it", "What becomes of what", "Good to know"}

// TestProviderPages holds the page of each provider to its adapter: it has every part, in order,
// and what stands between its markers is made of the adapter, its samples and its fixtures.
func TestProviderPages(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(providersDir, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	var pages []string
	for _, a := range byName() {
		file := pageFile(a)
		pages = append(pages, file)
		if faults := pageFaults(holdPage(t, file, map[string]string{
			"facts": pageFacts(t, a), "events": pageEvents(t, a), "settings": pageSettings(t, a), "outcomes": pageOutcomes(t, a), "limits": pageLimits(t, a),
		}), a); len(faults) > 0 {
			t.Errorf("%s: %s", file, strings.Join(faults, "; "))
		}
	}
	if !slices.Equal(files, pages) {
		t.Errorf("%s has %v, and there are adapters for %v", providersDir, files, pages)
	}
}

// pageFaults says what a provider's page lacks: a part, or a part at its place; a link to the
// vendor beside what it says of the dashboard; the settings, the adapter's callback URL.
func pageFaults(text string, a Adapter) (all []string) {
	var parts []string
	for _, m := range regexp.MustCompile(`(?m)^## (.*)$`).FindAllStringSubmatch(text, -1) {
		parts = append(parts, m[1])
	}
	if !slices.Equal(parts, pageParts) {
		return []string{fmt.Sprintf("its parts are %q, want %q", parts, pageParts)}
	}
	dashboard := between(text, "\n## "+pageParts[0]+"\n", "\n## ")
	own, _, _ := strings.Cut(dashboard, "<!-- generated: events -->")
	f := func(ok bool, fault string) {
		if !ok {
			all = append(all, fault)
		}
	}
	f(regexp.MustCompile(`\]\(https://[^)\s]+\)`).MatchString(own), "nothing in the first part has a link to the vendor's page")
	for _, label := range []string{"**Where:**", "**Secret:**", "**Time to answer:**", "**Retries:**", "**Addresses:**"} {
		f(strings.Count(own, "- "+label+" ") == 1, "the first part does not say "+label)
	}
	f(a.Stream != nil || strings.Contains(own, "- **URL:** `https://YOUR-HOST/v1/callbacks/"+a.Name), "the first part does not name the callback URL")
	f(a.Stream == nil || strings.Contains(own, "- **URL:** none"), "it follows a stream, and the first part does not say that no URL is needed")
	f(strings.Count(between(text, "\n## "+pageParts[1]+"\n", "\n## "), "```yaml\n") == 1, "the second part has not one block of YAML")
	f(strings.Contains(text, "\n### Rotate the secret\n"), "nothing says how to rotate the secret")
	f(strings.Count(between(text, "\n## "+pageParts[2]+"\n", "\n## "), "```console\n") > 0, "the third part has no commands")
	return all
}

// TestPageFaults is the control: a page that lacks something is found out.
func TestPageFaults(t *testing.T) {
	a, _ := ByName("sumsub")
	text, err := os.ReadFile(pageFile(a))
	if err != nil {
		t.Fatal(err)
	}
	f := func(old, to, want string) {
		t.Helper()
		if got := strings.Join(pageFaults(strings.Replace(string(text), old, to, 1), a), "; "); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%q in place of %q: %q, want %q", to, old, got, want)
		}
	}
	f("", "", "")
	f("## Check it", "## Checks", "its parts are")
	f("- **Retries:**", "- Retries:", "does not say **Retries:**")
	f("- **URL:** `https://YOUR-HOST/v1/callbacks/", "- **URL:** `https://YOUR-HOST/ingest/", "callback URL")
	f("```yaml", "```", "not one block of YAML")
	f("### Rotate the secret", "### Secrets", "how to rotate")
	f("```console", "```", "no commands")
}

// holdPage compares what stands between the markers of a page with what is made of the adapters,
// and returns the page. With -update it writes the page anew.
func holdPage(t *testing.T, file string, made map[string]string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Error(err)
		return ""
	}
	text := string(b)
	for name, part := range made {
		begin, end := "<!-- generated: "+name+" -->\n", "<!-- end -->\n"
		head, rest, ok := strings.Cut(text, begin)
		_, tail, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 || strings.Count(text, begin) != 1 {
			t.Errorf("%s has lost its markers of %s", file, name)
			return text
		}
		text = head + begin + "\n" + strings.TrimSpace(part) + "\n\n" + end + tail
	}
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Error(err)
		}
	} else if text != string(b) {
		t.Errorf("%s is not what the adapters say; run go test ./ingest/provider -run 'TestProvidersPage|TestProviderPages' -update", file)
	}
	return text
}

func between(text, begin, end string) string {
	_, rest, _ := strings.Cut(text, begin)
	part, _, _ := strings.Cut(rest, end)
	return part
}

func pageFile(a Adapter) string { return filepath.Join(providersDir, a.Name+".md") }

func byName() []Adapter {
	return slices.SortedFunc(slices.Values(All), func(x, y Adapter) int { return strings.Compare(x.Name, y.Name) })
}

// pageGroups are the groups of the list, by what proves a callback.
var pageGroups = []string{
	"**Each callback is signed with a secret that you share with the provider**",
	"**Each callback is signed with a key that the provider publishes**",
	"**Each callback carries a shared secret, and nothing signs its body**",
	"**Nothing proves a callback**; an address or a secret in the URL is all there is",
	"**There are no callbacks**; Countersign follows a stream of events",
}

func pageGroup(a Adapter) int {
	switch {
	case a.Stream != nil:
		return 4
	case a.API != nil && a.API.Keys != nil:
		return 1
	case a.Authenticity(nil) == kyc.Signed:
		return 0
	case a.Authenticity(nil) == kyc.Authenticated:
		return 2
	default:
		return 3
	}
}

// pageList is the list of the pages, in groups.
func pageList(t *testing.T) string {
	t.Helper()
	links := make([][]string, len(pageGroups))
	for _, a := range byName() {
		g := pageGroup(a)
		links[g] = append(links[g], fmt.Sprintf("[%s](providers/%s.md)", pageTitle(t, a), a.Name))
	}
	var b strings.Builder
	for i, name := range pageGroups {
		fmt.Fprintf(&b, "- %s: %s.\n", name, strings.Join(links[i], ", "))
	}
	return b.String()
}

// pageTitle is the provider's own name, as the heading of its page has it.
func pageTitle(t *testing.T, a Adapter) string {
	t.Helper()
	b, err := os.ReadFile(pageFile(a))
	title, _, _ := strings.Cut(string(b), "\n")
	if err != nil || !strings.HasPrefix(title, "# ") {
		t.Fatalf("%s has no heading: %v", pageFile(a), err)
	}
	return strings.TrimPrefix(title, "# ")
}

// pageTable compares the providers.
func pageTable(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("| provider | evidence | how a callback is proved | asked by API | approves | of steps and documents | events known | reason codes | checked against (date, bodies) |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, a := range byName() {
		asked := "no"
		if a.API != nil {
			asked = "yes"
		}
		proves, how := a.Authenticity(nil), provedBy(scheme(t, a, nil))
		if a.Stream != nil {
			proves, how = a.Evidence, "no callbacks: followed as a stream"
		}
		fmt.Fprintf(
			&b, "| [%s](providers/%s.md) | %s | %s | %s | %s | %s | %d | %d | %s |\n",
			a.Name, a.Name, proves, how, asked, codes(a.Overall), codes(a.Steps), len(a.Events), len(a.reasons), artefacts(t, a),
		)
	}
	return b.String()
}

func codes(checks []kyc.Check) string {
	names := make([]string, 0, len(checks))
	for _, c := range checks {
		names = append(names, "`"+string(c)+"`")
	}
	return strings.Join(names, ", ")
}

// provedBy says in a few words how a scheme proves a callback.
func provedBy(s signing.Scheme) string {
	switch s := s.(type) {
	case signing.BodyHMAC:
		return fmt.Sprintf("HMAC (%s) of the body in `%s`", s.Hash, s.Header)
	case signing.Timestamped:
		return fmt.Sprintf("HMAC of time and body, `t=…,v1=…` in `%s`", s.Header)
	case signing.StandardWebhooks:
		return "Standard Webhooks"
	case signing.DigestSuffix:
		return fmt.Sprintf("SHA-256 of body and secret in `%s`", s.Header)
	case signing.BodyProof:
		return fmt.Sprintf("HMAC in the body's `%s`, which does not cover the body", s.Signature)
	case signing.BodyToken:
		return fmt.Sprintf("a fixed token in the body's `%s`", s.Member)
	case signing.Static:
		return fmt.Sprintf("a fixed credential (%s) in a header", s.Scheme)
	case signing.Unsigned:
		return "nothing: by address or path token"
	case interface{ Unwrap() signing.Scheme }:
		return provedBy(s.Unwrap())
	case fmt.Stringer:
		return s.String()
	default:
		return fmt.Sprintf("%T", s)
	}
}
