package ingest

import (
	"bufio"
	"slices"
	"strings"
	"testing"
)

// configure makes other settings count.
func (d *door) configure(change func(*Settings)) {
	d.t.Helper()
	to := d.o.settings()
	to.Sources = slices.Clone(to.Sources)
	change(&to)
	apply, err := d.Plan(to)
	if err != nil {
		d.t.Fatal(err)
	}
	apply()
}

// without takes a source out.
func without(name string) func(*Settings) {
	return func(s *Settings) {
		s.Sources = slices.DeleteFunc(s.Sources, func(s Source) bool { return s.Name == name })
	}
}

// TestOneSetForEachRequest: a request that has begun is judged by what counted then, to its last
// byte; the next by what counts now. The series of a source that has ended stay gone, whatever was
// under way to it.
func TestOneSetForEachRequest(t *testing.T) {
	d := open(t)
	raw := approval(t, "sumsub", "user-1")
	c := d.dial()
	defer c.Close()
	half := len(raw) - 20
	if _, err := c.Write([]byte(raw[:half])); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its body is being read", func() bool { return d.bodies.holds() > 0 })
	d.configure(without("sumsub"))
	if a := d.ask(approval(t, "sumsub", "user-2")); a.status != 404 {
		t.Errorf("a source that has ended answers %d", a.status)
	}
	if _, err := c.Write([]byte(raw[half:])); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 200 ") {
		t.Errorf("what was under way is answered %q, %v", line, err)
	}
	eventually(t, "nothing is held", func() bool { return d.bodies.holds() == 0 })
	families, err := d.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "source" && l.GetValue() == "sumsub" && strings.HasPrefix(f.GetName(), "ingest_") {
					t.Errorf("%s has a series of a source that has ended", f.GetName())
				}
			}
		}
	}
	d.configure(func(*Settings) {})
	if a := d.ask(approval(t, "sumsub", "user-3")); a.status != 200 || d.count("sumsub", accepted) != 1 {
		t.Errorf("a source that has come back answers %d", a.status)
	}
}

// TestWhatIsKeptOfASource: its rate goes on counting over another set, unless it is the rate that
// is another.
func TestWhatIsKeptOfASource(t *testing.T) {
	d := open(t)
	last := func(want int) {
		t.Helper()
		if a := d.ask(approval(t, "slow", "user-1")); a.status != want {
			t.Errorf("%d, want %d", a.status, want)
		}
	}
	last(200)
	last(429)
	before := d.set.Load().sources["slow"].limit
	before.SetLimit(1e-9) // no time passes for it
	d.configure(func(*Settings) {})
	last(429)
	d.configure(func(s *Settings) {
		for i := range s.Sources {
			if s.Sources[i].Name == "slow" {
				s.Sources[i].Rate = 1000
			}
		}
	})
	last(200)
	if n := d.count("slow", tooFast); n != 2 {
		t.Errorf("%v refusals are counted, want 2", n)
	}
}

// TestPlanThatFails changes nothing.
func TestPlanThatFails(t *testing.T) {
	d := open(t)
	to := d.o.settings()
	to.Sources = append(slices.Clone(to.Sources), Source{Name: "keyless", Adapter: adapter(t, "sumsub"), MaxBody: 1 << 20})
	was := d.set.Load()
	if _, err := d.Plan(to); err == nil || !strings.Contains(err.Error(), "source keyless") {
		t.Errorf("%v", err)
	}
	if d.set.Load() != was {
		t.Error("another set counts")
	}
}
