package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestNearest: a slip finds the word that was meant, and what is far from all finds none.
func TestNearest(t *testing.T) {
	words := []string{"sumsub", "onfido", "complycube", "stripe_identity", "standard", "blendfi", "blendfi-v1", "id", "url"}
	f := func(word, want string) {
		t.Helper()
		if got := nearest(word, words); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
	f("sumsb", "sumsub")
	f("smusub", "sumsub") // two letters swapped are one slip
	f("SUMSUB", "sumsub")
	f("onfdio", "onfido")
	f("stripe", "stripe_identity")
	f("stripeidentity", "stripe_identity")
	f("complicube", "complycube")
	f("blendfi-v2", "blendfi-v1")
	f("blend", "") // there are two
	f("url", "url")
	f("ulr", "url")
	f("zzz", "")
	f("", "")
	f("veryfarfromeverything", "")
	f(strings.Repeat("x", 10_000), "")
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "ab", 2}, {"ab", "", 2}, {"ab", "ba", 1}, {"abc", "ca", 3}, {"kitten", "sitting", 3}, {"über", "uber", 1}} {
		if got := distance(c.a, c.b); got != c.want || distance(c.b, c.a) != got {
			t.Errorf("%q to %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// TestDidYouMean types slips of every kind of word: each names what was meant.
func TestDidYouMean(t *testing.T) {
	house, config := house(t, "http://127.0.0.1:9/")
	g := start(t, config)
	token, err := readToken(filepath.Join(house, "data", tokenFile))
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{urlVariable: "http://" + g.control.Addr().String(), tokenVariable: token}
	dir := t.TempDir()
	body := write(t, dir, "body", "{}")
	f := func(want int, meant string, args ...string) {
		t.Helper()
		code, out, errs := cli(t, env, args...)
		if code != want || !strings.Contains(out+errs, "did you mean "+meant) {
			t.Errorf("%q: exit %d, want %d with %s\n%s%s", args, code, want, meant, out, errs)
		}
	}
	f(exitUsage, `"deliveries"?`, "delivries")
	f(exitUsage, `"rotate"?`, "endpoints", "rotat", "acme-main")
	f(exitUsage, `"--overlap"?`, "endpoints", "rotate", "acme-main", "--overlp", "1h")
	f(exitNo, "sumsub?", "providers", "sumsb")
	f(exitNo, "sumsub?", "verify", "--provider", "sumsb", "--body", body)
	f(exitNo, "sumsub?", "translate", "--provider", "SumSub", "--body", body)
	f(exitNo, "standard?", "sign", "--scheme", "standart", "--key", "env:K", "--body", body)
	f(exitNo, "sumsub-eu?", "trigger", "sumsub-ue", "approved", "--config", config)
	f(exitNo, "approved?", "trigger", "sumsub-eu", "aproved", "--config", config)
	f(exitUnknown, "acme-main?", "endpoints", "show", "acme-mian")
	f(exitUnknown, "acme-main?", "endpoints", "rotate", "acme_main", "--kind", "ed25519")
	f(exitUnknown, "acme?", "partners", "show", "acne")
	f(exitUnknown, "acme?", "policy", "show", "acm")
	bad := func(old, text, meant string) {
		t.Helper()
		changed := write(t, dir, "bad.yaml", strings.Replace(read(t, config), old, text, 1))
		f(exitNo, meant, "check", "--config", changed)
	}
	bad("mode:", "mdoe:", "mode?")
	bad("mode: sandbox", "mode: sandbx", "sandbox?")
	bad("partners:", "partner:", "partners?")
	bad("provider: sumsub", "provider: sumsbu", "sumsub?")
	bad("provider: sumsub", "providr: sumsub", "provider?")
	bad("retry: {", "format: standrad, retry: {", "standard?")
	bad("retry: {first", "retry: {frist", "first?")
}
