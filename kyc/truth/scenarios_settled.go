package truth

import "time"

// settled holds what the first definition left open: renewals in one run, suspensions that their
// provider ends, registered submissions and deadlines.
func settled(c *scenarios) {
	idv := Policy{Required: []string{"identity_verification"}}
	f := func(name string, want Status, us ...Update) { c.status(name, idv, 500, want, us...) }
	until := func(name string, now, want int, us ...Update) { c.until(name, idv, now, want, us...) }
	weak := func(x Update) Update { x.Weak = true; x.ID += "w"; return x }
	assumed := func(x Update, min int) Update { x.Expires, x.Assumed = at(min), true; return x }
	lifts := func(x Update) Update { x.Lifts = true; return x }
	active := func(k Key, sess string, min int) Update {
		x := lifts(u(k, sess, min, NotStarted))
		x.Mute, x.ID = true, x.ID+"l"
		return x
	}
	submission := func(sess string) Update {
		return Update{ID: "submission" + sess, Key: sumsub, Session: sess, Status: Pending, Submission: true}
	}
	deadline := func(x Update, min int) Update { x.Expires = at(min); return x }
	rec := func(x Update, min int) Update { x.Received = at(min); return x }
	nt := func(k Key, sess string, min int, st Status) Update {
		x := u(k, sess, min, st)
		x.At, x.Received = time.Time{}, x.At
		return x
	}
	bf := Key{Source: "blendfi", Type: "identity_verification", Overall: true}
	didit := Key{Source: "didit", Type: "identity_verification", Overall: true}

	// A renewal: an attempt lies between two approvals of one run.
	until("an attempt between two approvals of one run makes the second a renewal", 50, 120, assumed(u(bf, "s", 1, Approved), 100), u(bf, "s", 19, Pending), assumed(u(bf, "s", 20, Approved), 120))
	until("the same, the attempt arriving last", 50, 120, assumed(u(bf, "s", 1, Approved), 100), assumed(u(bf, "s", 20, Approved), 120), u(bf, "s", 19, Pending))
	until("the same without times", 500, 620, assumed(nt(bf, "s", 101, Approved), 600), nt(bf, "s", 102, Pending), assumed(nt(bf, "s", 103, Approved), 620))
	until("a renewal that is only repeated extends nothing more", 50, 120, assumed(u(bf, "s", 1, Approved), 100), u(bf, "s", 19, Pending), assumed(u(bf, "s", 20, Approved), 120), assumed(u(bf, "s", 40, Approved), 140))
	until("an attempt after the second is none between them", 50, 100, assumed(u(bf, "s", 1, Approved), 100), assumed(u(bf, "s", 20, Approved), 120), u(bf, "s", 21, Pending))
	until("an attempt of another run makes no renewal", 50, 100, assumed(u(bf, "s", 1, Approved), 100), u(bf, "r", 19, Pending), assumed(u(bf, "s", 20, Approved), 120))
	until("nor does an unsigned one", 50, 100, assumed(u(bf, "s", 1, Approved), 100), weak(u(bf, "s", 19, Pending)), assumed(u(bf, "s", 20, Approved), 120))
	until("nor one that lapsed", 50, 100, assumed(u(bf, "s", 1, Approved), 100), u(bf, "s", 19, Lapsed), assumed(u(bf, "s", 20, Approved), 120))

	// A suspension ends by its provider's own word.
	f("activated by the provider: what it had approved counts again", Approved, u(sumsub, "i", 3, Approved), u(sumsub, "i", 5, Suspended), active(sumsub, "i", 7))
	f("activated, and nothing else known", NotStarted, u(sumsub, "i", 5, Suspended), active(sumsub, "i", 7))
	f("activated with an answer that is no approval", RejectedTerminal, u(sumsub, "i", 3, Approved), u(sumsub, "i", 5, Suspended), lifts(u(sumsub, "i", 7, RejectedTerminal)))
	f("the activation arrives before the suspension that it ends", Approved, u(sumsub, "i", 3, Approved), active(sumsub, "i", 7), u(sumsub, "i", 5, Suspended))
	f("an activation of before ends no later suspension", Suspended, u(sumsub, "i", 3, Approved), active(sumsub, "i", 4), u(sumsub, "i", 5, Suspended))
	f("suspended twice, activated between", Suspended, u(sumsub, "i", 3, Approved), u(sumsub, "i", 5, Suspended), active(sumsub, "i", 7), u(sumsub, "i", 9, Suspended))
	f("activated in another run", Suspended, u(sumsub, "i", 3, Approved), u(sumsub, "i", 5, Suspended), active(sumsub, "j", 7))
	f("activated by another source", Suspended, u(sumsub, "i", 3, Approved), u(sumsub, "i", 5, Suspended), active(persona, "i", 7))
	f("an unsigned activation", Suspended, u(sumsub, "i", 3, Approved), u(sumsub, "i", 5, Suspended), weak(active(sumsub, "i", 7)))
	f("an activation answers no rejection", Rejected, u(sumsub, "i", 3, Approved), u(sumsub, "i", 4, Rejected), u(sumsub, "i", 5, Suspended), active(sumsub, "i", 7))
	f("an activation answers no fraud", RejectedTerminal, u(sumsub, "i", 3, Approved), u(sumsub, "i", 4, RejectedTerminal, "fraud_suspected"), u(sumsub, "i", 5, Suspended), active(sumsub, "i", 7))
	f("an activation answers no operator", Suspended, u(sumsub, "i", 3, Approved), func() Update { x := u(sumsub, "", 5, Suspended); x.Operator = true; return x }(), active(sumsub, "", 7))
	f("a user blocked and active again at a provider that has a list of its own", Approved, u(didit, "a", 3, Approved), u(didit, "users", 5, Suspended), active(didit, "users", 7))

	// An operator who has looked at a claimed approval has answered it.
	decide := func(min int, st Status) Update {
		x := u(sumsub, "", min, st)
		x.Operator, x.ID = true, x.ID+"d"
		return x
	}
	f("an approval is claimed", InReview, weak(u(sumsub, "i", 3, Approved)))
	f("claimed, and released", Pending, u(sumsub, "i", 2, Pending), weak(u(sumsub, "i", 3, Approved)), decide(9, NotStarted))
	f("released, and claimed again", InReview, u(sumsub, "i", 2, Pending), decide(9, NotStarted), weak(u(sumsub, "i", 3, Approved)))
	f("claimed, approved by an operator, and begun again by one", Expired, weak(u(sumsub, "i", 3, Approved)), decide(9, Approved), decide(10, Expired))

	// A submission is pending.
	f("registered", Pending, submission("i"))
	f("registered, then created", Pending, submission("i"), u(sumsub, "i", 3, NotStarted))
	f("registered, the link lapsed", Pending, submission("i"), u(sumsub, "i", 3, NotStarted), u(sumsub, "i", 9, Lapsed))
	f("registered again after a rejection", Pending, u(sumsub, "i", 3, Rejected, "document_unreadable"), submission("j"))
	f("the rejected run itself registered late", Rejected, u(sumsub, "i", 3, Rejected, "document_unreadable"), submission("i"))
	f("registered twice, the second lapsed", Rejected, u(sumsub, "i", 3, Rejected, "document_unreadable"), submission("j"), submission("k"), u(sumsub, "k", 130, Lapsed))
	f("registered again after a terminal rejection", RejectedTerminal, u(sumsub, "i", 3, RejectedTerminal), submission("j"))
	f("registered beside an approval", Approved, u(sumsub, "i", 3, Approved), submission("j"))
	f("registered elsewhere after a rejection", Rejected, u(persona, "i", 3, Rejected, "document_unreadable"), submission("j"))
	f("registered, and rejected before it was", Rejected, submission("i"), u(sumsub, "i", 3, Rejected, "document_unreadable"))
	f("registering makes no run younger", Pending, rec(u(sumsub, "i", 3, Rejected, "fraud_suspected"), 110), rec(submission("j"), 120), rec(u(sumsub, "j", 2, Pending), 121), rec(u(sumsub, "j", 9, Approved), 122))

	// What is final for its run only gives way to another run, and to nothing else.
	f("attempts used up, a new request begun", Pending, u(request, "r", 3, RejectedTerminal, "attempts_exceeded"), u(request, "s", 5, Pending))
	f("attempts used up, a new request lapsed", RejectedTerminal, u(request, "r", 3, RejectedTerminal, "attempts_exceeded"), u(request, "s", 5, Pending), u(request, "s", 7, Lapsed))
	f("attempts used up, and more of the same request", RejectedTerminal, u(request, "r", 3, RejectedTerminal, "attempts_exceeded"), u(request, "r", 5, Pending))
	f("attempts used up, a request begun before", RejectedTerminal, u(request, "s", 2, Pending), u(request, "r", 3, RejectedTerminal, "attempts_exceeded"), u(request, "s", 5, Pending))
	f("attempts used up and another reason", RejectedTerminal, u(request, "r", 3, RejectedTerminal, "attempts_exceeded", "data_mismatch"), u(request, "s", 5, Pending))
	f("attempts used up, begun elsewhere", RejectedTerminal, u(request, "r", 3, RejectedTerminal, "attempts_exceeded"), u(persona, "s", 5, Pending))
	f("attempts used up, and a final word for another reason before", RejectedTerminal, u(request, "r", 2, RejectedTerminal, "data_mismatch"), u(request, "r", 3, RejectedTerminal, "attempts_exceeded"), u(request, "s", 5, Pending))
	f("no reason at all", RejectedTerminal, u(request, "r", 3, RejectedTerminal), u(request, "s", 5, Pending))

	// A deadline ends an attempt as a lapse does.
	f("rejected, tried again, the deadline passed", Rejected, u(sumsub, "i", 3, Rejected, "document_unreadable"), deadline(u(sumsub, "i", 5, Pending), 400))
	f("rejected, tried again, the deadline to come", Pending, u(sumsub, "i", 3, Rejected, "document_unreadable"), deadline(u(sumsub, "i", 5, Pending), 600))
	f("begun, the deadline passed", NotStarted, deadline(u(sumsub, "i", 5, Pending), 400))
	f("begun, the deadline passed, begun again", Pending, deadline(u(sumsub, "i", 5, Pending), 400), u(sumsub, "i", 450, Pending))
	f("expired, tried again, the deadline passed", Expired, func() Update { x := u(sumsub, "i", 1, Approved); x.Expires = at(50); return x }(), deadline(u(sumsub, "i", 90, Pending), 400))
	f("approved, a try beside it whose deadline passed", Approved, u(sumsub, "i", 1, Approved), deadline(u(sumsub, "j", 90, Pending), 400))
}
