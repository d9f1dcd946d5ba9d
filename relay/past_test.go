package relay

import (
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/outbox/store"
)

// TestPast: a replay whose place names somebody who is erased goes on behind them: everybody else
// is told, each once, and its place names them no more.
func TestPast(t *testing.T) {
	// Who is erased is whom the nth place names: in a range they stand in the order in which they
	// were told, which is nobody's to say.
	f := func(p Repeat, fails bool, nth int) {
		t.Helper()
		q := newPartner(t, func(h hit) reply {
			if fails {
				return reply{code: 500}
			}
			return ok(h)
		})
		g := start(t, acme(q.endpoint("a", only("kyc.status.*"), attempts(1)), q.endpoint("b", only("kyc.status.*"), func(e *Endpoint) { e.Since = time.Now().Add(24 * time.Hour) })))
		p.Since = g.clock.now().Add(-time.Minute)
		g.lives()
		p.ID, p.Until = "rpl_1", g.clock.now().Add(time.Minute)
		var cursor []byte
		g.relay.o.Jobs = func(tx *store.Tx, lane string, _ func([]byte) bool) (int, error) {
			to, ok := Past(tx, &p, cursor, lane)
			if !ok {
				t.Errorf("%s: %q is not at %s", p.Kind, cursor, lane)
			}
			cursor = to
			return 1, nil
		}
		var told []string
		gone := ""
		for range 20 {
			s, err := g.relay.Repeats(&p, cursor, 1)
			if err != nil || !g.relay.Fresh(&s) {
				t.Fatal(err)
			}
			for i := range s.Orders {
				if id := s.Orders[i].Subject.ID; !slices.Contains(told, id) || p.Kind == ReplayDead && told[len(told)-1] != id {
					told = append(told, id)
				}
			}
			if cursor = s.Cursor; cursor == nil {
				break
			}
			at := slices.IndexFunc(persons, func(id string) bool { return strings.Contains(string(cursor), "acme/"+id) })
			if at >= 0 {
				nth--
			}
			if at >= 0 && nth == 0 {
				gone = persons[at]
				if _, err := g.relay.Erase(t.Context(), "acme", gone, true, "", func(Erasure) error { return nil }); err != nil {
					t.Fatal(err)
				}
				if strings.Contains(string(cursor), gone) {
					t.Errorf("%s: the place names them: %q", p.Kind, cursor)
				}
				if g.relay.Fresh(&s) {
					t.Errorf("%s: what was worked out before counts still", p.Kind)
				}
			}
		}
		want := slices.DeleteFunc(slices.Clone(persons), func(id string) bool { return id == gone && p.Kind != ReplayDead })
		slices.Sort(told)
		if gone == "" || !slices.Equal(told, want) {
			t.Errorf("%s, without %q: told %v, want %v", p.Kind, gone, told, want)
		}
	}
	for nth := 1; nth <= 2; nth++ {
		f(Repeat{Kind: ReplayDead, Endpoint: "a", To: "a"}, true, nth)
		f(Repeat{Kind: ReplayRange, Endpoint: "a", To: "b"}, false, nth)
		f(Repeat{Kind: ReplayCurrent, Endpoint: "b", To: "b"}, false, nth)
	}
	f(Repeat{Kind: ReplayCurrent, Endpoint: "b", To: "b"}, false, len(persons)-1) // whoever is last
	f(Repeat{Kind: ReplayDead, Endpoint: "a", To: "a"}, true, 3)
}
