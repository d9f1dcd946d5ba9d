//go:build mutants

package kyc

// skewMutants change how words are compared that several nodes have received.
func skewMutants() []mutant {
	const words, rules, keep, scope = "word.go", "rules.go", "keep.go", "scope.go"
	const rivals = "!sooner(own, r.until) && (own != r.until || !slices.ContainsFunc(standing, newer))"
	const newer, received = "return heard(a, b) && a.most() < b.least()", "return (a.skew != 0 || a.at == 0) && a.latest() < b.earliest()"
	const none = "return (a.skew != 0 || b.skew != 0) && (a.at == 0 || b.at == 0)"
	return []mutant{
		{name: "skew: places tell", file: words, was: "case a.skew != 0 || b.skew != 0:", is: "case false:"},
		{name: "skew: of the older alone", file: words, was: "case a.skew != 0 || b.skew != 0:", is: "case a.skew != 0:"},
		{name: "skew: of the newer alone", file: words, was: "case a.skew != 0 || b.skew != 0:", is: "case b.skew != 0:"},
		{name: "skew: times alone", file: words, was: newer, is: "return a.most() < b.least()"},
		{name: "skew: receipt alone", file: words, was: newer, is: "return heard(a, b)"},
		{name: "skew: equal times", file: words, was: newer, is: "return heard(a, b) && a.most() <= b.least()"},
		{name: "skew: an operator knows what comes later", file: words, was: "return a.n < b.n && b.taken == 0\n\t}", is: "return b.taken == 0\n\t}"},
		{name: "skew: what waited stands in its turn", file: words, was: "return a.n < b.n && b.taken == 0\n\t}", is: "return a.n < b.n\n\t}"},
		{name: "skew: times say when a word was received", file: words, was: received, is: "return a.latest() < b.earliest()"},
		{name: "skew: nothing says when one node received", file: words, was: received, is: "return a.skew != 0 && a.latest() < b.earliest()"},
		{name: "skew: at one instant", file: words, was: received, is: "return (a.skew != 0 || a.at == 0) && a.latest() <= b.earliest()"},
		{name: "skew: the older at its own instant", file: words, was: received, is: "return (a.skew != 0 || a.at == 0) && a.arrived() < b.earliest()"},
		{name: "skew: the newer at its own instant", file: words, was: received, is: "return (a.skew != 0 || a.at == 0) && a.latest() < b.arrived()"},
		{name: "skew: most is its own instant", file: words, was: "most() moment  { return cmp.Or(w.at, w.latest()) }", is: "most() moment  { return w.when() }"},
		{name: "skew: least is its own instant", file: words, was: "least() moment { return cmp.Or(w.at, w.earliest()) }", is: "least() moment { return w.when() }"},
		{name: "skew: nothing is loose", file: words, was: "return w.at == 0 && (w.taken != 0 || w.skew != 0)", is: "return w.at == 0 && w.taken != 0"},
		{name: "skew: what has a time is loose", file: words, was: "return w.at == 0 && (w.taken != 0 || w.skew != 0)", is: "return w.skew != 0 || w.at == 0 && w.taken != 0"},
		{name: "skew: alike with what one node received", file: words, was: "a.loose() == b.loose() && (a.skew == 0) == (b.skew == 0)", is: "a.loose() == b.loose()"},
		{name: "skew: of words that are alike the last", file: words, was: "\tm.skew = max(a.skew, b.skew)\n", is: ""},
		{name: "skew: operators have one", file: words, was: "case w.operator || w.submission:", is: "case w.submission:"},
		{name: "skew: receipt of what has a time is forgotten", file: words, was: "} else if w.at != 0 && w.skew == 0 {", is: "} else if w.at != 0 {"},

		{name: "skew: perhaps outrun", file: rules, was: "older = before(a, f)", is: "older = !before(f, a)"},
		{name: "skew: never outrun", file: rules, was: "older = before(a, f)", is: "older = false"},
		{name: "skew: outrun in doubt of times", file: words, was: none, is: "return a.skew != 0 || b.skew != 0"},
		{name: "skew: no doubt of the newer", file: words, was: none, is: "return a.skew != 0 && a.at == 0"},
		{name: "skew: no doubt of the older", file: words, was: none, is: "return b.skew != 0 && b.at == 0"},
		{name: "skew: repetitions at their own instant", file: rules, was: "sooner(a.least(), earlier.until)", is: "sooner(a.when(), earlier.until)"},

		{name: "skew: nobody is a rival", file: scope, was: "if r.rank == rankApproved && sc.skewed {", is: "if false {"},
		{name: "skew: all are rivals", file: scope, was: rivals, is: "!sooner(own, r.until) || true || newer(a)"},
		{name: "skew: whoever lasts as long is a rival", file: scope, was: rivals, is: "!sooner(own, r.until) || newer == nil"},
		{name: "skew: only who lasts longer is a rival", file: scope, was: rivals, is: "sooner(r.until, own) || newer == nil"},
		{name: "skew: rivals are like the one that tells", file: "subject.go", was: " || !s.olderThanAll(r.rivals)", is: ""},
		{name: "skew: what is older of a run comes back", file: scope, was: "\tif sc.skewed {\n\t\tstanding = sc.approvals\n\t}\n", is: ""},
		{name: "skew: what is perhaps reset hides nothing", file: scope, was: "(sc.skewed || !sc.undone(o)) })", is: "!sc.undone(o) })"},
		{name: "skew: nothing is perhaps left", file: scope, was: "r.perhaps = sc.findings", is: ""},

		{name: "skew: receipt never goes back", file: keep, was: "if w.received != 0 && w.skew == 0 {", is: "if w.received != 0 {"},
		{name: "skew: a run's first has its own", file: keep, was: "r.late.skew = skew", is: "_ = skew"},
		{name: "skew: asked at its own instant", file: keep, was: "\tasked -= w.skew\n", is: ""},
		{name: "skew: claims at their own instant", file: keep, was: "f.received+f.skew <= asked", is: "f.received <= asked"},
		{name: "skew: asked when it was applied", file: keep, was: "case w.skew != 0:\n\t\tasked = w.received", is: "case false:"},
		{name: "skew: activations are one", file: keep, was: "&& o.skew == 0 && l.skew == 0 {", is: "{"},
		{name: "skew: of lapses the newest", file: keep, was: " && (w.skew == 0 || later(o, &w) == (o.received <= w.received)) {", is: " {"},
	}
}
