package relay

import (
	"testing"

	"countersign/kyc"
)

// TestKnows: a ref is known when a submission has registered it or something proved has taught it.
// What nothing vouches for but a network address makes none known, however often it is said.
func TestKnows(t *testing.T) {
	g := start(t, acme())
	f := func(what string, u kyc.Update, want bool) {
		t.Helper()
		if got := Knows(g.store, &u); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	u := unknown(1, kyc.Pending, "", "ref_1", "")
	f("before anybody has said it", u, false)
	if _, err := g.submit(submits("ann", "ref_1")); err != nil {
		t.Fatal(err)
	}
	f("registered", u, true)
	f("beside others", unknown(2, kyc.Pending, "act_9", "ref_9", "ref_1"), true)
	other := u
	other.Source = "persona-us"
	f("of another source", other, false)
	test := u
	test.Livemode = false
	f("of the other mode", test, false)

	forged := of(said("bob", 3, kyc.Pending), "persona", "act_2", "inq_2", "")
	forged.Authenticity = kyc.Network
	g.tell(named(forged), named(forged))
	g.folded()
	f("forged", forged, false)
	g.tell(of(said("bob", 4, kyc.Pending), "persona", "act_2", "inq_2", ""))
	g.folded()
	f("proved", forged, true)
}
