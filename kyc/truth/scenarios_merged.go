package truth

import "time"

// merged holds what the state's bounds ask of the definition, and what the mutants of the merged
// rules showed to be missing.
func merged(c *scenarios) {
	idv := Policy{Required: []string{"identity_verification"}}
	docs := Policy{Required: []string{"document_verification"}}
	weak := func(x Update) Update { x.Weak = true; x.ID += "w"; return x }
	exp := func(x Update, min int) Update { x.Expires = at(min); return x }
	assumed := func(x Update, min int) Update { x.Expires, x.Assumed = at(min), true; return x }
	rec := func(x Update, min int) Update { x.Received = at(min); return x }
	asked := func(x Update, min int) Update { x.Confirms, x.AskedAt = true, at(min); x.ID += "c"; return x }
	decide := func(k Key, min int, st Status) Update {
		x := u(k, "", min, st)
		x.Operator = true
		x.ID += "d"
		return x
	}
	nt := func(k Key, sess string, min int, st Status) Update {
		x := u(k, sess, min, st)
		x.At, x.Received = time.Time{}, x.At
		return x
	}
	f := func(name string, p Policy, want Status, us ...Update) { c.status(name, p, 500, want, us...) }
	until := func(name string, now, want int, us ...Update) { c.until(name, idv, now, want, us...) }
	bf := Key{Source: "blendfi", Type: "identity_verification", Overall: true}
	bluum := Key{Source: "bluum", Type: "identity_verification", Overall: true}
	idB := Key{Source: "bluum", Type: "document_verification", Part: "id"}

	f("a reset elsewhere under the same name", idv, Approved, u(sumsub, "i", 3, Approved), u(persona, "i", 5, NotStarted))
	f("an operator approves elsewhere beside final fraud", idv, RejectedTerminal, u(sumsub, "i", 3, RejectedTerminal, "fraud_suspected"), decide(persona, 9, Approved))
	f("final fraud, another run reset", idv, RejectedTerminal, u(sumsub, "i", 3, RejectedTerminal, "fraud_suspected"), u(sumsub, "j", 5, NotStarted), u(sumsub, "i", 7, Approved))
	f("outrun by no run", idv, Rejected, u(persona, "a", 1, Pending), u(persona, "", 2, Pending), u(persona, "", 3, Approved), u(persona, "a", 9, Rejected))
	f("a strong word that nobody asked for answers no claim", idv, InReview, u(sumsub, "i", 1, Approved), weak(u(request, "r", 3, Rejected)), u(request, "r", 2, Pending))
	f("an answer is none to what comes after it", idv, InReview, u(sumsub, "i", 1, Approved), rec(asked(u(request, "r", 2, Pending), 120), 120), rec(weak(u(request, "r", 3, Rejected)), 120))
	f("claims are answered together", idv, InReview, rec(weak(u(request, "r", 50, Rejected)), 110), rec(weak(u(request, "r", 3, Rejected)), 118), rec(asked(u(request, "r", 2, Pending), 115), 120), rec(u(request, "r", 40, Approved), 121))
	f("and asked again, all are", idv, Approved, rec(weak(u(request, "r", 50, Rejected)), 110), rec(weak(u(request, "r", 3, Rejected)), 118), rec(asked(u(request, "r", 2, Pending), 119), 120), rec(u(request, "r", 40, Approved), 121))
	until("given anew after its source had ended it", 130, 160, assumed(u(bf, "s", 1, Approved), 100), u(bf, "s", 40, Expired), assumed(u(bf, "s", 60, Approved), 160))
	until("a twin without a time that was reset tells no end", 500, 900, exp(nt(bf, "s", 105, Approved), 130), rec(u(bf, "s", 103, NotStarted), 110), rec(exp(u(bf, "s", 104, Approved), 900), 111))
	f("rejected twice, approved between", idv, Rejected, u(sumsub, "i", 3, Rejected), u(sumsub, "i", 9, Rejected), u(sumsub, "i", 5, Approved))
	f("the same without times", idv, Rejected, nt(sumsub, "i", 101, Rejected), nt(sumsub, "i", 102, Approved), nt(sumsub, "i", 103, Rejected))
	f("two runs suspended, one activated", idv, Suspended, u(bluum, "a", 3, Suspended), u(bluum, "b", 9, Suspended), u(bluum, "a", 12, Approved))
	f("rejected without a time and with one, approved after the latter", idv, Rejected, nt(sumsub, "i", 100, Rejected), u(sumsub, "i", 3, Rejected), u(sumsub, "i", 10, Approved))
	f("begun elsewhere, approved here, whatever they are called", docs, Approved, u(idB, "", 3, Pending), u(passprt, "", 5, Approved))
	f("the beginning of a run arrives last", idv, Rejected, u(sumsub, "i", 3, Rejected, "fraud_suspected"), u(sumsub, "j", 5, Approved), u(sumsub, "j", 1, Pending))
	f("ended twice, begun again between: the last counts", idv, Expired, u(bluum, "a", 1, Approved), u(bluum, "a", 5, Expired), u(bluum, "b", 7, Pending), u(bluum, "a", 9, Expired))
}
