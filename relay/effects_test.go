package relay

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"math/rand/v2"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox/store"
)

// effectsOf is what the last of some records tells refs, what those tell persons because of that, and
// what of it goes, where the records before it are folded in the same batch. Nothing of it is kept.
func effectsOf(t *testing.T, g *rig, rs []journal.Record) (told []string, n map[effectKind]int) {
	t.Helper()
	r := g.relay
	r.folding.Lock()
	defer r.folding.Unlock()
	n = map[effectKind]int{}
	note := func(es []effect) {
		for i := range es {
			e := &es[i]
			n[e.kind]++
			told = append(told, fmt.Sprintf("%d %q %q %s", e.kind, e.strand, e.ref, e.id()))
		}
	}
	err := g.store.View(func(tx *store.Tx) error {
		b := r.newBatch()
		defer b.done()
		b.tx = tx
		for len(rs) > 0 {
			said, done, err := b.together(rs)
			if err != nil {
				return err
			}
			if rs = rs[done:]; len(rs) > 0 {
				if err := b.records(said); err != nil {
					return err
				}
				continue
			}
			for i := range said {
				u := &said[i].u
				lane, verdict := b.owner(u)
				if verdict != "" {
					continue
				}
				es := slices.Clone(b.teach(u, lane))
				note(es)
				if err := b.loop(es); err != nil {
					return err
				}
			}
			note(b.routed)
			byArrival(b.routed)
			note(b.free(b.routed))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return told, n
}

// TestEffectsTwice: what a record tells other strands is the same, in the same order and under the
// same ids, however often it is folded (I4): what has been told twice is then known to be the same.
func TestEffectsTwice(t *testing.T) {
	t.Parallel()
	n := map[effectKind]int{}
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 5))
		g := newRig(t, acme(), Partner{ID: "globex"})
		if err := g.registry.RegisterPolicies(t.Context()); err != nil {
			t.Fatal(err)
		}
		all := []kyc.Update{of(said("early", 9, kyc.Approved), "persona", "act_early", "inq_early", "")}
		for i := range 7 { // in one batch with what frees them
			all = slices.Insert(all, i, byRef(of(said("", i, kyc.Pending), "persona", "", "inq_early", "")))
		}
		var rs []journal.Record
		for i, u := range append(all, randomUpdates(seed, 150)...) {
			us := []kyc.Update{u}
			if i%5 == 0 && i > len(all) {
				s := claimed(submits(fmt.Sprint("user-", r.IntN(5)), fmt.Sprint([]string{"p-user-", "q-user-"}[r.IntN(2)], r.IntN(5))))
				if s.Release = r.IntN(3) == 0; s.Release {
					s = named(s)
				}
				us = append(us, s)
			}
			for _, u := range us {
				rec := g.record(u)
				g.appended++
				rec.Position = g.at(g.appended)
				rs = append(rs, rec)
			}
		}
		for size := len(all); len(rs) > 0; size = 1 + r.IntN(24) {
			part := rs[:min(len(rs), size)]
			rs = rs[len(part):]
			for i := range part {
				first, of := effectsOf(t, g, part[:i+1])
				second, _ := effectsOf(t, g, part[:i+1])
				if same(t, "what is told the second time", second, first); t.Failed() {
					return
				}
				for kind, many := range of {
					n[kind] += many
				}
			}
			if err := g.relay.fold(t.Context(), part); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, kind := range []effectKind{refClaimed, refDecided, updateRouted} {
		if n[kind] < 30 {
			t.Errorf("%d effects of kind %d: this shows little of them", n[kind], kind)
		}
	}
}

// TestFreedInOrder: what one word sets free by several refs is applied in order of arrival, and not
// ref by ref.
func TestFreedInOrder(t *testing.T) {
	of := func(minute int, s kyc.Status, subjectRef, sessionRef string) kyc.Update {
		return byRef(timeless(of(said("ann", minute, s), "persona", subjectRef, sessionRef, "")))
	}
	teaches := said("ann", 9, kyc.Approved)
	teaches.Check, teaches.Provider, teaches.Source = kyc.Screening, "persona", "persona-eu"
	teaches.Subject.ProviderRef, teaches.Verification.Ref = "act_1", "inq_1"
	routed(t, status(kyc.Rejected, "applied[1 2]", "applied[3 4]", "applied[5 6]", "applied[7]"),
		of(1, kyc.InReview, "", "inq_1"), of(2, kyc.Approved, "act_1", ""), of(3, kyc.Rejected, "", "inq_1"), named(teaches))
}

// TestFreeAsksEveryRef: what waits behind two refs that become two persons' stays, whichever of them
// says that it is free.
func TestFreeAsksEveryRef(t *testing.T) {
	waits := unknown(1, kyc.Approved, "act_1", "inq_2", "")
	ann, bob := of(said("ann", 2, kyc.Pending), "persona", "act_1", "inq_1", ""), of(said("bob", 2, kyc.Pending), "persona", "act_2", "inq_2", "")
	ann.Callback, bob.Callback = kyc.Callback{ID: "one", Count: 2}, kyc.Callback{ID: "one", Index: 1, Count: 2}
	for _, both := range [][]kyc.Update{{ann, bob}, {bob, ann}} {
		g := start(t, acme())
		g.tell(waits)
		g.tell(both...)
		g.folded()
		held(t, g, 1)
		records(t, g, "ann", "applied[1 2]")
		records(t, g, "bob", "applied[1 2]")
	}
}

// TestEffectIDs: a claim is named by what it says, whichever record says so; what an operator's order
// says, by the order too; and an update that is routed is that update.
func TestEffectIDs(t *testing.T) {
	ref := refKey("persona-eu", "act_1", true)
	base := effect{kind: refClaimed, strand: ref, claim: claim{Lane: "acme/ann", Update: "one", At: at(1)}}
	seen := map[string]string{base.id(): "a claim"}
	f := func(what string, same bool, change func(*effect)) {
		t.Helper()
		e := base
		change(&e)
		is, known := seen[e.id()]
		if known != same || same && is != "a claim" {
			t.Errorf("%s: the id is that of %q", what, is)
		}
		seen[e.id()] = what
	}
	f("said by another update, later", true, func(e *effect) { e.claim.Update, e.claim.At = "two", at(2) })
	seen[base.id()] = "a claim"
	f("of somebody else", false, func(e *effect) { e.claim.Lane = "acme/bob" })
	f("of another ref", false, func(e *effect) { e.strand = refKey("persona-eu", "act_2", true) })
	f("of the other mode", false, func(e *effect) { e.strand = refKey("persona-eu", "act_1", false) })
	f("registered", false, func(e *effect) { e.claim.Registered = true })
	f("registered, and served", false, func(e *effect) { e.claim.Registered, e.claim.Served = true, true })
	f("taken back", false, func(e *effect) { e.kind = refForgotten })
	f("taken back by another order", false, func(e *effect) { e.kind, e.claim.Update = refForgotten, "two" })
	decided, routed := effect{kind: refDecided, strand: ref, claim: claim{Lane: "acme/ann", Update: "order"}}, effect{kind: updateRouted, strand: "acme/ann", update: &kyc.Update{ID: "u"}}
	if decided.id() != "order" || routed.id() != "u" {
		t.Errorf("a decision is %s, what is routed %s", decided.id(), routed.id())
	}
}

// toldOnly is who may call what changes another strand: by it a ref's strand is changed by what it
// is told, and what waited behind a ref comes to a person as something that the ref tells.
var toldOnly = map[string][]string{
	"change":     {"decide", "learn", "serve", "unlearn"}, // writes a ref's strand
	"refuse":     {"learn"},
	"contested":  {"learn"},
	"decide":     {"take"},
	"learn":      {"take"},
	"serve":      {"take"},
	"unlearn":    {"take"},
	"take":       {"loop"},
	"wakeFor":    {"decide", "learn"},
	"free":       {"release"},
	"applyFreed": {"giveBack", "receive"}, // giveBack: what waited behind the person, and no ref
	"receive":    {"override", "release"},
}

// callers are the functions of the package that call methods of a batch, by method; and, under
// "refs", those that put something into its strands.
func callers(t *testing.T, beside string) map[string][]string {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "beside.go", "package relay\n"+beside, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	files := []*ast.File{f}
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	info := types.Info{Selections: map[*ast.SelectorExpr]*types.Selection{}}
	c := types.Config{Importer: emptyPackages{}, Error: func(error) {}} // of other packages nothing is known, and nothing asked
	_, _ = c.Check("relay", fset, files, &info)
	who := map[string]map[string]bool{}
	for _, f := range files {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			note := func(x ast.Expr) {
				s, ok := x.(*ast.SelectorExpr)
				if !ok || info.Selections[s] == nil || strings.TrimPrefix(info.Selections[s].Recv().String(), "*") != "relay.batch" {
					return
				}
				if who[s.Sel.Name] == nil {
					who[s.Sel.Name] = map[string]bool{}
				}
				who[s.Sel.Name][fn.Name.Name] = true
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.SelectorExpr:
					if is := info.Selections[n]; is != nil && is.Kind() == types.MethodVal {
						note(n)
					}
				case *ast.AssignStmt:
					for _, to := range n.Lhs {
						if at, ok := to.(*ast.IndexExpr); ok {
							note(at.X)
						}
					}
				}
				return true
			})
		}
	}
	is := map[string][]string{}
	for name, by := range who {
		is[name] = slices.Sorted(maps.Keys(by))
	}
	return is
}

