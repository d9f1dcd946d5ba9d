package provider

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"countersign/kyc"
	"countersign/signing"
)

var update = flag.Bool("update", false, "write docs/PROVIDERS.md")

const providersPage = "../../docs/PROVIDERS.md"

// TestProvidersPage holds docs/PROVIDERS.md to the adapters: what stands between its markers is
// what they say of themselves.
func TestProvidersPage(t *testing.T) {
	text, err := os.ReadFile(providersPage)
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil || !strings.Contains(string(readme), fmt.Sprintf("In: %d providers", len(All))) {
		t.Errorf("the README does not say that there are %d providers: %v", len(All), err)
	}
	const begin, end = "<!-- generated: begin -->\n", "<!-- generated: end -->\n"
	head, rest, ok := strings.Cut(string(text), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has lost its markers", providersPage)
	}
	want := head + begin + describeAll(t) + end + tail
	if *update {
		if err := os.WriteFile(providersPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(text) {
		t.Errorf("%s is not what the adapters say; run go test ./ingest/provider -run TestProvidersPage -update", providersPage)
	}
}

func describeAll(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("\n| provider | proves | how a callback is proved | asked by API | events known | reason codes | Judged by (date, bodies) |\n|---|---|---|---|---|---|---|\n")
	all := slices.SortedFunc(slices.Values(All), func(x, y Adapter) int { return strings.Compare(x.Name, y.Name) })
	for _, a := range all {
		asked := "no"
		if a.API != nil {
			asked = "yes"
		}
		proves, how := a.Authenticity(nil), provedBy(scheme(t, a, nil))
		if a.Stream != nil {
			proves, how = a.Evidence, "no callbacks: followed as a stream"
		}
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s | %s | %d | %d | %s |\n", a.Name, a.Name, proves, how, asked, len(a.Events), len(a.reasons), artefacts(t, a))
	}
	for _, a := range all {
		describe(t, &b, a)
	}
	b.WriteString("\n")
	return b.String()
}

func describe(t *testing.T, b *strings.Builder, a Adapter) {
	t.Helper()
	fmt.Fprintf(b, "\n## %s\n\n<%s>\n\n", a.Name, a.Doc)
	for _, v := range variants(t, a) {
		if v.Error == "" && a.Authenticity(v.Options) != a.Authenticity(nil) {
			fmt.Fprintf(b, "- With `%s` it proves %s.\n", flat(v.Options), a.Authenticity(v.Options))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.Options)) {
		fmt.Fprintf(b, "- Option `%s`: %s.\n", name, a.Options[name])
	}
	if a.Stream != nil {
		fmt.Fprintf(b, "- It posts no callbacks and is followed as a stream, for which the source needs `api`: %s; <%s>.\n", a.Stream.Credentials, a.Stream.Doc)
	} else if a.API != nil {
		fmt.Fprintf(b, "- Asked: %s; <%s>. Without `api` in the source, what needs an answer waits as pending or in_review.\n", a.API.Credentials, a.API.Doc)
	} else if a.Authenticity(nil) != kyc.Signed {
		b.WriteString("- Nobody is asked: approvals and terminal rejections wait as in_review until an operator decides, or until the source is configured to trust what it proves.\n")
	}
	fmt.Fprintf(b, "- Approves: %s", codes(a.Overall))
	if len(a.Steps) > 0 {
		fmt.Fprintf(b, "; of steps and documents: %s", codes(a.Steps))
	}
	if a.Workflow != "" {
		fmt.Fprintf(b, ". What `workflows` of a source names: %s", a.Workflow)
	}
	b.WriteString(".\n")
	b.WriteString(artefacts(t, a).lines())
	for _, g := range a.Gaps {
		fmt.Fprintf(b, "- Not verified or not supported: %s\n", g)
	}
	fmt.Fprintf(b, "- Events: %s.\n", "`"+strings.Join(a.Events, "`, `")+"`")
}

func codes(checks []kyc.Check) string {
	names := make([]string, 0, len(checks))
	for _, c := range checks {
		names = append(names, "`"+string(c)+"`")
	}
	return strings.Join(names, ", ")
}

func flat(o Options) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(o)) {
		parts = append(parts, name+": "+o[name])
	}
	return strings.Join(parts, ", ")
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
