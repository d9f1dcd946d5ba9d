package registry

import (
	"slices"
	"strings"
	"testing"
)

// TestRenamePartner: a partner takes another id by renamed_from alone, once, along chains and back,
// with its endpoints and policies; nobody else gets an id that it has or had.
func TestRenamePartner(t *testing.T) {
	g := newRig(t)
	g.run()
	f := func(want string, entries ...string) {
		t.Helper()
		got := g.serve(nil, entries...)
		if got == "" != (want == "") || !strings.Contains(got, want) {
			t.Fatalf("%v: %q; want %q", entries, got, want)
		}
		if err := g.RegisterPolicies(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	is := func(id, kept, shown string) {
		t.Helper()
		if s := g.Read(); s.Kept(id) != kept || s.Shown(id) != shown {
			t.Errorf("%s is kept under %s and shown as %s, want %s and %s", id, s.Kept(id), s.Shown(id), kept, shown)
		}
	}
	f("", "acme:a", "beta:x")
	f("renamed_from: no partner nobody is known", "globex<nobody:g", "acme:a", "beta:x")
	f("renamed_from: partner acme is in the config as acme", "acme:a", "globex<acme:g", "beta:x")
	f("renamed_from: partner beta is known already", "beta<acme:x")
	f("endpoint a belongs to partner acme", "globex:a", "beta:x") // without renamed_from it is another partner
	f("", "globex<acme:a", "beta:x")
	is("globex", "acme", "globex")
	is("acme", "acme", "globex")
	is("beta", "beta", "beta")
	if p := g.Read().Partner("acme"); p == nil || p.ID != "globex" || g.Read().NewestPolicy("globex") != 1 || len(g.Read().Policies("acme")) != 1 {
		t.Errorf("by its old id: %+v, policy %d", p, g.Read().NewestPolicy("globex"))
	}
	f("", "globex<acme:a", "beta:x") // it may stay in the config
	f("", "globex:a", "beta:x")      // and need not
	f("id: partner acme was renamed to globex", "globex:a", "acme:n", "beta:x")
	f("endpoint a belongs to partner globex", "globex:b", "beta:a")
	f("renamed_from: partner acme is in the config as globex", "globex:a", "initech<acme:n", "beta:x")
	f("renamed_from: partner acme was renamed to globex", "acme<beta:x")
	f("", "initech<acme:a", "beta:x") // from any id that it had
	is("acme", "acme", "initech")
	is("globex", "acme", "initech")
	if ids, err := g.PartnerNames("initech"); err != nil || !slices.Equal(ids, []string{"initech", "globex", "acme"}) {
		t.Errorf("names: %v, %v", ids, err)
	}
	f("id: partner globex was renamed to initech", "globex:n", "initech:a", "beta:x")
	f("", "acme<initech:a", "beta:x")
	is("initech", "acme", "acme")
	is("globex", "acme", "acme")
	f("", "acme:a", "beta:x")
	if o := g.plan(nil, "beta:x"); !slices.Equal(o.Gone, []string{"acme"}) || !slices.Equal(o.Orphans, []Orphan{{"acme", "a"}}) {
		t.Errorf("gone: %v, %v", o.Gone, o.Orphans)
	}
}

// TestRenamedOnAnEmptyFile: a config that says what a partner was called is served upon a new file,
// at the second start too.
func TestRenamedOnAnEmptyFile(t *testing.T) {
	g := newRig(t)
	g.run()
	for range 2 {
		if got := g.serve(nil, "globex<acme:a"); got != "" {
			t.Fatal(got)
		}
		if err := g.RegisterPolicies(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
