package truth

import "time"

// apart holds what tells each rule of the code from its neighbours: every one of these was missing
// when that rule alone was changed.
func apart(c *scenarios) {
	idv := Policy{Required: []string{"identity_verification"}}
	docs := Policy{Required: []string{"document_verification"}}
	both := Policy{Required: []string{"identity_verification", "screening"}}
	f := func(name string, p Policy, want Status, us ...Update) { c.status(name, p, 500, want, us...) }
	weak := func(x Update) Update { x.Weak = true; x.ID += "w"; return x }
	exp := func(x Update, min int) Update { x.Expires = at(min); return x }
	assumed := func(x Update, min int) Update { x.Expires, x.Assumed = at(min), true; return x }
	rec := func(x Update, min int) Update { x.Received = at(min); return x }
	rev := func(x Update, n int) Update { x.Revision = n; x.ID += "r"; return x }
	ref := func(x Update, s string) Update { x.Ref = s; x.ID += s; return x }
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
	active := func(k Key, sess string, min int) Update {
		x := u(k, sess, min, NotStarted)
		x.Lifts, x.Mute, x.ID = true, true, x.ID+"l"
		return x
	}
	submission := Update{ID: "submission", Key: sumsub, Session: "i", Status: Pending, Submission: true}
	bf := Key{Source: "blendfi", Type: "identity_verification", Overall: true}
	idA, idB := Key{Source: "bluum", Type: "document_verification", Part: "id"}, Key{Source: "middesk", Type: "document_verification", Part: "id"}
	second := Key{Source: "bluum", Type: "document_verification", Part: "second"}

	// Attempts.
	f("nobody knows the subject, whatever is required", both, NotStarted)
	f("registered, then the link lapsed", idv, Pending, rec(submission, 1), rec(u(sumsub, "i", 3, NotStarted), 4), rec(u(sumsub, "i", 9, Lapsed), 10))
	f("of a source the newest attempt", idv, NotStarted, u(persona, "a", 1, Pending), u(persona, "b", 4, NotStarted))
	f("an older attempt arrives last", idv, NotStarted, u(persona, "a", 5, NotStarted), u(persona, "a", 3, Pending))
	f("created and begun in the same second", idv, Pending, u(persona, "a", 3, Pending), u(persona, "a", 3, NotStarted))
	f("the same, and the provider says which is newer", idv, NotStarted, u(persona, "a", 3, Pending), rev(u(persona, "a", 3, NotStarted), 1))
	f("without times the last to arrive, whatever its revision", idv, NotStarted, rev(nt(persona, "a", 101, Pending), 5), nt(persona, "a", 101, NotStarted))
	c.status("a deadline passes at its instant", idv, 400, NotStarted, exp(u(sumsub, "i", 5, Pending), 400))
	f("final, reset before it, then an attempt", idv, RejectedTerminal, u(sumsub, "i", 1, NotStarted), u(sumsub, "i", 3, RejectedTerminal, "other"), u(sumsub, "i", 5, Pending))
	f("under way, the other type run out", both, Pending, u(sumsub, "i", 1, Pending), exp(u(aml, "s", 2, Approved), 50))
	f("created, another required type unknown", Policy{Required: []string{"identity_verification", "liveness"}}, Pending, u(sumsub, "i", 1, NotStarted))

	// Findings that nothing but their newest tells apart, and others.
	f("two runs suspended, the newer activated", idv, Suspended, u(sumsub, "a", 3, Suspended), u(sumsub, "b", 9, Suspended), u(sumsub, "b", 12, Approved))
	f("two sources suspended in runs of one name, one released", idv, Suspended, u(sumsub, "i", 3, Suspended), u(persona, "i", 5, Suspended), decide(persona, 9, Approved))
	f("final for fraud, reset, final for less, approved", idv, Approved, u(sumsub, "i", 3, RejectedTerminal, "fraud_suspected"), u(sumsub, "i", 4, NotStarted), u(sumsub, "i", 5, RejectedTerminal, "other"), u(sumsub, "i", 8, Approved))
	f("final for fraud, then a try, then approved", idv, RejectedTerminal, u(sumsub, "i", 3, RejectedTerminal, "fraud_suspected"), u(sumsub, "i", 5, Pending), u(sumsub, "i", 8, Approved))
	f("a claimed approval answers no claim", idv, InReview, u(sumsub, "i", 1, Approved), weak(u(request, "r", 3, Rejected)), weak(u(request, "r", 5, Approved)))
	f("claims about two documents, one answered", idv, InReview, u(sumsub, "i", 1, Approved), ref(weak(u(request, "r", 3, Rejected)), "doc1"), ref(weak(u(request, "r", 4, Rejected)), "doc2"), ref(asked(u(request, "r", 2, Pending), 200), "doc2"))
	f("claims of different words are answered together", idv, InReview, rec(weak(u(request, "r", 50, Rejected)), 110), rec(weak(u(request, "r", 3, Suspended)), 118), rec(asked(u(request, "r", 2, Pending), 115), 120), rec(u(request, "r", 40, Approved), 121))
	f("suspended, and another type in review", idv, Suspended, u(sumsub, "i", 3, Suspended), u(screening, "i", 5, InReview))
	f("an activation of another check", idv, Suspended, u(sumsub, "i", 3, Approved), u(sumsub, "i", 5, Suspended), active(screening, "i", 7))

	// Ends.
	f("an operator's approval, ended by the provider", idv, Approved, decide(sumsub, 3, Approved), u(sumsub, "i", 9, Expired))
	f("an operator's approval, ended by the operator and by a provider without sessions", idv, Expired, decide(bf, 10, Approved), decide(bf, 20, Expired), u(bf, "", 30, Expired))
	c.until("two runs of one time: the later end", idv, 50, 300, exp(u(sumsub, "i", 1, Approved), 100), exp(u(sumsub, "j", 1, Approved), 300))
	c.until("an unsigned end makes no new verification", idv, 50, 100, assumed(u(bf, "s", 1, Approved), 100), weak(u(bf, "s", 10, Expired)), assumed(u(bf, "s", 20, Approved), 120))

	// Steps.
	c.until("who speaks by steps lasts as long as the first of them", docs, 50, 200, exp(u(idA, "", 1, Approved), 100), exp(u(second, "", 2, Approved), 300), exp(u(idB, "", 3, Approved), 200))
	f("fraud of a step elsewhere makes nobody answer for what another source found", docs, Rejected, u(passprt, "", 3, RejectedTerminal, "other"), u(idA, "", 5, Approved), u(idB, "", 9, Rejected, "fraud_suspected"))
}
