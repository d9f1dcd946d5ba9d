package truth

func basic(c *scenarios) {
	none := Policy{}
	idv := Policy{Required: []string{"identity_verification"}}
	weak := func(x Update) Update { x.Weak = true; return x }
	decide := func(k Key, st Status) Update {
		x := u(k, "", 9, st)
		x.Operator = true
		x.ID += "d"
		return x
	}
	f := func(name string, p Policy, want Status, us ...Update) { c.status(name, p, 500, want, us...) }
	f("nobody knows the subject", none, NotStarted)
	f("created only", none, NotStarted, u(sumsub, "i", 1, NotStarted))
	f("created and pending", none, Pending, u(sumsub, "i", 1, NotStarted), u(sumsub, "i", 2, Pending))
	f("link lapsed, nothing decided", none, NotStarted, u(sumsub, "i", 1, Pending), u(sumsub, "i", 2, Lapsed))
	f("approved", none, Approved, u(sumsub, "i", 1, Pending), u(sumsub, "i", 3, Approved))
	f("out of order", none, Approved, u(sumsub, "i", 3, Approved), u(sumsub, "i", 1, Pending))
	f("re-verification begun under the same inspection keeps the approval", none, Approved, u(sumsub, "i", 3, Approved), u(sumsub, "i", 4, Pending))
	f("re-verification begun in a new inquiry keeps the approval", none, Approved, u(persona, "a", 3, Approved), u(persona, "b", 4, NotStarted), u(persona, "b", 5, Pending), u(persona, "b", 6, Lapsed))
	f("put on hold by the provider after approval", none, InReview, u(sumsub, "i", 3, Approved), u(sumsub, "i", 4, InReview))
	f("second final: green then red", none, Rejected, u(sumsub, "i", 3, Approved), u(sumsub, "i", 9, Rejected, "data_mismatch"))
	f("retry: red, then a new try", none, Pending, u(sumsub, "i", 3, Rejected), u(sumsub, "i", 4, Pending))
	f("retry approved", none, Approved, u(sumsub, "i", 3, Rejected), u(sumsub, "i", 4, Pending), u(sumsub, "i", 5, Approved))
	f("terminal stays while a new session is only begun", none, RejectedTerminal, u(persona, "a", 3, RejectedTerminal, "other"), u(persona, "b", 4, Pending))
	f("terminal, then green without a reset: parked", none, RejectedTerminal, u(sumsub, "i", 3, RejectedTerminal, "fraud_suspected"), u(sumsub, "i", 8, Approved))
	f("terminal, reset, green", none, Approved, u(sumsub, "i", 3, RejectedTerminal, "fraud_suspected"), u(sumsub, "i", 5, NotStarted), u(sumsub, "i", 8, Approved))
	f("the same, the reset arriving last", none, Approved, u(sumsub, "i", 3, RejectedTerminal, "fraud_suspected"), u(sumsub, "i", 8, Approved), u(sumsub, "i", 5, NotStarted))
	f("terminal superseded by a verdict of a new session", none, Approved, u(persona, "a", 3, RejectedTerminal, "other"), u(persona, "b", 4, Pending), u(persona, "b", 5, Approved))
	f("sanctions stay whatever comes", none, RejectedTerminal, u(sumsub, "i", 3, RejectedTerminal, "sanctions_match"), u(sumsub, "i", 5, NotStarted), u(sumsub, "j", 8, Approved))
	f("sanctions released, the parked approval applies", none, Approved, u(sumsub, "i", 3, RejectedTerminal, "sanctions_match"), u(sumsub, "i", 8, Approved), decide(sumsub, NotStarted))
	f("a new hit after a release holds again", none, RejectedTerminal, u(sumsub, "i", 3, RejectedTerminal, "sanctions_match"), decide(sumsub, Approved), u(sumsub, "i", 12, RejectedTerminal, "sanctions_match"))
	f("operator approves", none, Approved, u(sumsub, "i", 3, RejectedTerminal, "fraud_suspected"), decide(sumsub, Approved))
	f("provider speaks after the operator", none, Rejected, decide(sumsub, Approved), u(sumsub, "i", 12, Rejected))
	f("screening hit beside an approval", idv, InReview, u(sumsub, "i", 3, Approved), u(aml, "s", 4, InReview))
	f("identity approved again does not clear screening", idv, Rejected, u(sumsub, "i", 3, Approved), u(aml, "s", 4, Rejected, "adverse_media_match"), u(sumsub, "k", 9, Approved))
	f("one rejected document while the request is gathering", none, Pending, u(request, "r", 1, Pending), u(passprt, "r", 2, Approved), u(address, "r", 3, Rejected, "document_unreadable"))
	f("request fulfilled after a resubmission", none, Approved, u(address, "r", 3, Rejected, "document_unreadable"), u(address, "r", 5, Approved), u(request, "r", 6, Approved))
	f("tampered document counts beside a fulfilled request", none, RejectedTerminal, u(passprt, "", 3, RejectedTerminal, "fraud_suspected"), u(request, "r", 6, Approved))
	f("documents only, both required", Policy{Required: []string{"document_verification", "address_verification"}}, Pending, u(passprt, "", 3, Approved))
	f("documents only, both there", Policy{Required: []string{"document_verification", "address_verification"}}, Approved, u(passprt, "", 3, Approved), u(address, "", 4, Approved))
	f("a step nobody asked for decides nobody", idv, Pending, u(passprt, "", 3, Approved))
	f("other type begun, not required", idv, Approved, u(sumsub, "i", 3, Approved), u(Key{Source: "p", Type: "address_verification", Overall: true}, "x", 5, Pending))
	f("same type elsewhere: the newest verdict speaks", none, Approved, u(sumsub, "i", 3, Rejected), u(persona, "a", 5, Approved))
	f("same type elsewhere: suspended stays", none, Suspended, u(sumsub, "i", 3, Suspended), u(persona, "a", 5, Approved))
	f("suspended, activated", none, Approved, u(sumsub, "i", 3, Suspended), u(sumsub, "i", 5, Approved))
	f("weak approval waits", none, InReview, weak(u(request, "r", 6, Approved)))
	f("weak approval confirmed", none, Approved, weak(u(request, "r", 6, Approved)), func() Update { x := u(request, "r", 6, Approved); x.ID += "c"; x.Confirms = true; return x }())
	f("equal times: the stricter counts", none, Rejected, u(sumsub, "i", 3, Rejected), u(sumsub, "i", 3, Approved))
	noTime := func(st Status, id string) Update { return Update{ID: id, Key: sumsub, Session: "i", Status: st} }
	f("no times at all: as they arrive", none, Rejected, noTime(Pending, "1"), noTime(Approved, "2"), noTime(Rejected, "3"))
	f("a timeless notice does not outlive a later verdict", none, Rejected, u(sumsub, "i", 3, Approved), noTime(Approved, "n"), u(sumsub, "i", 5, Rejected))
}

