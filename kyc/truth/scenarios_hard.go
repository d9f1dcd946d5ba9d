package truth

import "time"

// hard holds what went wrong in practice: several sources, several sessions, operators, clocks.
func hard(c *scenarios) {
	none := Policy{}
	idv := Policy{Required: []string{"identity_verification"}}
	bluum := Key{Source: "bluum", Type: "identity_verification", Overall: true}
	g1 := Key{Source: "g1", Type: "identity_verification", Overall: true}
	g2 := Key{Source: "g2", Type: "identity_verification", Overall: true}
	screen := Key{Source: "g1", Type: "screening", Overall: true}
	weak := func(x Update) Update { x.Weak = true; x.ID += "w"; return x }
	decide := func(k Key, min int, st Status) Update {
		x := u(k, "", min, st)
		x.Operator = true
		x.ID += "d"
		return x
	}
	nt := func(k Key, sess string, min int, st Status, r ...string) Update { // without a time of the provider's
		x := u(k, sess, min, st, r...)
		x.At, x.Received = time.Time{}, x.At
		return x
	}
	f := func(name string, p Policy, want Status, us ...Update) { c.status(name, p, 500, want, us...) }
	f("fraud, approved elsewhere, new attempt where the fraud was seen", none, Pending, u(sumsub, "i", 1, Rejected, "fraud_suspected"), u(persona, "a", 3, Approved), u(sumsub, "i", 5, Pending))
	f("the same with a reset", none, NotStarted, u(sumsub, "i", 1, Rejected, "fraud_suspected"), u(persona, "a", 3, Approved), u(sumsub, "i", 5, NotStarted))
	f("the same, then approved where the fraud was seen", none, Approved, u(sumsub, "i", 1, Rejected, "fraud_suspected"), u(persona, "a", 3, Approved), u(sumsub, "i", 5, NotStarted), u(sumsub, "i", 7, Approved))
	f("suspended, approved elsewhere, expired where suspended", none, Suspended, u(bluum, "w", 1, Suspended), u(sumsub, "i", 3, Approved), u(bluum, "w", 5, Expired))
	f("approved, suspended elsewhere, expired there", none, Suspended, u(sumsub, "i", 1, Approved), u(bluum, "w", 3, Suspended), u(bluum, "w", 5, Expired))
	f("approved, rejected elsewhere, expired there", none, Rejected, u(sumsub, "i", 1, Approved), u(bluum, "w", 3, Rejected), u(bluum, "w", 5, Expired))
	f("approved, in review elsewhere, expired there", none, InReview, u(sumsub, "i", 1, Approved), u(bluum, "w", 3, InReview), u(bluum, "w", 5, Expired))
	f("two workflows, one suspended and then rejected", none, Suspended, u(bluum, "a", 1, Suspended), u(bluum, "b", 3, Approved), u(bluum, "a", 5, Rejected))
	f("final, approved elsewhere, deactivated", none, Suspended, u(sumsub, "i", 1, RejectedTerminal, "data_mismatch"), u(persona, "a", 3, Approved), u(sumsub, "i", 5, Suspended))
	f("final, approved elsewhere, then fraud", none, Rejected, u(sumsub, "i", 1, RejectedTerminal, "data_mismatch"), u(persona, "a", 3, Approved), u(sumsub, "i", 5, Rejected, "fraud_suspected"))
	f("final, approved elsewhere, then on hold", none, InReview, u(sumsub, "i", 1, RejectedTerminal, "data_mismatch"), u(persona, "a", 3, Approved), u(sumsub, "i", 5, InReview))
	f("approved, rejected elsewhere, a final one of before arrives late", none, Rejected, u(persona, "a", 3, Approved), u(sumsub, "i", 5, Rejected), u(sumsub, "i", 1, RejectedTerminal))
	f("adverse media final, approved, screening reset", none, NotStarted, u(screen, "s", 1, RejectedTerminal, "adverse_media_match"), u(sumsub, "i", 3, Approved), u(screen, "s", 5, NotStarted))
	f("an unsigned attempt undoes no unsigned failure", none, InReview, u(sumsub, "i", 1, Approved), weak(u(request, "r", 3, Rejected)), weak(u(request, "r", 5, Pending)))
	f("an unsigned rejection is told as in review", none, InReview, u(sumsub, "i", 1, Approved), weak(u(request, "r", 3, Rejected)))
	f("an unsigned expiry too", none, InReview, u(sumsub, "i", 1, Approved), weak(u(request, "r", 3, Expired)))
	f("operator says expired where it was rejected", none, RejectedTerminal, u(g1, "", 1, Approved), u(g2, "", 3, RejectedTerminal), decide(g2, 5, Expired))
	f("second run found fraud and was reset: the first run's approval does not come back", none, NotStarted, u(sumsub, "i1", 1, Approved), u(sumsub, "i2", 3, RejectedTerminal, "fraud_suspected"), u(sumsub, "i2", 5, NotStarted))
	f("approval, rejection without a time, the approval's older twin arrives late", none, Rejected, u(sumsub, "i", 10, Approved), nt(sumsub, "i", 130, Rejected), u(sumsub, "i", 9, Approved))
	f("approval, reset without a time", none, NotStarted, u(sumsub, "i", 10, Approved), nt(sumsub, "i", 130, NotStarted))
	f("operator approves, fraud of shortly before arrives after", none, RejectedTerminal, u(sumsub, "i", 1, InReview), decide(sumsub, 9, Approved), u(sumsub, "i", 8, RejectedTerminal, "fraud_suspected"))
	f("operator approves, suspension of shortly before arrives after", none, Suspended, u(sumsub, "i", 1, InReview), decide(sumsub, 9, Approved), u(sumsub, "i", 8, Suspended))
	f("operator approves, an older review arrives after", none, Approved, u(sumsub, "i", 1, InReview), decide(sumsub, 9, Approved), u(sumsub, "i", 2, InReview))
	f("two inquiries, the older one approved last", none, Approved, u(persona, "b", 1, Pending), u(persona, "a", 2, Pending), u(persona, "a", 3, Rejected), u(persona, "b", 5, Approved))
	f("the older inquiry approved after the newer found fraud", none, Rejected, u(persona, "b", 1, Pending), u(persona, "a", 2, Pending), u(persona, "a", 3, Rejected, "fraud_suspected"), u(persona, "b", 5, Approved))
	f("a new inquiry approved after fraud in another", none, Approved, u(persona, "a", 2, Pending), u(persona, "a", 3, Rejected, "fraud_suspected"), u(persona, "b", 4, Pending), u(persona, "b", 5, Approved))
	f("older inquiry marked for review after a newer approval", none, InReview, u(persona, "b", 1, Pending), u(persona, "a", 2, Pending), u(persona, "a", 3, Approved), u(persona, "b", 5, InReview))
	f("approved, lapsed elsewhere", idv, Approved, u(sumsub, "i", 1, Approved), u(persona, "b", 3, Lapsed))
	f("failed here, passed there: a chain of providers", idv, Approved, u(sumsub, "i", 1, RejectedTerminal, "data_mismatch"), u(persona, "b", 3, Approved))
	f("fraud here, passed there", idv, RejectedTerminal, u(sumsub, "i", 1, RejectedTerminal, "fraud_suspected"), u(persona, "b", 3, Approved))
	f("released fraud here, passed there before", idv, Approved, u(sumsub, "i", 1, RejectedTerminal, "fraud_suspected"), u(persona, "b", 3, Approved), decide(sumsub, 5, NotStarted))
	f("screening in review beside a required approval, new attempt", idv, Pending, u(sumsub, "i", 1, Approved), u(screen, "s", 3, InReview, "pep_match"), u(screen, "s", 5, Pending))
	f("weak approval beside nothing", idv, InReview, weak(u(request, "r", 3, Approved)))
	f("operator's no, provider approves in a new run", idv, Suspended, decide(sumsub, 3, Suspended), u(sumsub, "j", 9, Approved))

	exp := func(x Update, min int) Update { x.Expires = at(min); return x }
	ends := func(name string, now int, want Status, us ...Update) { c.status(name, idv, now, want, us...) }
	ends("stands", 99, Approved, exp(u(sumsub, "i", 1, Approved), 100))
	ends("runs out at its instant", 100, Expired, exp(u(sumsub, "i", 1, Approved), 100))
	ends("runs out while a new attempt is under way", 101, Expired, exp(u(sumsub, "i", 1, Approved), 100), u(sumsub, "i", 90, Pending))
	ends("a new attempt after it has run out", 101, Pending, exp(u(sumsub, "i", 1, Approved), 50), u(sumsub, "i", 90, Pending))
	ends("renewed before it ran out", 101, Approved, exp(u(sumsub, "i", 1, Approved), 100), exp(u(sumsub, "i", 90, Approved), 400))
	ends("one of two stands", 101, Approved, exp(u(sumsub, "i", 1, Approved), 100), exp(u(persona, "a", 2, Approved), 400))
	ends("the one that was superseded does not come back", 101, Expired, exp(u(sumsub, "i", 1, Approved), 400), u(persona, "a", 3, Rejected), exp(u(persona, "a", 5, Approved), 100))
	ends("reset after an approval that had already run out", 101, NotStarted, exp(u(sumsub, "i1", 1, Approved), 50), u(sumsub, "i2", 60, RejectedTerminal, "fraud_suspected"), u(sumsub, "i2", 70, NotStarted))
}