// emptyPackages imports everything as a package with nothing in it.
type emptyPackages struct{}

func (emptyPackages) Import(of string) (*types.Package, error) {
	p := types.NewPackage(of, path.Base(of))
	p.MarkComplete()
	return p, nil
}

// TestStrandsChangeByEffects: nothing but effects carries what one strand does to another.
func TestStrandsChangeByEffects(t *testing.T) {
	differs := func(is map[string][]string) (list []string) {
		for name, want := range toldOnly {
			if !slices.Equal(is[name], want) {
				list = append(list, fmt.Sprintf("%s is called by %v, want %v", name, is[name], want))
			}
		}
		if want := []string{"change"}; !slices.Equal(is["refs"], want) {
			list = append(list, fmt.Sprintf("strands are put by %v, want %v", is["refs"], want))
		}
		return list
	}
	for _, is := range differs(callers(t, "")) {
		t.Error(is)
	}
	for _, sly := range []string{
		`func (b *batch) sly(s *refStrand) { b.change("", s, func() bool { return true }) }`,
		`func sly(is *batch, e *effect) { _, _ = is.learn(e) }`,
		`func sly(b *batch) { go func() { _ = b.applyFreed("", nil) }() }`,
		`func (r *Relay) sly() { take := r.spare.take; _, _ = take(nil) }`,
		`func sly(b *batch, s *refStrand) { b.refs[""] = s }`,
	} {
		if len(differs(callers(t, sly))) != 1 {
			t.Errorf("not seen: %s", sly)
		}
	}
}