func more(c *scenarios) {
	none := Policy{}
	idv := Policy{Required: []string{"identity_verification"}}
	weak := func(x Update) Update { x.Weak = true; x.ID += "w"; return x }
	decide := func(k Key, min int, st Status) Update {
		x := u(k, "", min, st)
		x.Operator = true
		x.ID += "d"
		return x
	}
	id := func(x Update, s string) Update { x.ID += s; return x }
	nt := func(k Key, sess string, st Status, id string, r ...string) Update {
		return Update{ID: id, Key: k, Session: sess, Status: st, Reasons: r}
	}
	f := func(name string, p Policy, want Status, us ...Update) { c.status(name, p, 500, want, us...) }
	dojah := Key{Source: "dojah", Type: "identity_verification", Overall: true}
	f("screening clear alone, no policy", none, Pending, u(aml, "s", 1, Approved))
	f("identity pending + screening clear, no policy", none, Pending, u(sumsub, "i", 1, Pending), u(aml, "s", 2, Approved))
	f("confirmation at the same time as claim", none, Approved, weak(u(request, "r", 6, Approved)), id(u(request, "r", 6, Approved), "c"))
	f("a claim of fraud, answered by an approval with an earlier time", none, Approved, weak(u(request, "r", 6, RejectedTerminal, "fraud_suspected")), func() Update { x := id(u(request, "r", 5, Approved), "c"); x.Confirms = true; return x }())
	f("confirmation with earlier time than claim", none, Approved, weak(u(request, "r", 6, Approved)), id(u(request, "r", 5, Approved), "c"))
	f("confirmed suspended, then weak approved", none, Suspended, u(request, "r", 3, Suspended), weak(u(request, "r", 5, Approved)))
	f("confirmed rejected, then weak approved", none, Rejected, u(request, "r", 3, Rejected), weak(u(request, "r", 5, Approved)))
	f("confirmed terminal, then weak not_started", none, RejectedTerminal, u(request, "r", 3, RejectedTerminal, "fraud_suspected"), weak(u(request, "r", 5, NotStarted)))
	f("confirmed suspended, then weak not_started", none, Suspended, u(request, "r", 3, Suspended), weak(u(request, "r", 5, NotStarted)))
	f("confirmed suspended, then weak Rejected", none, Suspended, u(request, "r", 3, Suspended), weak(u(request, "r", 5, Rejected)))
	f("confirmed terminal session a, weak approved session b", none, RejectedTerminal, u(request, "a", 3, RejectedTerminal, "fraud_suspected"), weak(u(request, "b", 5, Approved)))
	f("suspended then reset", none, Suspended, u(sumsub, "i", 3, Suspended), u(sumsub, "i", 5, NotStarted))
	f("suspended then reset then approved", none, Approved, u(sumsub, "i", 3, Suspended), u(sumsub, "i", 5, NotStarted), u(sumsub, "i", 6, Approved))
	f("suspended then onhold: a milder word lifts no suspension", none, Suspended, u(sumsub, "i", 3, Suspended), u(sumsub, "i", 5, InReview))
	f("suspended then rejected", none, Suspended, u(sumsub, "i", 3, Suspended), u(sumsub, "i", 5, Rejected))
	// timeless
	f("timeless terminal then timeless approved, same session", none, RejectedTerminal, nt(dojah, "i", RejectedTerminal, "1", "fraud_suspected"), nt(dojah, "i", Approved, "2"))
	f("timeless rejected session a, approved session b (retry)", none, Approved, nt(dojah, "a", Rejected, "1"), nt(dojah, "b", Pending, "2"), nt(dojah, "b", Approved, "3"))
	f("timeless rejected session a, pending session b (retry)", none, Pending, nt(dojah, "a", Rejected, "1"), nt(dojah, "b", Pending, "2"))
	f("timeless abandoned then retried pending same session", none, Pending, nt(dojah, "a", Lapsed, "1"), nt(dojah, "a", Pending, "2"))
	f("timeless pending then abandoned same session", none, NotStarted, nt(dojah, "a", Pending, "1"), nt(dojah, "a", Lapsed, "2"))
	f("timed approved, timeless terminal fraud in new session", none, RejectedTerminal, u(sumsub, "i", 3, Approved), nt(sumsub, "j", RejectedTerminal, "x", "fraud_suspected"))
	f("operator approves, timeless rejects fraud", none, RejectedTerminal, nt(dojah, "i", Rejected, "1"), decide(dojah, 9, Approved), nt(dojah, "i", RejectedTerminal, "2", "fraud_suspected"))
	f("operator approves, timeless rejects data_mismatch", none, Rejected, nt(dojah, "i", Rejected, "1"), decide(dojah, 9, Approved), nt(dojah, "i", Rejected, "2", "data_mismatch"))
	f("operator approves, timeless suspended", none, Suspended, nt(dojah, "i", Rejected, "1"), decide(dojah, 9, Approved), nt(dojah, "i", Suspended, "2"))
	// operator
	f("operator suspends, provider repeats approval", none, Suspended, u(sumsub, "i", 3, Approved), decide(sumsub, 5, Suspended), u(sumsub, "i", 9, Approved))
	f("operator rejects terminal, provider approves", none, RejectedTerminal, u(sumsub, "i", 3, Approved), decide(sumsub, 5, RejectedTerminal), u(sumsub, "i", 9, Approved))
	f("operator suspends, later release", none, Approved, u(sumsub, "i", 3, Approved), decide(sumsub, 5, Suspended), id(decide(sumsub, 9, NotStarted), "r"))
	f("operator approves then releases", none, Approved, u(sumsub, "i", 3, Rejected), decide(sumsub, 5, Approved), id(decide(sumsub, 9, NotStarted), "r"))
	f("operator approves then retryable sanction hit release; two hits", none, Approved, u(sumsub, "i", 3, RejectedTerminal, "sanctions_match"), u(sumsub, "i", 4, RejectedTerminal, "pep_match"), decide(sumsub, 9, Approved))
	f("two hits: release then first arrives late", none, RejectedTerminal, u(sumsub, "i", 4, RejectedTerminal, "pep_match"), decide(sumsub, 9, Approved), u(sumsub, "i", 3, RejectedTerminal, "sanctions_match"))
	f("hit late (before release) arrives after release, no other hit", none, RejectedTerminal, decide(sumsub, 9, Approved), u(sumsub, "i", 3, RejectedTerminal, "sanctions_match"))
	f("hit with provider clock ahead, released w/ approved", none, Approved, u(sumsub, "i", 10, RejectedTerminal, "sanctions_match"), decide(sumsub, 9, Approved))
	f("suspension released: the approval it stood on counts again", none, Approved, u(sumsub, "i", 3, Approved), u(sumsub, "i", 5, Suspended), decide(sumsub, 9, NotStarted))
	f("in a: suspended; operator approves; ", none, Approved, u(persona, "a", 3, Suspended), decide(persona, 9, Approved))
	f("a hit is terminal whatever the provider calls it", none, RejectedTerminal, u(sumsub, "i", 3, Approved), u(aml, "s", 4, Rejected, "sanctions_match"), u(aml, "s", 9, Approved))
	// lapses
	f("rejected, retry begun, lapsed", none, Rejected, u(sumsub, "i", 3, Rejected), u(sumsub, "i", 4, Pending), u(sumsub, "i", 5, Lapsed))
	f("in review, new attempt lapsed", none, InReview, u(sumsub, "i", 3, InReview), u(sumsub, "i", 4, Pending), u(sumsub, "i", 5, Lapsed))
	f("in review then pending", none, Pending, u(sumsub, "i", 3, InReview), u(sumsub, "i", 4, Pending))
	f("A rejected; B approved; A new attempt begun", none, Approved, u(persona, "a", 3, Rejected), u(sumsub, "i", 5, Approved), u(persona, "b", 7, Pending))
	f("same with idv", idv, Approved, u(persona, "a", 3, Rejected), u(sumsub, "i", 5, Approved), u(persona, "b", 7, Pending))
	f("A rejected; B approved; A new attempt created", none, Approved, u(persona, "a", 3, Rejected), u(sumsub, "i", 5, Approved), u(persona, "b", 7, NotStarted))
	f("A pending; B created", none, Pending, u(sumsub, "i", 1, Pending), u(persona, "b", 2, NotStarted))
	f("A pending; other link lapsed", none, Pending, u(sumsub, "i", 1, Pending), u(persona, "b", 2, Lapsed))
	f("A approved; B rejected terminal other, earlier", none, Approved, u(persona, "a", 3, RejectedTerminal, "other"), u(sumsub, "i", 5, Approved))
	f("A approved 3; B in review 5", none, InReview, u(persona, "a", 3, Approved), u(sumsub, "i", 5, InReview))
	f("A InReview 3 B approved 5", none, Approved, u(persona, "a", 3, InReview), u(sumsub, "i", 5, Approved))
	// documents
	f("rebilly: two attempts docs; request failed terminal; new request fulfilled", none, Approved, u(request, "r", 3, RejectedTerminal, "attempts_exceeded"), u(request, "s", 5, Pending), u(request, "s", 9, Approved))
	f("rebilly: request failed terminal; new request begun", none, Pending, u(request, "r", 3, RejectedTerminal, "attempts_exceeded"), u(request, "s", 5, Pending))
	f("underage doc in req r terminal; new req s all accepted incl doc", none, Approved, u(passprt, "r", 3, RejectedTerminal, "underage"), u(passprt, "s", 5, Approved), u(request, "s", 9, Approved))
	f("two persona checks, verification failed retry passed in same inquiry but diff verification", none, Approved, u(persona, "a", 3, Approved))
	f("late arrival: session a created later than b...", none, Approved, u(persona, "a", 3, Approved), u(persona, "b", 2, Rejected))
	f("session b begun before a, decided after", none, RejectedTerminal, u(persona, "b", 1, Pending), u(persona, "a", 2, Pending), u(persona, "a", 3, Approved), u(persona, "b", 9, RejectedTerminal, "fraud_suspected"))
	f("session b begun before a, decided after: retryable reject", none, Approved, u(persona, "b", 1, Pending), u(persona, "a", 2, Pending), u(persona, "a", 3, Approved), u(persona, "b", 9, Rejected, "data_mismatch"))
	f("session b begun before a, decided after: fraud later green->red", none, Rejected, u(persona, "b", 1, Pending), u(persona, "a", 2, Pending), u(persona, "a", 3, Approved), u(persona, "b", 9, Rejected, "fraud_suspected"))
	f("in_review hit (persona watchlist) then approved inquiry", none, InReview, u(Key{Source: "persona", Type: "screening"}, "a", 3, InReview, "sanctions_match"), u(persona, "a", 5, Approved))
	f("in_review sanctions in screening session a, then screening b approved", none, Pending, u(aml, "a", 3, InReview, "sanctions_match"), u(aml, "b", 5, Approved))
	f("required address in progress as step", Policy{Required: []string{"address_verification"}}, Pending, u(sumsub, "i", 3, Approved), u(address, "", 4, Pending))
	f("required: rejected step then other approved step (other part)", Policy{Required: []string{"document_verification"}}, Rejected, u(passprt, "", 4, Rejected), u(Key{Source: "rebilly", Type: "document_verification", Part: "id2"}, "", 5, Approved))
	f("required step retry: rejected then pending", Policy{Required: []string{"document_verification"}}, Pending, u(passprt, "", 4, Rejected), u(passprt, "", 5, Pending))
	f("request rejected retryable, then step only", idv, Rejected, u(request, "r", 3, Rejected), u(passprt, "r", 4, Approved))
	f("required screening pending only", Policy{Required: []string{"screening"}}, Pending, u(aml, "s", 3, Pending))
	f("required idv and screening in sumsub Approved/none", Policy{Required: []string{"identity_verification", "screening"}}, Pending, u(sumsub, "i", 3, Approved))
	f("policy required identity, steps only approved (persona database verification)", idv, Pending, u(Key{Source: "persona", Type: "identity_verification"}, "v", 3, Approved))
	f("same, with overall pending", idv, Pending, u(persona, "a", 1, Pending), u(Key{Source: "persona", Type: "identity_verification"}, "a", 3, Approved))
	f("same, with overall not_started+required", idv, NotStarted, u(Key{Source: "persona", Type: "identity_verification"}, "a", 3, Approved), u(persona, "a", 4, Lapsed))
	f("overall approved in credit-file doc key", idv, Pending, u(Key{Source: "rebilly", Type: "identity_verification", Part: "credit-file-proof"}, "r", 3, Approved), u(request, "r", 1, Pending))
	db := Key{Source: "persona", Type: "identity_verification"}
	f("persona: inquiry created, started, database verification.passed", idv, Pending, u(persona, "inq", 1, NotStarted), u(persona, "inq", 2, Pending), u(db, "inq", 3, Approved))
	f("persona: 2 inquiries: 1 in review, 2 approved, 1 declined for fraud", idv, RejectedTerminal, u(persona, "inq1", 1, Pending), u(persona, "inq1", 2, InReview), u(persona, "inq2", 10, Pending), u(persona, "inq2", 12, Approved), u(persona, "inq1", 30, RejectedTerminal, "fraud_suspected"))
	f("confirmed approved, weak approved again", none, Approved, u(request, "r", 5, Approved), weak(u(request, "r", 6, Approved)))
	bf := Key{Source: "blendfi", Type: "identity_verification", Overall: true}
	f("blendfi: approved, rejected, delayed notice (timeless approved)", none, Rejected, u(bf, "", 3, Approved), u(bf, "", 5, Rejected, "data_mismatch"))
	f("blendfi: approved, pep terminal, notice", none, RejectedTerminal, u(bf, "", 3, Approved), u(bf, "", 5, RejectedTerminal, "pep_match"))
	f("operator releases PEP seen; sanctions of an earlier time arrives later", none, RejectedTerminal, u(sumsub, "i", 4, RejectedTerminal, "pep_match"), decide(sumsub, 9, Approved), u(sumsub, "i", 3, RejectedTerminal, "sanctions_match"))
	f("blendfi expired, notice again arrives late", none, Expired, u(bf, "", 3, Approved), u(bf, "", 50, Expired))
	f("seed: onhold PEP, then screening", none, InReview, u(sumsub, "i", 3, InReview, "pep_match"))
	f("persona declined doc expired then sumsub approved", idv, Approved, u(persona, "a", 3, RejectedTerminal, "document_expired"), u(sumsub, "i", 5, Approved))
	f("rebilly underage doc no parent, later accepted", idv, RejectedTerminal, u(passprt, "", 3, RejectedTerminal, "underage"), u(passprt, "", 5, Approved), u(request, "r", 6, Approved))
	f("sumsub multi: reset + old session", none, NotStarted, u(sumsub, "i", 3, Approved), u(sumsub, "i", 5, NotStarted))
	f("operator approves source A; Required; then provider pending", idv, Approved, decide(sumsub, 5, Approved), u(sumsub, "i", 7, Pending))
	f("approved then created in same session (late level change)", none, NotStarted, u(sumsub, "i", 3, Approved), u(sumsub, "i", 5, NotStarted))
	f("persona: approved, hit screening in_review in inq a, new", idv, InReview, u(persona, "a", 3, Approved), u(Key{Source: "persona", Type: "screening"}, "a", 4, InReview, "pep_match"))
	f("tax step rejected by fraud counts; then same step approved", idv, Approved, u(persona, "a", 5, Approved))
	f("risk_assessment overall rejected high_risk, not required", idv, Rejected, u(sumsub, "i", 3, Approved), u(Key{Source: "x", Type: "risk_assessment", Overall: true}, "a", 4, Rejected, "high_risk"))
	f("persona tin failed terminal (other) step", idv, Approved, u(sumsub, "i", 3, Approved), u(Key{Source: "persona", Type: "tax_id_verification"}, "a", 4, RejectedTerminal, "data_mismatch"))
	f("persona: new inquiry created (reset-like) by weak; n/a", idv, Approved, u(persona, "a", 3, Approved), u(persona, "b", 5, NotStarted))
	f("screening approved newest source only: aml rejected adverse, aml2 approved", idv, Rejected, u(sumsub, "i", 3, Approved), u(aml, "s", 4, Rejected, "adverse_media_match"), u(Key{Source: "aml2", Type: "screening"}, "s", 9, Approved))
	f("screening Pending (undecided) beside approved; not required", idv, Approved, u(sumsub, "i", 3, Approved), u(aml, "s", 4, Pending))
	f("screening in_review then Pending then lapsed", idv, Pending, u(sumsub, "i", 3, Approved), u(aml, "s", 4, InReview, "pep_match"), u(aml, "s", 5, Pending))
	f("second session rejected retryable; approved in first not expired", none, Rejected, u(persona, "a", 3, Approved), u(persona, "b", 5, Pending), u(persona, "b", 6, Rejected, "liveness_failed"))
}

