package truth

import "time"

// found holds what the second reading of the definition found.
func found(c *scenarios) {
	none := Policy{}
	idv := Policy{Required: []string{"identity_verification"}}
	docs := Policy{Required: []string{"document_verification"}}
	risk := Policy{Required: []string{"risk_assessment"}}
	weak := func(x Update) Update { x.Weak = true; x.ID += "w"; return x }
	exp := func(x Update, min int) Update { x.Expires = at(min); return x }
	assumed := func(x Update, min int) Update { x.Expires, x.Assumed = at(min), true; return x }
	rev := func(x Update, n int) Update { x.Revision = n; x.ID += "r"; return x }
	ref := func(x Update, s string) Update { x.Ref = s; x.ID += s; return x }
	answer := func(x Update) Update { x.Confirms = true; x.ID += "c"; return x }
	decide := func(k Key, min int, st Status) Update {
		x := u(k, "", min, st)
		x.Operator = true
		x.ID += "d"
		return x
	}
	nt := func(k Key, min int, st Status) Update {
		x := u(k, "i", min, st)
		x.At, x.Received = time.Time{}, x.At
		return x
	}
	f := func(name string, p Policy, want Status, us ...Update) { c.status(name, p, 500, want, us...) }
	until := c.until
	screenA := Key{Source: "A", Type: "screening", Overall: true}
	screenB := Key{Source: "B", Type: "screening", Overall: true}
	docO := Key{Source: "stripe", Type: "document_verification", Overall: true}
	idB := Key{Source: "bluum", Type: "document_verification", Part: "id"}
	tin := Key{Source: "persona", Type: "tax_id_verification"}
	bluum := Key{Source: "bluum", Type: "identity_verification", Overall: true}
	bf := Key{Source: "blendfi", Type: "identity_verification", Overall: true}
	funds := Key{Source: "rebilly", Type: "risk_assessment", Part: "funds-proof"}
	purchase := Key{Source: "rebilly", Type: "risk_assessment", Part: "purchase-proof"}

	// What was reset does not count because something else, that counts no more, was not.
	f("reset here, run out elsewhere", idv, NotStarted, exp(u(persona, "a", 1, Approved), 50), u(sumsub, "i", 10, Approved), u(sumsub, "i", 60, NotStarted))
	f("reset here, superseded elsewhere", idv, NotStarted, u(persona, "a", 1, Approved), u(persona, "a", 3, Rejected), u(sumsub, "i", 5, Approved), u(sumsub, "i", 7, NotStarted))
	f("reset here, stands elsewhere", idv, Approved, u(persona, "a", 1, Approved), u(sumsub, "i", 5, Approved), u(sumsub, "i", 7, NotStarted))
	f("reset without a time, the approval's older twin arrives late", idv, NotStarted, u(sumsub, "i", 10, Approved), nt(sumsub, 130, NotStarted), u(sumsub, "i", 9, Approved))
	f("created and approved in the same second", idv, Approved, u(sumsub, "i", 3, NotStarted), u(sumsub, "i", 3, Approved))
	f("an operator's approval is not reset by a provider without sessions", idv, Approved, decide(bf, 3, Approved), u(bf, "", 9, NotStarted))
	f("nor by one with", idv, Approved, decide(sumsub, 3, Approved), u(sumsub, "i", 9, NotStarted))

	// A serious suspicion is settled where it was raised.
	f("possible hit under review, approved elsewhere", idv, InReview, u(sumsub, "i", 3, InReview, "sanctions_match"), u(persona, "a", 5, Approved))
	f("the same, cleared where it was raised", idv, Approved, u(sumsub, "i", 3, InReview, "pep_match"), u(sumsub, "i", 5, Approved))
	f("the same in a new run there", idv, Approved, u(sumsub, "i", 3, InReview, "pep_match"), u(sumsub, "j", 5, Approved))
	f("the same in a parallel run there", idv, InReview, u(sumsub, "j", 1, Pending), u(sumsub, "i", 3, InReview, "pep_match"), u(sumsub, "j", 5, Approved))
	f("the same, released", idv, Approved, u(sumsub, "i", 3, InReview, "sanctions_match"), u(persona, "a", 5, Approved), decide(sumsub, 7, NotStarted))
	f("two lists", idv, InReview, u(sumsub, "i", 1, Approved), u(screenA, "s", 3, InReview, "pep_match"), u(screenB, "s", 5, Approved))
	f("operator approves, a possible hit of before arrives", idv, InReview, u(sumsub, "i", 1, InReview), decide(sumsub, 9, Approved), u(sumsub, "i", 8, InReview, "sanctions_match"))
	f("operator approves another check", idv, InReview, u(sumsub, "i", 3, InReview, "fraud_suspected"), decide(persona, 9, Approved))
	f("fraud under review, approved elsewhere", idv, InReview, u(sumsub, "i", 3, InReview, "fraud_suspected"), u(persona, "a", 5, Approved))
	f("fraud under review, another source begins", idv, InReview, u(sumsub, "i", 3, InReview, "fraud_suspected"), u(persona, "a", 5, Pending))
	f("a claim of a hit, approved elsewhere", idv, InReview, weak(u(sumsub, "i", 3, RejectedTerminal, "sanctions_match")), u(persona, "a", 5, Approved))
	f("a claim of less, approved elsewhere", idv, Approved, weak(u(sumsub, "i", 3, RejectedTerminal, "other")), u(persona, "a", 5, Approved))
	f("a possible hit of a step that nobody asked for", idv, InReview, u(sumsub, "i", 1, Approved), u(Key{Source: "x", Type: "liveness"}, "i", 3, InReview, "sanctions_match"))
	for _, r := range []string{"underage", "duplicate_account", "adverse_media_match", "fraud_suspected"} {
		f(r+" here, approved elsewhere", idv, Rejected, u(sumsub, "i", 1, Rejected, r), u(persona, "a", 3, Approved))
	}
	f("duplicate here, later approved in the same run", idv, Approved, u(sumsub, "i", 1, Rejected, "duplicate_account"), u(sumsub, "i", 3, Approved))
	f("pep", idv, RejectedTerminal, u(sumsub, "i", 1, Rejected, "pep_match"), u(sumsub, "j", 3, Approved))

	// Operators lift what they knew.
	f("release, a rejection of before it arrives after", idv, Rejected, u(sumsub, "i", 1, Approved), u(sumsub, "i", 5, Suspended), decide(sumsub, 9, NotStarted), u(sumsub, "i", 8, Rejected, "data_mismatch"))
	f("a decision elsewhere lifts no suspension", idv, Suspended, u(sumsub, "i", 3, Suspended), decide(persona, 9, Approved))
	f("a decision elsewhere answers a final word that any approval elsewhere would", idv, Approved, u(persona, "a", 3, RejectedTerminal, "document_expired"), decide(sumsub, 9, Approved))
	f("unless it came after", idv, RejectedTerminal, decide(sumsub, 9, Approved), u(persona, "a", 3, RejectedTerminal, "document_expired"))
	f("operator approves, provider rejects and approves", idv, Approved, decide(sumsub, 9, Approved), u(sumsub, "i", 12, Rejected, "document_unreadable"), u(sumsub, "i", 14, Approved))
	f("operator approves, provider retries", idv, Pending, decide(sumsub, 9, Approved), u(sumsub, "i", 12, Rejected, "document_unreadable"), u(sumsub, "i", 13, Pending))
	f("no, then yes", idv, Approved, decide(sumsub, 5, Suspended), rev(decide(sumsub, 6, Approved), 0))
	f("yes, then no", idv, Rejected, decide(sumsub, 5, Approved), rev(decide(sumsub, 6, Rejected), 0))
	f("yes, then ended", idv, Expired, decide(sumsub, 5, Approved), rev(decide(sumsub, 6, Expired), 0))
	f("yes, no and release: the yes", idv, Approved, decide(sumsub, 5, Approved), rev(decide(sumsub, 6, Suspended), 0), decide(sumsub, 7, NotStarted))
	f("the clock of the provider ahead of the decision, elsewhere", idv, Rejected, u(persona, "a", 10, Rejected), decide(sumsub, 9, Approved))

	// Ends.
	until("the source shortens the validity", idv, 50, 100, exp(u(bf, "s", 1, Approved), 900), exp(u(bf, "s", 2, Approved), 100))
	until("a repetition extends nothing", idv, 50, 100, assumed(u(bf, "s", 1, Approved), 100), assumed(u(bf, "s", 20, Approved), 120))
	until("nor does one without a date", idv, 50, 100, assumed(u(bf, "s", 1, Approved), 100), u(bf, "s", 20, Approved))
	until("a date of the provider's does", idv, 50, 120, assumed(u(bf, "s", 1, Approved), 100), exp(u(bf, "s", 20, Approved), 120))
	until("an attempt that lies between makes a renewal", idv, 50, 120, assumed(u(bf, "s", 1, Approved), 100), u(bf, "s", 19, Pending), assumed(u(bf, "s", 20, Approved), 120))
	until("a reset that lies between does", idv, 50, 120, assumed(u(bf, "s", 1, Approved), 100), u(bf, "s", 19, NotStarted), assumed(u(bf, "s", 20, Approved), 120))
	until("nor one before the first", idv, 50, 100, u(bf, "s", 0, NotStarted), assumed(u(bf, "s", 1, Approved), 100), assumed(u(bf, "s", 20, Approved), 120))
	until("nor one of another run", idv, 50, 100, assumed(u(bf, "s", 1, Approved), 100), u(bf, "r", 19, NotStarted), assumed(u(bf, "s", 20, Approved), 120))
	until("a repetition of what the provider dated", idv, 50, 120, assumed(u(bf, "s", 1, Approved), 100), exp(u(bf, "s", 10, Approved), 120), assumed(u(bf, "s", 20, Approved), 300))
	until("two repetitions", idv, 50, 100, assumed(u(bf, "s", 1, Approved), 100), assumed(u(bf, "s", 20, Approved), 120), assumed(u(bf, "s", 40, Approved), 140))
	until("or a new run", idv, 50, 120, assumed(u(bf, "s", 1, Approved), 100), assumed(u(bf, "t", 20, Approved), 120))
	until("or that it had ended", idv, 130, 220, assumed(u(bf, "s", 1, Approved), 100), assumed(u(bf, "s", 120, Approved), 220))
	until("or an operator", idv, 50, 220, assumed(decide(sumsub, 1, Approved), 100), assumed(decide(sumsub, 20, Approved), 220))
	until("an older approval that lasts longer arrives late", idv, 50, 100, exp(u(bf, "s", 10, Approved), 100), exp(u(bf, "s", 5, Approved), 900))
	until("of equal times the one that ends sooner", idv, 50, 100, exp(u(bf, "s", 10, Approved), 100), exp(rev(u(bf, "s", 10, Approved), 0), 900))
	until("two sources: the later end", idv, 50, 300, exp(u(sumsub, "i", 1, Approved), 100), exp(u(persona, "i", 2, Approved), 300))
	until("two types: the earlier end", Policy{Required: []string{"identity_verification", "screening"}}, 50, 100, exp(u(sumsub, "i", 1, Approved), 100), exp(u(aml, "i", 2, Approved), 300))
	until("a step nobody asked for ends nothing", idv, 50, 100, exp(u(sumsub, "i", 1, Approved), 100), exp(u(passprt, "i", 2, Approved), 70))
	f("expired in a newer run of the source", idv, Expired, u(bluum, "a", 1, Approved), u(bluum, "b", 50, Pending), u(bluum, "b", 60, Expired))
	f("expired without a session", idv, Expired, u(bf, "s", 1, Approved), u(bf, "", 60, Expired))
	f("expired in an older run, renewed since", idv, Approved, u(bf, "s", 1, Approved), u(bf, "t", 40, Approved), u(bf, "s", 60, Expired))
	f("expired before it was approved again", idv, Approved, u(bf, "s", 1, Approved), u(bf, "s", 40, Expired), u(bf, "s", 60, Approved))
	f("expired elsewhere", idv, Approved, u(sumsub, "i", 1, Approved), u(bluum, "w", 5, Expired))
	f("expired, a new link lapsed", idv, Expired, exp(u(persona, "a", 1, Approved), 50), u(persona, "b", 60, Pending), u(persona, "b", 61, Lapsed))
	f("screening alone, run out", none, Pending, exp(u(aml, "s", 1, Approved), 50))

	// Runs.
	f("the older of two inquiries lapses", idv, Pending, u(persona, "a", 1, Pending), u(persona, "b", 4, Pending), u(persona, "a", 5, Lapsed))
	f("the same after a rejection", idv, Pending, u(persona, "z", 1, Rejected), u(persona, "a", 2, Pending), u(persona, "b", 4, Pending), u(persona, "a", 5, Lapsed))
	f("two inquiries, one closed, the other approved after", idv, Approved, u(persona, "a", 1, Pending), u(persona, "b", 2, Pending), u(persona, "a", 3, RejectedTerminal, "document_expired"), u(persona, "b", 5, Approved))
	f("the same for fraud", idv, RejectedTerminal, u(persona, "a", 1, Pending), u(persona, "b", 2, Pending), u(persona, "a", 3, RejectedTerminal, "fraud_suspected"), u(persona, "b", 5, Approved))
	f("without a session nothing is outrun", docs, Rejected, u(passprt, "", 1, Pending), u(passprt, "r", 2, Pending), u(passprt, "r", 3, Approved), u(passprt, "", 9, Rejected, "document_expired"))
	f("a moot rejection supersedes nobody", idv, Approved, u(persona, "a", 1, Pending), u(persona, "b", 2, Pending), u(persona, "b", 3, Approved), u(sumsub, "i", 6, Rejected), u(sumsub, "i", 8, Approved), u(persona, "a", 9, Rejected))
	f("what outran it was reset", idv, Rejected, u(persona, "a", 1, Pending), u(persona, "b", 2, Pending), u(persona, "b", 3, Approved), u(persona, "b", 5, NotStarted), u(persona, "a", 9, Rejected))
	f("only a rejection is outrun", idv, InReview, u(persona, "a", 1, Pending), u(persona, "b", 2, Pending), u(persona, "b", 3, Approved), u(persona, "a", 9, InReview))
	f("of another source nothing is outrun", idv, Rejected, u(persona, "a", 1, Pending), u(sumsub, "b", 2, Pending), u(sumsub, "b", 3, Approved), u(persona, "a", 9, Rejected))
	f("suspended, approved in another run", idv, Suspended, u(bluum, "a", 1, Suspended), u(bluum, "b", 3, Approved))
	f("final, then the reviewer approves after all", idv, Approved, u(sumsub, "i", 3, RejectedTerminal, "other"), u(sumsub, "i", 5, Approved))
	f("final, then an attempt only", idv, RejectedTerminal, u(sumsub, "i", 3, RejectedTerminal, "other"), u(sumsub, "i", 5, Pending))
	f("final after the approval", idv, RejectedTerminal, u(sumsub, "i", 3, Approved), u(sumsub, "i", 5, RejectedTerminal, "other"))
	f("two inquiries, one final, the other, begun before, approved after", idv, Approved, u(persona, "b", 1, Pending), u(persona, "a", 3, RejectedTerminal, "other"), u(persona, "b", 5, Approved))
	for _, r := range graveReasons {
		f("final, reset before it: "+r, idv, RejectedTerminal, u(sumsub, "i", 1, NotStarted), u(sumsub, "i", 3, RejectedTerminal, r), u(sumsub, "i", 5, Approved))
		f("final, approved elsewhere: "+r, idv, RejectedTerminal, u(sumsub, "i", 3, RejectedTerminal, r), u(persona, "i", 5, Approved))
	}
	f("final, reset after the approval", idv, NotStarted, u(sumsub, "i", 3, RejectedTerminal, "other"), u(sumsub, "i", 5, Approved), u(sumsub, "i", 7, NotStarted))
	f("final for fraud, an unsigned reset", idv, RejectedTerminal, u(sumsub, "i", 3, RejectedTerminal, "fraud_suspected"), weak(u(sumsub, "i", 5, NotStarted)), u(sumsub, "i", 7, Approved))
	f("an unsigned reset undoes nothing", idv, Approved, u(sumsub, "i", 3, Approved), weak(u(sumsub, "i", 5, NotStarted)))
	f("an unsigned expiry ends nothing, it is looked into", idv, InReview, u(request, "r", 3, Approved), weak(u(request, "r", 5, Expired)))

	// Answers.
	f("the answer about one document is none about another", idv, InReview, u(sumsub, "i", 1, Approved), ref(weak(u(request, "", 3, RejectedTerminal, "fraud_suspected")), "doc1"), ref(answer(u(request, "", 5, Pending)), "doc2"))
	f("nor about another run", idv, InReview, u(sumsub, "i", 1, Approved), weak(u(request, "r", 3, RejectedTerminal, "fraud_suspected")), answer(u(request, "s", 2, Pending)))
	f("nor of another source", idv, InReview, u(sumsub, "r", 1, Approved), weak(u(request, "r", 3, RejectedTerminal, "fraud_suspected")), answer(u(persona, "r", 2, Pending)))
	asked := answer(u(request, "r", 2, Pending))
	asked.AskedAt, asked.Received = at(50), at(120)
	f("asked before the claim came", idv, InReview, u(sumsub, "r", 1, Approved), weak(u(request, "r", 3, Rejected)), asked)
	asked.AskedAt = at(110)
	f("asked after it", idv, Approved, u(sumsub, "r", 1, Approved), weak(u(request, "r", 3, Rejected)), asked)
	f("an unsigned answer is none", idv, InReview, u(sumsub, "i", 1, Approved), weak(u(request, "r", 3, Rejected)), weak(answer(u(request, "r", 2, Pending))))
	f("an unsigned fraud of a step that nobody asked for does not count", idv, Approved, u(sumsub, "i", 1, Approved), weak(u(passprt, "r", 3, Rejected, "fraud_suspected")))

	// Order.
	f("revisions of different objects are not compared", idv, Rejected, u(sumsub, "i", 3, Rejected), rev(u(request, "r", 3, Approved), 5))
	f("revisions of one are", idv, Approved, rev(u(request, "r", 3, Rejected), 4), rev(u(request, "r", 3, Approved), 5))
	f("and lower ones are older", idv, Rejected, rev(u(request, "r", 3, Rejected), 6), rev(u(request, "r", 3, Approved), 5))
	f("a rejection without a time, an approval of before it arrives", idv, Rejected, nt(sumsub, 100, Rejected), u(sumsub, "i", 10, Approved))
	f("a rejection without a time, an approval of after it", idv, Approved, nt(sumsub, 100, Rejected), u(sumsub, "i", 110, Approved))
	f("an approval without a time, a rejection of before it arrives", idv, Rejected, nt(sumsub, 100, Approved), u(sumsub, "i", 10, Rejected))

	// Types and steps.
	f("screening clear and a step that nobody asked for", none, Pending, u(aml, "s", 1, Approved), u(tin, "s", 2, Approved))
	f("business is not decided by a step", Policy{Required: []string{"business_verification"}}, Pending, u(Key{Source: "m", Type: "business_verification", Part: "tin"}, "s", 2, Approved))
	f("another source approved the step", docs, Approved, u(passprt, "", 3, Rejected, "document_unreadable"), u(idB, "", 5, Approved))
	f("before it was rejected", docs, Rejected, u(idB, "", 3, Approved), u(passprt, "", 5, Rejected, "document_unreadable"))
	f("but for fraud", docs, Rejected, u(passprt, "", 3, Rejected, "fraud_suspected"), u(idB, "", 5, Approved))
	f("begun here, approved elsewhere", docs, Approved, u(passprt, "", 3, Pending), u(idB, "", 5, Approved))
	f("approved here, begun elsewhere", docs, Approved, u(idB, "", 5, Approved), u(passprt, "", 8, Pending))
	f("lapsed here, approved elsewhere", docs, Approved, u(passprt, "", 3, Lapsed), u(idB, "", 5, Approved))
	f("run out here, approved elsewhere", docs, Approved, exp(u(passprt, "", 3, Approved), 50), u(idB, "", 55, Approved))
	until("two sources by steps: the later end", docs, 50, 300, exp(u(passprt, "", 3, Approved), 100), exp(u(idB, "", 5, Approved), 300))
	f("another document of the same source is waited for", risk, Pending, u(sumsub, "i", 1, Approved), u(funds, "r", 5, Approved), u(purchase, "r", 3, Pending))
	f("and may have been rejected", risk, Rejected, u(sumsub, "i", 1, Approved), u(funds, "r", 5, Approved), u(purchase, "r", 3, Rejected))
	f("a step approved, the whole begun elsewhere", docs, Approved, u(passprt, "", 3, Approved), u(docO, "x", 5, Pending))
	f("a step approved, the whole begun by the same", docs, Pending, u(Key{Source: "stripe", Type: "document_verification"}, "x", 3, Approved), u(docO, "x", 5, Pending))
	f("a step rejected, the whole begun unsigned", docs, Rejected, u(passprt, "", 3, Rejected), weak(u(docO, "x", 5, Pending)))
	f("a step rejected, the whole claimed", docs, Rejected, u(passprt, "", 3, Rejected), weak(u(docO, "x", 5, Approved)))
	f("a step rejected, the whole approved since", docs, Approved, u(passprt, "", 3, Rejected), u(docO, "x", 5, Approved))
	f("a step rejected after the whole was approved", docs, Rejected, u(docO, "x", 3, Approved), u(passprt, "", 9, Rejected))
	f("a screening step reset after it was clear", idv, NotStarted, u(sumsub, "i", 1, Approved), u(aml, "s", 3, Approved), u(aml, "s", 5, NotStarted))
	f("a type that nobody asked for, reset after it was clear", idv, NotStarted, u(sumsub, "i", 1, Approved), u(screenA, "s", 3, Approved), u(screenA, "s", 5, NotStarted))
	f("suspended beside a milder finding of another run, for a step", idv, Suspended, u(sumsub, "i", 1, Approved), u(passprt, "r", 3, Suspended), u(passprt, "s", 5, Rejected))
	f("required and unknown, other types decided", Policy{Required: []string{"identity_verification", "liveness"}}, Pending, u(sumsub, "i", 1, Approved))
	f("required and created, another under way", idv, Pending, u(sumsub, "i", 1, NotStarted), u(passprt, "r", 2, Pending))

	// What the mutants showed to be missing.
	f("an unsigned not_started hides no attempt", idv, Pending, u(sumsub, "i", 1, Pending), weak(u(sumsub, "i", 2, NotStarted)))
	f("an unsigned word begins no run", idv, Rejected, weak(u(persona, "a", 1, Pending)), u(persona, "b", 2, Pending), u(persona, "b", 3, Approved), u(persona, "a", 9, Rejected))
	f("fraud, approved before the reset, then elsewhere", idv, NotStarted, u(sumsub, "i", 3, RejectedTerminal, "fraud_suspected"), u(sumsub, "i", 5, Approved), u(sumsub, "i", 7, NotStarted), u(persona, "a", 8, Approved))
	f("rejected and approved in a later run that runs out: what was before does not come back", idv, Expired, u(sumsub, "i", 1, Approved), u(persona, "a", 2, Pending), u(persona, "b", 3, Pending), u(persona, "a", 5, Rejected), exp(u(persona, "b", 7, Approved), 50))
	f("an unsigned expiry that the provider denies", idv, Approved, u(request, "r", 1, Approved), weak(u(request, "r", 3, Expired)), answer(u(request, "r", 2, Pending)))
	until("an unsigned attempt makes no new verification", idv, 50, 100, assumed(u(bf, "s", 1, Approved), 100), weak(u(bf, "s", 19, Pending)), assumed(u(bf, "s", 20, Approved), 120))
	f("the operator's yes outlives the provider's, for it knew", idv, Approved, u(persona, "a", 10, Rejected), decide(sumsub, 9, Approved), exp(u(persona, "a", 12, Approved), 50))
	f("nobody knows which was last", idv, InReview, rev(u(request, "r", 3, Rejected), 1), rev(u(request, "r", 3, Approved), 2), rev(u(bluum, "w", 3, Rejected), 1), rev(u(bluum, "w", 3, Approved), 2))
	f("the whole approved and reset: an older step says nothing", docs, NotStarted, u(passprt, "", 3, Rejected), u(docO, "x", 5, Approved), u(docO, "x", 7, NotStarted))
	f("fraud of a step beside a final word of another run", idv, RejectedTerminal, u(sumsub, "i", 1, Approved), u(passprt, "r", 3, Rejected, "fraud_suspected"), u(passprt, "s", 5, RejectedTerminal, "other"))
	f("the same the other way round", idv, RejectedTerminal, u(sumsub, "i", 1, Approved), u(passprt, "s", 3, RejectedTerminal, "other"), u(passprt, "r", 5, Rejected, "fraud_suspected"))
	f("an unsigned attempt mends nothing", idv, Rejected, u(sumsub, "i", 3, Rejected), weak(u(sumsub, "i", 4, Pending)))
	f("an unsigned approval that the provider denies", idv, Pending, weak(u(request, "r", 3, Approved)), answer(u(request, "r", 2, Pending)))
	db := Key{Source: "x", Type: "identity_verification", Part: "database"}
	f("a step decides no identity, nor takes it away", idv, Approved, u(sumsub, "i", 1, Approved), u(db, "i", 5, Rejected))
	f("nor beside what else was approved", idv, Pending, u(sumsub, "i", 1, Pending), u(db, "i", 5, Approved), u(docO, "x", 3, Approved))
	f("nor alone", idv, Pending, u(db, "i", 5, Approved), u(docO, "x", 3, Approved))
	f("a claim of fraud of a step, approved elsewhere", docs, InReview, weak(u(passprt, "", 3, Rejected, "fraud_suspected")), u(idB, "", 5, Approved))
	f("a claim of less", docs, Approved, weak(u(passprt, "", 3, Rejected)), u(idB, "", 5, Approved))
	f("a step approved, the whole begun by the same, unsigned", docs, Approved, u(passprt, "", 3, Approved), weak(u(Key{Source: "rebilly", Type: "document_verification", Overall: true}, "x", 5, Pending)))
	f("suspended by a step elsewhere", docs, Suspended, u(passprt, "", 3, Suspended), u(idB, "", 5, Approved))
	until("of two sources by steps the later end, whatever they are called", docs, 50, 300, exp(u(idB, "", 3, Approved), 100), exp(u(passprt, "", 5, Approved), 300))
	f("a hit under review and a new try", idv, Pending, u(sumsub, "i", 3, InReview, "pep_match"), u(sumsub, "i", 4, Pending))
	f("a hit that is told as a retry shows no try", idv, RejectedTerminal, u(sumsub, "i", 3, Rejected, "pep_match"), u(sumsub, "i", 4, Pending))
	f("final shows no try", idv, RejectedTerminal, u(sumsub, "i", 3, RejectedTerminal, "other"), u(sumsub, "i", 4, Pending))
}
