package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/outbox/store"
	"countersign/relay/format"
	"countersign/relay/send"
)

// ofTheMoment are the methods of a Snapshot that say nothing of what decides.
var ofTheMoment = []string{"Disabled", "Keys", "Paused", "Ring"}

// decides is everything that a snapshot says of what decides, of these ids and whatever else it
// names. Each method that is not of the moment is asked: TestEveryMethodIsAsked.
func decides(s *Snapshot, ids []string) string {
	var b strings.Builder
	say := func(what string, v any) {
		body, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(&b, "%s: %s\n", what, body)
	}
	endpoint := func(what string, e *Endpoint) {
		if e != nil {
			say(what, []any{e.ID, e.Format.Name, e.Events, e.Filter.String(), e.Since.UTC()})
		}
	}
	for what, ps := range map[string][]Partner{"partner": s.Partners(), "receiver": s.Receivers()} {
		ps = slices.SortedFunc(slices.Values(ps), func(x, y Partner) int { return strings.Compare(s.Kept(x.ID), s.Kept(y.ID)) })
		for _, p := range ps {
			var order []string
			for i := range p.Endpoints {
				order = append(order, p.Endpoints[i].ID)
				endpoint(what+"'s endpoint", &p.Endpoints[i])
			}
			say(what, []any{p.ID, p.Policy, order})
		}
	}
	for _, id := range ids {
		say("kept", []any{id, s.Kept(id), s.Shown(id), s.DeclaredPartner(id), s.StoredBy(id)})
		say("policies", []any{s.NewestPolicy(id), s.Policies(id), s.Policy(id, 1), s.Policy(id, 2)})
		say("endpoint", []any{id, s.Formerly(id), s.Current(id), s.Owner(id), s.IsOrphan(id), s.Declared(id)})
		if p := s.Partner(id); p != nil {
			say("partner", p.ID)
		}
		endpoint("endpoint", s.Endpoint(id))
		for _, kept := range []func(string) (Version, bool){s.StoredPartner, s.StoredEndpoint} {
			if v, ok := kept(id); ok {
				say("kept in the file", v)
			}
		}
	}
	say("orphans", s.Orphans())
	lines := strings.Split(b.String(), "\n")
	slices.Sort(lines) // the two lists of partners come in any order; what is in order stands in one line
	return strings.Join(lines, "\n")
}

// TestEveryMethodIsAsked: what a Snapshot can say is asked by decides, or of the moment.
func TestEveryMethodIsAsked(t *testing.T) {
	asked := []string{
		"Current", "Declared", "DeclaredPartner", "Endpoint", "Formerly", "IsOrphan", "Kept", "NewestPolicy", "Orphans", "Owner", "Partner", "Partners", "Policies", "Policy", "Receivers", "Shown",
		"StoredBy", "StoredEndpoint", "StoredPartner",
	}
	for m := range reflect.TypeFor[*Snapshot]().Methods() {
		if !slices.Contains(asked, m.Name) && !slices.Contains(ofTheMoment, m.Name) {
			t.Errorf("Snapshot.%s is neither asked nor of the moment", m.Name)
		}
	}
}

// history is a registry that somebody changes, and what it said under each number.
type history struct {
	*rig
	r      *rand.Rand
	config []Partner // that is served
	ids    []string
	said   map[VersionNumber]string
}

func newHistory(t *testing.T, seed uint64) *history {
	t.Helper()
	h := &history{rig: newRig(t), r: rand.New(rand.NewPCG(seed, 3)), said: map[VersionNumber]string{}}
	for i := range 5 {
		h.ids = append(h.ids, fmt.Sprint("p", i), fmt.Sprint("e", i), fmt.Sprint("f", i))
	}
	h.ids = append(h.ids, Operator, "nobody")
	h.run()
	h.look("an empty file")
	return h
}

// look notes what is said under the newest number, which is never another than before, and compares
// it, and what was said under some number before, with what At says.
func (h *history) look(when string) {
	h.t.Helper()
	n, is := h.Newest(), decides(h.Read(), h.ids)
	if was, ok := h.said[n]; ok && was != is {
		h.t.Fatalf("%s, number %d does not come to what it came to before:\n%s", when, n, otherwise(was, is))
	}
	h.said[n] = is
	for _, n := range []VersionNumber{n, VersionNumber(h.r.Uint64N(uint64(n) + 2))} {
		h.at(when, n)
	}
}