func timeless(c *scenarios) {
	k := Key{Source: "dojah", Type: "identity_verification", Overall: true}
	n := func(id string, min int, sess string, st Status, r ...string) Update {
		return Update{ID: id, Key: k, Session: sess, Status: st, Reasons: r, Received: at(min)}
	}
	d := func(min int, st Status) Update {
		x := u(k, "", min, st)
		x.Operator, x.ID = true, x.ID+"d"
		return x
	}
	f := func(name string, want Status, us ...Update) {
		c.status(name, Policy{}, 500, want, us...)
	}
	f("timeless suspension, an operator approves", Approved, n("1", 1, "a", Suspended), d(9, Approved))
	f("timeless hit released", NotStarted, n("1", 1, "a", RejectedTerminal, "sanctions_match"), d(9, NotStarted))
	f("timeless rejection, approved by an operator, timeless fraud", RejectedTerminal, n("1", 1, "a", Rejected), d(9, Approved), n("2", 12, "a", RejectedTerminal, "fraud_suspected"))
	f("timeless fraud is approved by nothing", RejectedTerminal, n("1", 1, "a", RejectedTerminal, "fraud_suspected"), n("2", 2, "a", Approved))
	late := func(x Update, min int) Update {
		x.Taken = at(min)
		return x
	}
	f("timeless approval that waited, taken before the rejection", Rejected, n("1", 5, "a", Rejected), late(n("2", 5, "a", Approved), 2))
	f("timeless approval that waited, taken after the rejection", Approved, n("1", 5, "a", Rejected), n("2", 8, "b", Pending), late(n("3", 8, "a", Approved), 6))
	f("timeless rejection that waited: nobody knows that the approval is newer", Rejected, n("1", 5, "a", Approved), late(n("2", 5, "a", Rejected), 2))
	f("both waited, in the order in which they were taken", Approved, n("1", 5, "b", Pending), late(n("2", 5, "a", Rejected), 2), late(n("3", 5, "a", Approved), 3))
	f("an end without a time that waited", Expired, n("1", 5, "a", Approved), late(n("2", 5, "a", Expired), 2))
	exp := func(x Update, min int) Update { x.Expires = at(min); return x }
	timed := func(sess string, min int, st Status) Update {
		x := u(k, sess, min, st)
		x.Received = at(min)
		return x
	}
	fraud := n("1", 5, "b", RejectedTerminal, "fraud_suspected")
	f("a run begun before the finding, and a word that waited", RejectedTerminal, timed("a", 1, Pending), fraud, late(n("2", 9, "a", Approved), 7))
	f("a run begun after the finding, by a word that waited", Approved, fraud, late(n("2", 9, "a", Pending), 7), n("3", 12, "a", Approved))
	f("a run begun after the finding, and a word that waited since before", RejectedTerminal, fraud, n("2", 8, "a", Approved), late(n("3", 9, "a", Pending), 3))
	f("of words that waited the first taken has begun the run", RejectedTerminal, fraud, late(n("2", 9, "a", Approved), 8), late(n("3", 9, "a", Pending), 3))
	outrun := func(late Update) []Update {
		return []Update{timed("a", 1, Pending), timed("b", 3, Pending), timed("b", 5, Approved), timed("a", 9, Rejected), late}
	}
	f("outrun, and a word of the try waited", Rejected, outrun(late(n("2", 10, "b", Pending), 2))...)
	f("outrun, and a word of the rejected run waited", Rejected, outrun(late(n("2", 10, "a", Pending), 2))...)
	f("ended in a run of which a word waited", Expired, timed("b", 1, Approved), timed("a", 2, Pending), late(n("1", 5, "a", Pending), 1), timed("c", 0, Pending), timed("a", 9, Expired))
	f("ended in an older run, and a word of the approved one waited", Expired, timed("a", 1, Pending), timed("b", 2, Approved), late(n("1", 5, "b", Pending), 1), timed("a", 9, Expired))
	f("a reset, and an approval of before it that waited", NotStarted, n("1", 5, "a", NotStarted), late(n("2", 9, "a", Approved), 3))
	f("a reset, and an approval of after it that waited", Approved, n("1", 5, "a", NotStarted), late(n("2", 9, "a", Approved), 7))
	f("a reset that waited, taken at the same instant", NotStarted, n("1", 5, "a", Approved), late(n("2", 9, "a", NotStarted), 5))
	f("a reset that waited, and is known to be older", Approved, late(n("1", 5, "a", NotStarted), 2), n("2", 6, "a", Approved))
	claim, answer := n("1", 5, "a", Rejected), late(n("2", 9, "a", Pending), 3)
	claim.Weak, answer.Confirms = true, true
	f("an answer that waited answers no claim of after it", InReview, claim, answer)
	c.until("an approval that waited, superseded, ends the one before it", Policy{}, 100, 120, timed("a", 1, InReview), exp(n("1", 5, "a", Approved), 900), exp(late(n("2", 9, "a", Approved), 7), 120))
	c.until("an approval that waited, and what nobody knows to be older than that", Policy{}, 450, 505, exp(timed("a", 7, Approved), 900), func() Update { x := exp(timed("a", 6, Approved), 505); x.Received = at(12); return x }(), exp(late(n("2", 13, "a", Approved), 10), 901))
	c.until("an approval that waited ends others, even if it was reset", Policy{}, 450, 505, exp(timed("a", 7, Approved), 900), func() Update { x := timed("a", 3, NotStarted); x.Received = at(8); return x }(), exp(late(n("2", 13, "a", Approved), 10), 505))
	f("timeless retry in another run", Approved, n("1", 1, "a", Rejected), n("2", 2, "b", Pending), n("3", 3, "b", Approved))
}
