package registry

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/outbox/store"
	"countersign/signing"
)

// config is a config in short: partner:endpoint, and <old behind either that was renamed from that.
func config(entries ...string) (ps []Partner) {
	for _, s := range entries {
		partner, rest, _ := strings.Cut(s, ":")
		id, from, _ := strings.Cut(rest, "<")
		partner, was, _ := strings.Cut(partner, "<")
		i := slices.IndexFunc(ps, func(p Partner) bool { return p.ID == partner })
		if i < 0 {
			i, ps = len(ps), append(ps, Partner{ID: partner, RenamedFrom: was})
		}
		if id != "" {
			ps[i].Endpoints = append(ps[i].Endpoints, Endpoint{ID: id, RenamedFrom: from})
		}
	}
	return ps
}

func (g *rig) plan(owing map[string]string, entries ...string) (p Plan) {
	g.t.Helper()
	if err := g.store.View(func(tx *store.Tx) (err error) { p, err = PlanOf(tx, config(entries...), owing); return err }); err != nil {
		g.t.Fatal(err)
	}
	return p
}

// serve is a start with a config: "" if it is served.
func (g *rig) serve(owing map[string]string, entries ...string) (refused string) {
	g.t.Helper()
	p := g.plan(owing, entries...)
	var all []string
	for _, r := range p.Refused {
		all = append(all, fmt.Sprintf("%s.%s: %s; %s", r.Endpoint, r.Key, r.What, r.Remedy))
	}
	if len(all) > 0 {
		return strings.Join(all, "\n")
	}
	if err := errors.Join(g.RenamePartners(g.t.Context(), p), g.Own(g.t.Context(), p)); err != nil {
		g.t.Fatal(err)
	}
	for _, m := range p.Moves {
		if err := g.Begin(g.t.Context(), m); err != nil {
			g.t.Fatal(err)
		}
		if err := g.Finish(g.t.Context(), m); err != nil {
			g.t.Fatal(err)
		}
	}
	g.again(config(entries...)...)
	return ""
}

// TestOwners: an endpoint is its first partner's for ever, in the config or not; it takes another
// id by renamed_from alone, once, along chains and back.
func TestOwners(t *testing.T) {
	g := newRig(t)
	g.run()
	f := func(want string, entries ...string) {
		t.Helper()
		if got := g.serve(nil, entries...); got == "" != (want == "") || !strings.Contains(got, want) {
			t.Fatalf("%v: %q; want %q", entries, got, want)
		}
	}
	f("", "acme:a", "acme:b", "beta:x")
	f("a.id: endpoint a belongs to partner acme", "acme:b", "beta:a")
	f("", "acme:b", "beta:x")
	if o := g.Read().Orphans(); !slices.Equal(o, []Orphan{{"acme", "a"}}) {
		t.Errorf("orphans: %v", o)
	}
	f("a.id: endpoint a belongs to partner acme", "acme:b", "beta:x", "beta:a") // gone from the config, it is acme's still
	f("y.renamed_from: endpoint a belongs to partner acme", "acme:b", "beta:x", "beta:y<a")
	f("b.renamed_from: endpoint b has been in use", "acme:b<a", "beta:x")
	f("c.renamed_from: no endpoint typo is known", "acme:b", "acme:c<typo", "beta:x")
	f("", "acme:b", "acme:c<a", "beta:x")
	f("", "acme:b", "acme:c<a", "beta:x") // a second start
	if p := g.plan(nil, "acme:b", "acme:c<a", "beta:x"); len(p.Moves)+len(p.Orphans)+len(p.Gone)+len(p.fresh) != 0 {
		t.Errorf("a second start: %+v", p)
	}
	f("a.id: endpoint a was renamed to c", "acme:b", "acme:a", "acme:c", "beta:x")
	f("d.renamed_from: endpoint a was renamed to c, which is in the config", "acme:b", "acme:c", "acme:d<a", "beta:x")
	f("", "acme:b", "acme:d<a", "beta:x") // a became c: that is what is renamed
	if s := g.Read(); s.Current("a") != "d" || s.Current("c") != "d" || s.Current("b") != "b" || !slices.Equal(s.Formerly("d"), []string{"c", "a"}) {
		t.Errorf("a is %s, c is %s; d was %v", s.Current("a"), s.Current("c"), s.Formerly("d"))
	}
	f("", "acme:b", "acme:a<d", "beta:x") // and back
	if s := g.Read(); s.Current("d") != "a" || s.Current("a") != "a" || !slices.Equal(s.Formerly("a"), []string{"d", "c"}) {
		t.Errorf("d is %s, a is %s; a was %v", s.Current("d"), s.Current("a"), s.Formerly("a"))
	}
	f("e.renamed_from: endpoint b was renamed to f", "acme:f<b", "acme:e<b", "acme:a", "beta:x")
	if p := g.plan(nil, "acme:a", "acme:b"); !slices.Equal(p.Gone, []string{"beta"}) || !slices.Equal(p.Orphans, []Orphan{{"beta", "x"}}) {
		t.Errorf("without beta: %+v", p)
	}
}

