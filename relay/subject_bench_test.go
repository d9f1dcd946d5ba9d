package relay

import (
	"testing"

	"countersign/kyc"
	"countersign/outbox/store"
)

// benched is a subject in the middle of its life.
func benched(f *foldBench) *subject {
	s := &subject{lane: "acme/user-00017171", Policy: 1, First: 1, Timer: 1_800_000_000_000_000, Told: place{1_790_000_000_000_000, 0, 4711, 5}, Trusts: []string{"acme-main"}}
	s.Owed.set("acme-main", 6)
	for i := range 4 {
		f.n = i * foldedPersons
		r := f.next()
		s.State.Apply([]kyc.Update{*r.Update}, kyc.Policy{Version: 1})
	}
	return s
}

// BenchmarkSubject is what it costs to read a subject and to write it.
func BenchmarkSubject(b *testing.B) {
	was := benched(&foldBench{began: t0})
	body := store.RecordBody(was.encode())
	b.ReportAllocs()
	for b.Loop() {
		s := &subject{lane: was.lane}
		if err := s.decode(body); err != nil {
			b.Fatal(err)
		}
		if len(s.encode()) == 0 {
			b.Fatal("nothing")
		}
	}
	b.ReportMetric(float64(len(body)), "bytes")
}

// TestSubjectCodec: a subject reads as it was written, equal ones are equal bytes, and of one that
// is damaged behind its lane the lane can be read.
func TestSubjectCodec(t *testing.T) {
	t.Parallel()
	bare := &subject{lane: "acme/ann", Lane: "acme/ann"}
	full := benched(&foldBench{began: t0})
	full.Lane, full.Refs, full.Floor, full.Told.Partition, full.Trusts = full.lane, 3, 1<<20, 7, []string{"b", "a"}
	full.Owed.set("zed", 1<<40)
	full.Owed.set("b", 2)
	full.Upto, full.Ahead, full.Driven = 4711, true, true
	for _, s := range []*subject{bare, full} {
		body := store.RecordBody(s.encode())
		is := &subject{lane: s.lane}
		if err := is.decode(body); err != nil {
			t.Fatal(err)
		}
		again := store.RecordBody(is.encode())
		if is.Policy != s.Policy || is.First != s.First || is.Timer != s.Timer || is.Told != s.Told || is.Refs != s.Refs || is.Floor != s.Floor || is.Upto != s.Upto || is.Ahead != s.Ahead || is.Driven != s.Driven || string(again) != string(body) {
			t.Errorf("read as %+v, written as %+v", is, s)
		}
		if len(is.Owed) != len(s.Owed) || is.Owed.of("zed") != s.Owed.of("zed") || is.Owed.of("nobody") != 0 || len(is.Trusts) != len(s.Trusts) {
			t.Errorf("owed %v, trusts %v; want %v, %v", is.Owed, is.Trusts, s.Owed, s.Trusts)
		}
		for i := range body {
			cut := &subject{lane: s.lane}
			if cut.decode(body[:i]) == nil {
				t.Errorf("%d bytes of %d are a subject", i, len(body))
			}
			if i > len(s.lane)+1 && cut.Lane != s.lane {
				t.Errorf("with %d bytes the lane is %q", i, cut.Lane)
			}
		}
		if other := (&subject{lane: "acme/bob"}); other.decode(body) == nil || other.Lane != s.lane {
			t.Errorf("it is another's, and says it is %q", other.Lane)
		}
	}
}
