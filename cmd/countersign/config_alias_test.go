package main

import (
	"fmt"
	"strings"
	"testing"
)

// TestAliases: anchors, aliases and merge keys mean what YAML says, so that a config with them is
// the one that has everything written out.
func TestAliases(t *testing.T) {
	dir := folder(t)
	f := func(short, long string) {
		t.Helper()
		got, problems := load(t, dir, "c.yaml", short, nil)
		if len(problems) > 0 {
			t.Fatalf("%v:\n%s", problems, short)
		}
		want, problems := load(t, dir, "c.yaml", long, nil)
		if len(problems) > 0 {
			t.Fatalf("%v:\n%s", problems, long)
		}
		if fmt.Sprintf("%+v", got.Partners) != fmt.Sprintf("%+v", want.Partners) || len(got.Sources) != len(want.Sources) {
			t.Errorf("%+v\nwant %+v", got.Partners, want.Partners)
		}
		if len(differences(want, got)) > 0 || len(got.Said) != len(want.Said) {
			t.Errorf("they differ: %v", differences(want, got))
		}
	}
	const sources = "sources: [{name: a, provider: sumsub, keys: [env:KEY], partner: acme}]\n"
	f(sources+`
x-defaults: &slow {timeout: 20s, concurrency: 4, retry: {first: 1s, attempts: 3}}
x-more: &quick {timeout: 2s, format: standard}
partners:
  - id: acme
    endpoints:
      - {id: one, url: "https://one.example/", keys: &keys [env:KEY], <<: *slow}
      - {<<: [*quick, *slow], id: two, url: "https://two.example/", keys: *keys, concurrency: 9}
      - id: three
        url: &u https://three.example/
        keys: *keys
        <<: &both
          <<: *slow
          concurrency: 7
      - {id: four, url: *u, keys: *keys, <<: *both}
`, sources+`
partners:
  - id: acme
    endpoints:
      - {id: one, url: "https://one.example/", keys: [env:KEY], timeout: 20s, concurrency: 4, retry: {first: 1s, attempts: 3}}
      - {id: two, url: "https://two.example/", keys: [env:KEY], concurrency: 9, timeout: 2s, format: standard, retry: {first: 1s, attempts: 3}}
      - {id: three, url: "https://three.example/", keys: [env:KEY], concurrency: 7, timeout: 20s, retry: {first: 1s, attempts: 3}}
      - {id: four, url: "https://three.example/", keys: [env:KEY], concurrency: 7, timeout: 20s, retry: {first: 1s, attempts: 3}}
`)
}

// TestAliasProblems: what is wrong in a place that an alias leads to is said with the line where it
// is written, and whatever repeats itself into the millions is refused before it is read.
func TestAliasProblems(t *testing.T) {
	dir := folder(t)
	f := func(text, want string) {
		t.Helper()
		var problems []problem
		made := testing.AllocsPerRun(1, func() { _, problems = load(t, dir, "c.yaml", text, nil) })
		if len(problems) != 1 || !strings.Contains(problems[0].String(), want) || problems[0].Remedy == "" {
			t.Errorf("%.300v\nwant %s", problems, want)
		}
		if made > 50_000 {
			t.Errorf("%v allocations for %d bytes", made, len(text))
		}
	}
	var laughs strings.Builder
	laughs.WriteString("sources: []\npartners: []\nx-0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n")
	for i := 1; i < 30; i++ { // 9 to the power of 30
		fmt.Fprintf(&laughs, "x-%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 8), i-1)
	}
	f(laughs.String(), "has aliases that repeat more than 200000 values; write out")
	var merged strings.Builder
	merged.WriteString("sources: []\npartners: []\nx-0: &a0 {k: v}\n")
	for i := 1; i < 70; i++ { // 2 to the power of 70: it must not come round
		fmt.Fprintf(&merged, "x-%d: &a%d {l: *a%d, r: *a%d}\n", i, i, i-1, i-1)
	}
	f(merged.String()+"x-m: {<<: *a69}\n", "has aliases that repeat more than 200000 values; write out")
	wide := "x-w: &w [" + strings.Repeat("1, ", 999) + "1]\n"
	f("sources: []\npartners: []\n"+wide+"x-all: ["+strings.Repeat("*w, ", 250)+"*w]\n", "has aliases that repeat more than 200000 values; write out")
	f("sources: []\npartners: *none\n", "is not YAML")
	f("sources: []\nx-t: &t {timeout: soon}\npartners: [{id: acme, endpoints: [{id: e, url: \"https://e.example/\", keys: [env:KEY], <<: *t}]}]\n", "c.yaml:2: partners[0].endpoints[0].timeout: ")
	f("sources: []\npartners: [{id: acme, x-note: 1}]\n", "c.yaml:2: partners[0].x-note: unknown key")
}

// TestLoadIsLinear: twice as many sources, partners and key files cost twice as much, and no more:
// counted in allocations, since a clock depends on who else runs.
func TestLoadIsLinear(t *testing.T) {
	cost := func(n int) float64 {
		path, _ := bigConfig(t, n)
		return testing.AllocsPerRun(1, func() {
			if _, problems := loadConfig(path, bigEnv, knownNames()); len(problems) > 0 {
				t.Fatal(problems[0])
			}
		})
	}
	one, two := cost(1000), cost(2000)
	t.Logf("%.0f allocations for 1000 sources, %.0f for 2000", one, two)
	if two > 2.5*one || one > 250*1000 {
		t.Errorf("%.0f allocations for 1000 sources, %.0f for 2000", one, two)
	}
}