// TestOwnersOfBefore: in a file that knows no owners, an endpoint that owes something is the
// partner's whose people that is about.
func TestOwnersOfBefore(t *testing.T) {
	g := newRig(t)
	g.run()
	owing := map[string]string{"a": "acme", "gone": "acme"}
	if s := g.serve(owing, "beta:a"); !strings.Contains(s, "belongs to partner acme") {
		t.Errorf("a start: %q", s)
	}
	if s := g.serve(owing, "acme:b<a"); s != "" {
		t.Errorf("a start: %q", s)
	}
	if s := g.Read(); s.Current("a") != "b" || !slices.Equal(s.Orphans(), []Orphan{{"acme", "gone"}}) {
		t.Errorf("a is %s; orphans %v", s.Current("a"), s.Orphans())
	}
}

// TestMove: a key that was made, and the mark of a disabled endpoint, go with it, and stand under
// no other name; a start goes on with a move that has begun, whatever its config.
func TestMove(t *testing.T) {
	g := newRig(t, acme())
	g.run()
	if s := g.serve(nil, "acme:a", "acme:b"); s != "" {
		t.Fatal(s)
	}
	if _, _, err := g.FirstKey(t.Context(), "a", func(string) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Rotate(t.Context(), "a", signing.HMAC, time.Hour, nil); err != nil {
		t.Fatal(err)
	}
	made := g.Read().Keys("a")
	wrote := make(chan error, 1)
	g.Disable("a", "410 Gone", func(err error) { wrote <- err })
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
	p := g.plan(nil, "acme:c<a", "acme:b")
	if len(p.Moves) != 1 {
		t.Fatalf("%+v", p)
	}
	if err := g.Begin(t.Context(), p.Moves[0]); err != nil { // and the process dies
		t.Fatal(err)
	}
	if s := g.serve(nil, "acme:a", "acme:b"); !strings.Contains(s, "a was renamed to c") {
		t.Errorf("a start with the config of before: %q", s)
	}
	if s := g.serve(nil, "acme:b"); s != "" {
		t.Error(s)
	}
	if s := g.serve(nil, "acme:b", "acme:c"); s != "" {
		t.Error(s)
	}
	moved := g.Read().Keys("c")
	if len(moved) != 2 || len(made) != 2 {
		t.Fatalf("%d of %d keys have gone along", len(moved), len(made))
	}
	for i := range moved {
		if moved[i].ID != made[i].ID || !moved[i].Until.Equal(made[i].Until) || !same(moved[i].Key, made[i].Key) {
			t.Errorf("key %d has changed on the way", i)
		}
	}
	if g.kept("a") != nil {
		t.Error("the old id has keys")
	}
	if s := g.Read(); s.Disabled("c") != "410 Gone" || g.isDisabled("a") || len(s.Orphans()) != 0 {
		t.Errorf("c is disabled for %q, a: %v; orphans %v", s.Disabled("c"), g.isDisabled("a"), s.Orphans())
	}
}
