package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay/registry"
)

// distinct is how the person of these tests is called, by the partner and by providers: nothing
// else in the file may read like it.
const distinct = "Zyxwv"

// remarkable is a rig that keeps something of one person in every bucket that may, and of others
// beside that, and how the person is called.
func remarkable(t *testing.T) (g *rig, id string) {
	t.Helper()
	id = "user-" + distinct
	p := newPartner(t, func(h hit) reply {
		if strings.Contains(h.body, "rejected") || strings.Contains(h.body, "suspended") {
			return reply{code: 500}
		}
		return ok(h)
	})
	g = newRig(t)
	g.close()
	g.forward = true
	g.wrap = func(b *journal.Bolt) readAndWritten { return hoarding{b} } // so that what is folded stays there
	g.partners = []Partner{acme(p.endpoint("a", only("kyc.status.*"), attempts(2)), p.endpoint("b", only("kyc.status.*"), hourly)), {ID: "globex"}}
	g.open()
	g.run()
	of := func(u kyc.Update) kyc.Update {
		u.Subject.ProviderRef, u.Verification.Ref = "applicant-"+distinct, "session-"+distinct
		u.BodySHA256 = "digest-of-" + u.Verification.Ref
		return named(u)
	}
	g.tell(of(said(id, 1, kyc.Approved)), of(because(said(id, 2, kyc.Rejected), kyc.FraudSuspected)), said("bob", 1, kyc.Approved), said("bob", 2, kyc.Rejected))
	g.folded()
	eventually(t, "one endpoint is owed, and of the other it is dead", func() bool {
		return len(g.dead("a")) > 1 && g.outbox.OldestDue("a").IsZero() && g.outbox.OldestDue("b").IsZero()
	})
	g.tell(of(said(id, 3, kyc.Approved)))
	g.folded()
	g.tamper(func(tx *store.Tx) error { // as on a node that is not the only one
		return QueueReceipts(tx, Receipt{ID: "evt_1", Endpoint: "a", Partner: "acme", Subject: id, Livemode: true}, Receipt{ID: "evt_2", Endpoint: "a", Partner: "acme", Subject: "bob", Livemode: true})
	})
	// Somebody else claims a ref of the person, a callback waits for it, another is put away, a
	// question is open, bodies are in quarantine, and operators have given orders.
	if _, err := g.submit(submits(id, "shared-ref")); err != nil {
		t.Fatal(err)
	}
	if _, err := g.submit(submits("bob", "shared-ref")); err == nil {
		t.Fatal("a ref that two claim is not contested")
	}
	g.allFolded()
	late := byRef(of(said(id, 5, kyc.Pending)))
	late.Source, late.Provider, late.Subject.ProviderRef, late.Verification.Ref = "persona-eu", "persona", "shared-ref", ""
	late.BodySHA256 = "digest-of-shared"
	g.tell(named(late))
	g.folded()
	d := rejects(func(d *Decision) { d.Subject, d.Source, d.Manual, d.IdempotencyKey = id, "", true, "key-1" })
	if _, err := g.relay.Decide(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	g.allFolded()
	ask := g.record(of(said(id, 6, kyc.InReview)))
	ask.Ask = []journal.Question{{Source: "sumsub-eu", What: "applicant", Ref: "applicant-" + distinct, Claim: "claim", Since: g.clock.now(), Due: g.clock.now().Add(time.Hour)}}
	item := journal.Item{ID: journal.BodyItemID("sumsub-eu", "digest-of-session-"+distinct), Source: "sumsub-eu", Provider: "sumsub", Reason: journal.UnknownWord, At: g.clock.now(), Body: []byte(`{"applicant":"` + distinct + `"}`)}
	if err := g.journal.Hold(t.Context(), item, ask); err != nil {
		t.Fatal(err)
	}
	other := item
	other.ID, other.Body = "other", []byte(`{}`)
	if err := g.journal.Hold(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	g.allFolded()
	nameless := byRef(of(said("", 7, kyc.Approved)))
	nameless.Source, nameless.Subject.ProviderRef = "persona-eu", "lost-"+distinct
	g.tell(named(nameless))
	g.folded()
	list, _ := g.items("", 0)
	for _, h := range list {
		if h.ProviderRef == "lost-"+distinct {
			g.release(h.ID, id)
			g.allFolded()
		}
	}
	g.tamper(func(tx *store.Tx) error {
		damaged := append([]byte{byte(store.History), 0, 0, 0, 0, 0, 0, 0, 1}, "some key"...)
		return errors.Join(
			tx.Bucket(store.Damaged).Put(damaged, []byte(`{"partner":"acme","subject":{"id":"`+id+`"}}`)),
			tx.Bucket(store.Aside).Put([]byte(laneOf("acme", id, true)), []byte(`{"since":"2026-01-01T00:00:00Z","bucket":"history"}`)),
		)
	})
	last := of(said(id, 9, kyc.Pending))
	last.Verification.Ref = "another-" + distinct
	last.ExpiresAt = time.Now().Add(100 * time.Hour)
	g.tell(named(last))
	g.allFolded()
	return g, id
}

// allFolded waits until everything in the journal is folded, whoever appended it.
func (g *rig) allFolded() {
	g.t.Helper()
	eventually(g.t, "everything is folded", func() bool {
		n, _ := g.journal.Waiting(g.relay.Position())
		return n == 0
	})
	g.appended = g.position()
}

// hoarding is a journal that forgets nothing.
type hoarding struct{ *journal.Bolt }

func (hoarding) Passed(context.Context, journal.Position) error { return nil }

// export is what is written of somebody.
func (g *rig) export(partner, id string) string {
	g.t.Helper()
	write, err := g.relay.Export(g.t.Context(), partner, id, true, g.journal.Unseal)
	if err != nil {
		g.t.Fatal(err)
	}
	var b bytes.Buffer
	if err := write(&b); err != nil {
		g.t.Fatal(err)
	}
	return b.String()
}

// exported is an export as it is read.
type exported struct {
	Object    string
	Kept      map[string][]json.RawMessage
	NothingIn map[string]string `json:"nothing_in"`
	Elsewhere map[string]string
}

// TestKeepers: the table has every bucket that there is, once, and says of each where it keeps a
// person, or why it keeps nothing of anybody.
func TestKeepers(t *testing.T) {
	seen, begun := map[store.Name]int{}, map[store.Name]int{}
	sections := map[string]bool{}
	for _, k := range keepers() {
		if k.until == "" { // the part that ends its bucket
			seen[k.bucket]++
		}
		if k.from == "" {
			begun[k.bucket]++
		}
		if k.from != "" && !slices.ContainsFunc(keepers(), func(o keeper) bool { return o.bucket == k.bucket && o.until == k.from }) {
			t.Errorf("nobody knows of %s what stands before %q", k.bucket, k.from)
		}
		ways := 0
		for _, has := range []bool{k.nobody != "", k.owner != "", k.keys != nil, k.indexed != nil, k.is != nil} {
			if has {
				ways++
			}
		}
		shows := k.nobody == "" && k.owner == ""
		if ways != 1 || shows != (k.show != nil && k.section != "") || shows && sections[k.section] {
			t.Errorf("%s: %d ways, section %q", k.bucket, ways, k.section)
		}
		sections[k.section] = true
	}
	for _, n := range store.Names() {
		if seen[n] != 1 || begun[n] != 1 {
			t.Errorf("bucket %s stands in the table %d times: say where it keeps a person, or why it keeps nothing of anybody", n, seen[n])
		}
	}
}

// TestExportIsComplete: whatever record of whatever bucket reads like the person is found by the
// table, and what it says stands in the export; and nothing of anybody else does. A bucket that is
// left out is found out.
func TestExportIsComplete(t *testing.T) {
	g, id := remarkable(t)
	var missed []store.Name
	for _, without := range append([]store.Name{0}, store.Names()...) {
		if wrong := g.incomplete(id, without); len(wrong) > 0 && without == 0 {
			t.Errorf("not found: %q", wrong)
		} else if len(wrong) == 0 && without != 0 {
			missed = append(missed, without)
		}
	}
	// What these hold does not read like the person, or nobody's table is theirs. The partner of this
	// test answers without a text.
	if want := []store.Name{store.Meta, registry.Bucket, store.Audit, store.Jobs, store.Answers, store.Folds, store.Finder, store.Erased}; !slices.Equal(missed, want) {
		t.Errorf("nobody misses %v, want %v", missed, want)
	}
	text := g.export("acme", id)
	var e exported
	if err := json.Unmarshal([]byte(text), &e); err != nil || e.Object != "subject_export" {
		t.Fatalf("%v: %s", err, text)
	}
	for _, k := range keepers() {
		switch {
		case k.nobody != "":
			if e.NothingIn[k.bucket.String()] == "" {
				t.Errorf("it does not say that %s keeps nothing", k.bucket)
			}
		case k.owner == "" && k.bucket != store.Answers && len(e.Kept[k.section]) == 0:
			t.Errorf("%s is empty", k.section)
		}
	}
	if !strings.Contains(text, "shared-ref") {
		t.Error("it does not say what waits for a ref that another has claimed too")
	}
	if strings.Contains(text, "bob") || strings.Contains(text, `"other"`) {
		t.Error("it tells of somebody else")
	}
	for _, word := range []string{"user-", "applicant-", "session-", "lost-"} {
		if !strings.Contains(text, word+distinct) {
			t.Errorf("%s is not in it", word+distinct)
		}
	}
	if item := string(e.Kept["quarantine"][0]); len(e.Kept["quarantine"]) != 1 || !strings.Contains(item, `"body":`) {
		t.Errorf("quarantine: %s", e.Kept["quarantine"])
	}
	if _, err := g.relay.Export(t.Context(), "acme", "user-"+distinct[:3], true, nil); !errors.Is(err, outbox.ErrNotFound) {
		t.Errorf("of somebody else: %v", err)
	}
}

// incomplete are the records of the file that read like the person, and that the table does not
// find, where one bucket is left out of it.
func (g *rig) incomplete(id string, without store.Name) (wrong []string) {
	g.t.Helper()
	w, err := g.relay.locate(g.t.Context(), "acme", id, true)
	if err != nil {
		g.t.Fatal(err)
	}
	found := map[string]bool{}
	for _, k := range keepers() {
		if k.nobody != "" || k.owner != "" || k.bucket == without {
			continue
		}
		err := w.each(g.t.Context(), &k, func(key, _ []byte) error {
			found[fmt.Sprintf("%s %q", k.bucket, key)] = true
			return nil
		}, nil)
		if err != nil {
			g.t.Fatal(err)
		}
	}
	known := map[string]bool{}
	for _, key := range w.opened(g) {
		known[key] = true
	}
	err = g.store.View(func(tx *store.Tx) error {
		for _, n := range store.Names() {
			if err := tx.Bucket(n).ForEach(func(k, v []byte) error {
				reads := bytes.Contains(k, []byte(distinct)) || bytes.Contains(v, []byte(distinct)) || n == store.Quarantine && known[string(k)]
				if name := fmt.Sprintf("%s %q", n, k); reads && !found[name] {
					wrong = append(wrong, name)
				}
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return wrong
}

// opened are the bodies in quarantine that name the person when they are opened.
func (w *whereabouts) opened(g *rig) (ids []string) {
	views, _, err := g.journal.Items("", 100)
	if err != nil {
		g.t.Fatal(err)
	}
	for _, v := range views {
		if item, err := g.journal.Unseal(v.ID); err == nil && bytes.Contains(item.Body, []byte(distinct)) {
			ids = append(ids, v.ID)
		}
	}
	return ids
}