// at compares what At says with what was said then. A number that was never the newest says nothing.
func (h *history) at(when string, n VersionNumber) {
	h.t.Helper()
	s := h.At(n)
	was, ok := h.said[n]
	if ok = ok && n > 0; (s != nil) != ok {
		h.t.Fatalf("%s, number %d of %d: known is %v, want %v", when, n, h.Newest(), s != nil, ok)
	}
	if s == nil {
		return
	}
	if is := decides(s, h.ids); is != was {
		h.t.Fatalf("%s, number %d of %d:\n%s", when, n, h.Newest(), otherwise(was, is))
	}
}

// otherwise is what differs between two texts.
func otherwise(was, is string) string {
	a, b := strings.Split(was, "\n"), strings.Split(is, "\n")
	var all []string
	for _, l := range a {
		if !slices.Contains(b, l) {
			all = append(all, "- "+l)
		}
	}
	for _, l := range b {
		if !slices.Contains(a, l) {
			all = append(all, "+ "+l)
		}
	}
	return strings.Join(all, "\n")
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func (h *history) policy() kyc.Policy {
	return kyc.Policy{
		Required: []kyc.Check{pick(h.r, kyc.IdentityVerification, kyc.AddressVerification)}, RequiredCompany: []kyc.Check{kyc.BusinessVerification}, ValidityMonths: 1 + h.r.IntN(2), NoticeDays: 7,
	}
}

// vary gives an endpoint of the config some values, those that decide and those of the moment.
func (h *history) vary(e *Endpoint) {
	switch h.r.IntN(6) {
	case 0:
		e.Format, _ = format.ByName(pick(h.r, "standard", "blendfi", "bluum"))
	case 1:
		e.Events = pick(h.r, []string{"*"}, []string{"kyc.status.*", "kyc.check.*"}, nil)
	case 2:
		e.Filter, _ = NewFilter(pick(h.r, "", "change.terminal", `change.status == "approved"`))
	case 3:
		e.Since = pick(h.r, time.Time{}, time.Unix(1e9, 0), time.Unix(2e9, 0).UTC())
	case 4:
		e.URL, e.MaxOwed, e.Timeout = pick(h.r, "https://a.example", "https://b.example"), h.r.Int64N(9), time.Second
	case 5:
		e.Concurrency, e.Rate, e.Headers = h.r.IntN(9), h.r.Float64(), []send.Header{send.NewHeader("X-A", "canary")}
	}
}

// edit is another config.
func (h *history) edit() []Partner {
	var ps []Partner
	for _, p := range h.config {
		p.Endpoints = slices.Clone(p.Endpoints)
		ps = append(ps, p)
	}
	for range 1 + h.r.IntN(3) {
		if len(ps) == 0 || h.r.IntN(8) == 0 {
			id := pick(h.r, "p0", "p1", "p2", "p3", Operator)
			if slices.ContainsFunc(ps, func(p Partner) bool { return p.ID == id }) {
				continue
			}
			ps = append(ps, Partner{ID: id, Policy: h.policy()})
		}
		p := &ps[h.r.IntN(len(ps))]
		switch h.r.IntN(9) {
		case 0, 1:
			id := fmt.Sprint(pick(h.r, "e", "f"), h.r.IntN(5))
			if !slices.ContainsFunc(ps, func(p Partner) bool {
				return slices.ContainsFunc(p.Endpoints, func(e Endpoint) bool { return e.ID == id })
			}) {
				p.Endpoints = append(p.Endpoints, Endpoint{ID: id})
			}
		case 2:
			p.Policy = h.policy()
		case 3:
			if n := len(p.Endpoints); n > 0 && h.r.IntN(2) == 0 {
				p.Endpoints = slices.Delete(p.Endpoints, n-1, n)
			}
			h.r.Shuffle(len(p.Endpoints), func(i, j int) { p.Endpoints[i], p.Endpoints[j] = p.Endpoints[j], p.Endpoints[i] })
		case 4:
			if id := fmt.Sprint("p", h.r.IntN(5)); p.ID != Operator && !slices.ContainsFunc(ps, func(p Partner) bool { return p.ID == id }) {
				p.RenamedFrom, p.ID = p.ID, id
			}
		case 5:
			if len(p.Endpoints) > 0 {
				e := &p.Endpoints[h.r.IntN(len(p.Endpoints))]
				e.RenamedFrom, e.ID = e.ID, fmt.Sprint("f", h.r.IntN(5))
			}
		case 6:
			if h.r.IntN(3) == 0 {
				ps = slices.DeleteFunc(ps, func(o Partner) bool { return o.ID == p.ID })
			}
		default:
			if len(p.Endpoints) > 0 {
				h.vary(&p.Endpoints[h.r.IntN(len(p.Endpoints))])
			}
		}
	}
	return ps
}

func (h *history) planOf(ps []Partner) (p Plan) {
	h.t.Helper()
	if err := h.store.View(func(tx *store.Tx) (err error) { p, err = PlanOf(tx, ps, nil); return err }); err != nil {
		h.t.Fatal(err)
	}
	return p
}

func (h *history) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// reload is what a gateway does that goes on.
func (h *history) reload(ps []Partner) {
	h.t.Helper()
	plan := h.planOf(ps)
	if len(plan.Refused)+len(plan.Renames)+len(plan.Moves) > 0 {
		return
	}
	h.config = ps
	h.must(h.Own(h.t.Context(), plan))
	h.must(h.Register(h.t.Context(), ps))
	h.look("what is not configured does not count")
	h.must(h.Configure(ps))
}

// restart is a start; one that would be refused is with the config that was served.
func (h *history) restart(ps []Partner) {
	h.t.Helper()
	plan := h.planOf(ps)
	if len(plan.Refused) > 0 {
		ps, plan = h.config, h.planOf(h.config)
	}
	if h.config = ps; len(plan.Refused) > 0 {
		h.t.Fatalf("the config that was served is refused: %+v", plan.Refused)
	}
	h.again()
	ctx := h.t.Context()
	h.must(errors.Join(h.RenamePartners(ctx, plan), h.Own(ctx, plan)))
	for _, m := range plan.Moves {
		h.must(errors.Join(h.Begin(ctx, m), h.Finish(ctx, m)))
	}
	h.must(h.Configure(ps))
	h.look("configured")
	h.must(h.RegisterPolicies(ctx))
}

// step changes something, or tries to.
func (h *history) step() (what string) {
	ctx, c := h.t.Context(), by("otto")
	partner, endpoint := fmt.Sprint("p", h.r.IntN(5)), fmt.Sprint(pick(h.r, "e", "f"), h.r.IntN(5))
	switch h.r.IntN(11) {
	case 0:
		p := keptPartner(partner)
		p.Policy = h.policy()
		_, _ = h.CreatePartner(ctx, p, c)
		return "a partner is made"
	case 1, 2:
		_, _, _ = h.CreateEndpoint(ctx, keptEndpoint(endpoint, partner), c)
		return "an endpoint is made"
	case 3:
		_, _ = h.UpdatePartner(ctx, partner, c, func(p *StoredPartner) error { p.Policy = h.policy(); return nil })
		return "a partner is changed"
	case 4:
		_, _ = h.UpdateEndpoint(ctx, endpoint, c, func(d *EndpointDraft) error {
			d.Filter, d.Concurrency = pick(h.r, "", "change.terminal"), 1+h.r.IntN(5)
			return nil
		})
		return "an endpoint is changed"
	case 5:
		if h.r.IntN(2) == 0 {
			_ = h.RemoveEndpoint(ctx, endpoint, c)
			return "an endpoint is removed"
		}
		_ = h.RemovePartner(ctx, partner, c)
		return "a partner is removed"
	case 6:
		if h.Read().Endpoint(endpoint) != nil {
			h.Disable(endpoint, "for a test", func(error) {})
			h.written()
		}
		return "an endpoint is disabled"
	case 7:
		h.must(h.Enable(ctx, endpoint))
		return "an endpoint is enabled"
	case 8:
		h.restart(h.edit())
		return "a restart"
	default:
		h.reload(h.edit())
		return "a reload"
	}
}

// TestAt: whatever is changed, through the API, in the config or by another name, what decides under
// a number is what it was when that was the newest: at once, later, and after a restart.
func TestAt(t *testing.T) {
	done := map[string]int{}                              // what the versions say was done
	for _, seed := range []uint64{0, 1, 2, 3, 4, 5, 10} { // in the last a partner is made under an id that another was renamed to
		h := newHistory(t, seed)
		for range 60 {
			what := h.step()
			h.look(fmt.Sprintf("seed %d, %s", seed, what))
		}
		h.restart(h.config)
		h.look("at the end")
		for _, n := range h.r.Perm(int(h.Newest()) + 2) {
			h.at(fmt.Sprintf("seed %d, at the end", seed), VersionNumber(n))
		}
		if current, folded := h.onDisk(); !reflect.DeepEqual(current, folded) || h.Newest() < 30 {
			t.Errorf("seed %d: %d versions; the file holds\n%+v\n, and they come to\n%+v", seed, h.Newest(), current, folded)
		}
		h.must(h.store.View(func(tx *store.Tx) error {
			vs, err := Versions(tx)
			for _, v := range vs {
				if done[fmt.Sprint(v.What, " ", v.Declared)]++; v.Owner != nil && v.Owner.Became != "" {
					done["moved"]++
				}
			}
			return err
		}))
	}
	for _, what := range []string{PartnerCreated, PartnerUpdated, PartnerRemoved, EndpointCreated, EndpointUpdated, EndpointRemoved} {
		if done[what+" true"] == 0 || done[what+" false"] == 0 {
			t.Errorf("no %s: %v", what, done)
		}
	}
	if done[PolicyRegistered+" false"] == 0 || done[PartnerRenamed+" false"] == 0 || done[EndpointOwned+" false"] == 0 || done["moved"] == 0 {
		t.Errorf("not everything was done: %v", done)
	}
	t.Log(done)
}

// TestPastIsBounded: what is kept of earlier numbers is bounded, and what has been forgotten is made
// again.
func TestPastIsBounded(t *testing.T) {
	const each = 10_000
	p, all := &past{}, map[string]Version{}
	for i := range each - 1 {
		all[strconv.Itoa(i)] = Version{}
	}
	for n := range uint64(3 * mostPast / each) {
		s := &Snapshot{stored: noneStored()}
		s.stored.Last, s.stored.said = n+1, all
		if p.keep(s); p.find(VersionNumber(n+1)) != s {
			t.Fatal("the one that was asked for last is not kept")
		}
		p.find(1)
	}
	if len(p.made) != mostPast/each || p.find(1) == nil || p.find(2) != nil {
		t.Errorf("%d are kept, want %d: those asked for last", len(p.made), mostPast/each)
	}
}

// TestOnlyWhatDecides: a field of an endpoint or partner of the config makes a version when it
// decides, and none when it is of the moment; and no secret stands in one.
func TestOnlyWhatDecides(t *testing.T) {
	g := newRig(t)
	g.run()
	filter, err := NewFilter("change.terminal")
	if err != nil {
		t.Fatal(err)
	}
	standard, _ := format.ByName("standard")
	p := Partner{ID: "acme", Endpoints: []Endpoint{{ID: "a", Events: []string{"*"}}, {ID: "b"}}}
	e := &p.Endpoints[0]
	configure := func() bool {
		t.Helper()
		before := g.Newest()
		now := p
		now.Endpoints = slices.Clone(p.Endpoints)
		if err := g.Configure([]Partner{now}); err != nil {
			t.Fatal(err)
		}
		if err := g.Configure([]Partner{now}); err != nil || g.Newest() != before && g.At(g.Newest()) == nil {
			t.Fatal(err)
		}
		return g.Newest() != before
	}
	if !configure() || configure() {
		t.Error("what is declared makes versions once")
	}
	f := func(of string, decides bool, change func()) {
		t.Helper()
		if change(); configure() != decides {
			t.Errorf("%s: a version was made is %v, want %v", of, !decides, decides)
		}
	}
	tried := map[string]bool{}
	field := func(name string, decides bool, change func()) {
		t.Helper()
		tried[name] = true
		f(name, decides, change)
	}
	field("Endpoint.ID", true, func() { p.Endpoints[1].ID = "c" })
	field("Endpoint.RenamedFrom", false, func() { e.RenamedFrom = "older" }) // names and owners say what comes of it
	field("Endpoint.URL", false, func() { e.URL = "https://user:canary@example.com/canary" })
	field("Endpoint.Format", true, func() { e.Format = standard })
	field("Endpoint.Keys", false, func() { e.Keys = []Key{{ID: "canary"}} })
	field("Endpoint.Events", true, func() { e.Events = []string{"kyc.status.*"} })
	field("Endpoint.Filter", true, func() { e.Filter = filter })
	field("Endpoint.Concurrency", false, func() { e.Concurrency = 3 })
	field("Endpoint.Rate", false, func() { e.Rate = 3 })
	field("Endpoint.Timeout", false, func() { e.Timeout = 3 })
	field("Endpoint.MaxOwed", false, func() { e.MaxOwed = 3 })
	field("Endpoint.Since", true, func() { e.Since = time.Unix(1e9, 0) })
	field("Endpoint.Retry", false, func() { e.Retry.Attempts = 3 })
	field("Endpoint.DisableAfter", false, func() { e.DisableAfter = day })
	field("Endpoint.Headers", false, func() { e.Headers = []send.Header{send.NewHeader("X-Canary", "canary")} })
	field("Endpoint.TLS", false, func() { e.TLS.Key = "canary" })
	field("Endpoint.Public", false, func() { e.Public = true })
	field("Partner.ID", true, func() { p.ID = "globex" })
	field("Partner.RenamedFrom", false, func() { p.RenamedFrom = "older" })
	field("Partner.Policy", true, func() { p.Policy.NoticeDays = 3 })
	field("Partner.MaxOpen", false, func() { p.MaxOpen = 3 })
	field("Partner.Endpoints", true, func() { slices.Reverse(p.Endpoints) })
	f("the same instant elsewhere", false, func() { p.Endpoints[1].Since = p.Endpoints[1].Since.In(time.FixedZone("there", 3600)) })
	for name, of := range map[string]reflect.Type{"Endpoint": reflect.TypeFor[Endpoint](), "Partner": reflect.TypeFor[Partner]()} {
		for field := range of.Fields() {
			if !tried[name+"."+field.Name] {
				t.Errorf("%s.%s: nobody has said whether it decides", name, field.Name)
			}
		}
	}
	err = g.store.View(func(tx *store.Tx) error {
		return tx.Bucket(store.Registry).ForEach(func(k, v []byte) error {
			if strings.Contains(strings.ToLower(string(v)), "canary") {
				t.Errorf("a secret stands at %s", k)
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestConfigureAgain: versions are written before they count, with what they are made of. Whoever
// dies in between finds them said at the next start; what is refused, or cannot be written, leaves
// nothing.
func TestConfigureAgain(t *testing.T) {
	g := newRig(t)
	g.run()
	died := g.Registry // whatever it does, nobody sees it after
	if err := died.Configure([]Partner{acme()}); err != nil {
		t.Fatal(err)
	}
	n := died.Newest()
	if g.again(); g.Newest() != n || g.Read().Partner("acme") != nil {
		t.Fatalf("number %d, want %d", g.Newest(), n)
	}
	if err := g.Configure([]Partner{acme()}); err != nil || g.Newest() != n {
		t.Errorf("the same config is said again: number %d, want %d, %v", g.Newest(), n, err)
	}
	g.again()
	if err := g.Configure(nil); err != nil || g.Newest() <= n || g.At(n).Partner("acme") == nil || g.At(g.Newest()).Partner("acme") != nil {
		t.Errorf("another config is not said: number %d, %v", g.Newest(), err)
	}
	n = g.Newest()
	no := errors.New("no room")
	g.Watch(func(*Snapshot) error { return no }, nil)
	if err := g.Configure([]Partner{acme()}); !errors.Is(err, no) || g.Newest() != n || g.Read().Partner("acme") != nil {
		t.Errorf("what was refused counts: number %d, %v", g.Newest(), err)
	}
	if current, _ := g.onDisk(); current.Last != uint64(n) {
		t.Error("what was refused is in the file")
	}
	no = nil
	full := errors.New("full")
	cannot := func(*Snapshot) error { return full }
	if err := g.configure([]Partner{acme()}, cannot); !errors.Is(err, full) || g.Newest() != n || g.Read().Partner("acme") != nil {
		t.Errorf("what could not be written counts: number %d, %v", g.Newest(), err)
	}
}

// TestPastDamaged: where both copies of a version are damaged, nobody is told what it came to, and
// Versions names it. What counts now is known all the same, from the last version of each thing;
// where one of those is damaged as well, what follows from the config is said again.
func TestPastDamaged(t *testing.T) {
	g := newRig(t)
	g.run()
	config := func(events string) []Partner {
		p := acme()
		p.Endpoints[0].Events = []string{events}
		return []Partner{p}
	}
	var ns []VersionNumber
	for _, events := range []string{"*", "kyc.*", "kyc.status.*", "kyc.check.*"} {
		if err := g.Configure(config(events)); err != nil {
			t.Fatal(err)
		}
		ns = append(ns, g.Newest())
	}
	if _, err := g.CreatePartner(t.Context(), keptPartner("beta"), by("otto")); err != nil {
		t.Fatal(err)
	}
	write := func(fn func(b store.Bucket) error) {
		t.Helper()
		if err := g.store.Update(t.Context(), func(tx *store.Tx) error { return fn(tx.Bucket(store.Registry)) }); err != nil {
			t.Fatal(err)
		}
	}
	bad := versionKey(uint64(ns[1]))
	write(func(b store.Bucket) error { return b.Delete(bad) })
	if g.again(); g.At(ns[1]) == nil || g.At(ns[2]) == nil {
		t.Error("the second copy of a version is not looked for")
	}
	write(func(b store.Bucket) error { return b.PutTwice(bad, []byte("{")) })
	known := func(when string, want ...bool) {
		t.Helper()
		g.again()
		if err := g.Configure(config("kyc.check.*")); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		for i, n := range append(slices.Clone(ns), g.Newest()) {
			s := g.At(n)
			if (s != nil) != want[i] {
				t.Errorf("%s: number %d is known: %v, want %v", when, n, s != nil, want[i])
			}
			if events := []string{"*", "kyc.*", "kyc.status.*", "kyc.check.*", "kyc.check.*"}[i]; s != nil && s.Endpoint("a").Events[0] != events {
				t.Errorf("%s: number %d: %v", when, n, s.Endpoint("a").Events)
			}
		}
		if g.Read().Partner("beta") == nil || g.Read().Endpoint("a").Events[0] != "kyc.check.*" {
			t.Errorf("%s: what counts now is lost", when)
		}
		err := g.store.View(func(tx *store.Tx) error { _, err := Versions(tx); return err })
		if !errors.Is(err, store.ErrBadRecord) {
			t.Errorf("%s: nobody is told: %v", when, err)
		}
	}
	known("a version", true, false, false, false, true)
	n := g.Newest()
	write(func(b store.Bucket) error { return b.Put([]byte(saidPrefix+"endpoint/a"), []byte("{")) })
	known("and the last one of an endpoint of the config", true, false, false, false, true)
	if g.Newest() != n+1 {
		t.Errorf("it is said again by %d versions, want 1", g.Newest()-n)
	}
	write(func(b store.Bucket) error { return b.Put([]byte(partnerPrefix+"beta"), []byte("{")) })
	if _, err := New(g.o); !errors.Is(err, store.ErrBadRecord) {
		t.Errorf("the last version of a partner that was made through the API is lost, and: %v", err)
	}
}

// TestPastOfAnOlderFile: what was written before versions said what the config declares is not
// known; from the first start on it is.
func TestPastOfAnOlderFile(t *testing.T) {
	g := newRig(t, acme())
	g.run()
	if _, _, err := g.CreateEndpoint(t.Context(), keptEndpoint("a-more", "acme"), by("otto")); err != nil {
		t.Fatal(err)
	}
	v, _ := g.Read().StoredEndpoint("a-more")
	err := g.store.Update(t.Context(), func(tx *store.Tx) error {
		b := tx.Bucket(store.Registry)
		v.Schema, v.More = 1, false
		return errors.Join(v.write(b), b.DeleteBoth(versionKey(2)), b.Delete([]byte(saidPrefix+"owner/a-more")))
	})
	if err != nil {
		t.Fatal(err)
	}
	if g.again(); g.Newest() != 1 || g.At(1) != nil {
		t.Errorf("number %d is known", g.Newest())
	}
	if err := g.Configure([]Partner{acme()}); err != nil {
		t.Fatal(err)
	}
	if s := g.At(g.Newest()); s == nil || s.Owner("a-more") != "acme" || len(s.Partner("acme").Endpoints) != 3 || g.At(1) != nil || g.At(2) != nil {
		t.Errorf("number %d: %+v", g.Newest(), s)
	}
	if kept, _ := g.Read().StoredEndpoint("a-more"); kept.Number != 1 {
		t.Errorf("its number is %d now", kept.Number)
	}
}
