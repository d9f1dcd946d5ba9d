package truth

import "time"

// skewed holds words that several nodes have received, whose clocks are wrong by two minutes either
// way. In what order they stand here says nothing.
func skewed(c *scenarios) {
	k := Key{Source: "dojah", Type: "identity_verification", Overall: true}
	f := func(name string, want Status, us ...Update) { c.status(name, Policy{}, 500, want, us...) }
	by := func(x Update, skew int) Update { x.Skew = time.Duration(skew) * time.Minute; return x }
	n := func(id, sess string, received int, st Status, reasons ...string) Update {
		return by(Update{ID: id, Key: k, Session: sess, Status: st, Received: at(received), Reasons: reasons}, 2)
	}
	timed := func(id, sess string, min, received int, st Status) Update {
		x := n(id, sess, received, st)
		x.At = at(min)
		return x
	}
	exp := func(x Update, min int) Update { x.Expires = at(min); return x }
	assumed := func(x Update, min int) Update { x.Expires, x.Assumed = at(min), true; return x }
	weak := func(x Update) Update { x.Weak = true; return x }
	exact := func(x Update) Update { x.Skew = 0; return x }
	decide := func(k Key, min, received int) Update {
		return Update{ID: "decided", Key: k, Status: Approved, At: at(min), Received: at(received), Operator: true}
	}
	no, yes := func(received int) Update { return n("no", "a", received, Rejected) }, func(received int) Update { return n("yes", "a", received, Approved) }

	// What is newer.
	f("an approval that is forwarded late", Rejected, no(105), yes(100))
	f("an approval whose time is just before a rejection without one", Rejected, no(105), timed("yes", "a", 104, 120, Approved))
	f("an approval known to be newer", Approved, yes(110), no(105))
	f("two that are too close", Rejected, no(105), yes(109))
	f("an approval of after a rejection with a time", Approved, timed("no", "a", 90, 105, Rejected), yes(110))
	f("a rejection with a time, received too close to the approval", Rejected, timed("no", "a", 90, 105, Rejected), yes(109))
	f("a rejection with a time that is ahead", Rejected, timed("no", "a", 112, 100, Rejected), yes(113))
	f("a rejection without a time, an approval with one of after it", Approved, timed("yes", "a", 108, 112, Approved), no(105))
	f("a rejection without a time, an approval whose time is ahead", Rejected, timed("yes", "a", 130, 100, Approved), no(110))
	f("a rejection with a time of which nothing says when it was received", Rejected, exact(timed("no", "a", 90, 105, Rejected)), yes(200))
	f("a rejection that one node received, and an approval known to be newer", Approved, exact(no(105)), yes(108))
	f("a rejection that one node received, and one that is too close", Rejected, exact(no(105)), yes(107))
	waits := exact(n("waited", "a", 130, Approved))
	waits.Taken = at(130)
	f("an approval that had to wait, where one node received it", Rejected, timed("no", "a", 100, 101, Rejected), waits)
	f("of rejections that are alike the widest skew", Rejected, by(n("first", "a", 105, Rejected), 6), n("second", "a", 106, Rejected), yes(112))
	f("a rejection that one node received is not alike", Rejected, exact(timed("first", "a", 50, 104, Rejected)), timed("second", "a", 40, 105, Rejected), yes(120))

	// Operators have seen what stands before their word.
	other := Key{Source: "sumsub", Type: k.Type, Overall: true}
	f("an operator answers what stands before his word", Approved, no(105), decide(k, 100, 100))
	f("and not what comes after it", Rejected, decide(k, 100, 100), no(95))
	f("an operator, about another check, too close", Rejected, no(105), decide(other, 107, 107))
	f("an operator, about another check", Approved, no(105), decide(other, 108, 108))
	f("an operator whose clock is ahead, about another check", Rejected, decide(other, 130, 100), no(105))

	// Runs.
	fraud := n("fraud", "b", 105, RejectedTerminal, "fraud_suspected")
	f("a run begun after the finding", Approved, fraud, n("2", "a", 110, Pending), n("3", "a", 120, Approved))
	f("a run begun too close to the finding", RejectedTerminal, fraud, n("2", "a", 109, Pending), n("3", "a", 120, Approved))
	f("the same, whichever comes first", RejectedTerminal, fraud, n("3", "a", 120, Approved), n("2", "a", 109, Pending))
	f("a run begun before the finding, by a word with a time", RejectedTerminal, fraud, timed("2", "a", 1, 2, Pending), n("3", "a", 120, Approved))
	f("of the words of a run the widest skew", RejectedTerminal, fraud, n("2", "a", 110, Pending), by(n("3", "a", 120, Approved), 6))
	f("the same, whichever comes first, and begun after it", Approved, fraud, by(n("3", "a", 120, Approved), 6), n("2", "a", 114, Pending))
	outrun := func(rejected int) []Update {
		return []Update{n("1", "a", 50, Pending), n("2", "b", 60, Pending), n("3", "b", 105, Approved), n("4", "a", rejected, Rejected)}
	}
	f("outrun, and known to be", Approved, outrun(110)...)
	f("perhaps outrun", Rejected, outrun(106)...)
	f("perhaps outrun, and the rejection has a time", Rejected, timed("1", "a", 50, 51, Pending), n("2", "b", 60, Pending), n("3", "b", 105, Approved), timed("4", "a", 104, 106, Rejected))
	f("perhaps outrun, and the approval has a time", Rejected, n("1", "a", 50, Pending), n("2", "b", 60, Pending), timed("3", "b", 105, 106, Approved), n("4", "a", 106, Rejected))
	f("outrun at the same time", Approved, timed("1", "a", 1, 2, Pending), timed("2", "b", 3, 4, Pending), timed("3", "b", 9, 11, Approved), timed("4", "a", 9, 10, Rejected))
	f("a reset of the same time", Approved, timed("1", "a", 100, 101, NotStarted), timed("2", "a", 100, 102, Approved))
	f("a reset that may be newer", NotStarted, n("2", "a", 102, NotStarted), yes(105))
	f("a reset that is older", Approved, n("2", "a", 100, NotStarted), yes(105))
	f("ended in an older run, and a word of the approved one without a time", Expired, timed("1", "a", 1, 1, Pending), timed("2", "b", 2, 2, Approved), n("3", "b", 3, Pending), timed("4", "a", 9, 9, Expired))
	lifts := func(id string, min, received int) Update {
		x := timed(id, "a", min, received, NotStarted)
		x.Lifts, x.Mute = true, true
		return x
	}
	f("two words that end a suspension, neither after it", Suspended, n("0", "a", 105, Suspended), lifts("1", 110, 100), lifts("2", 104, 120))
	f("one that is", NotStarted, n("0", "a", 105, Suspended), lifts("1", 110, 100), lifts("2", 109, 112))
	f("a try that lapsed, and a lapse whose time is ahead", Rejected, no(105), timed("1", "c", 108, 120, Pending), timed("2", "c", 112, 100, Lapsed), timed("3", "c", 109, 121, Lapsed))

	// Steps. Where the first approval is the newer of the first two words, it tells as long as it lasts.
	docs := Policy{Required: []string{"document_verification"}}
	id := Key{Source: "bluum", Type: "document_verification", Part: "id"}
	of := func(k Key, x Update) Update { x.Key = k; return x }
	speaks := func(first Update) []Update {
		return []Update{of(id, n("1", "c", 44, Rejected)), of(id, first), of(passprt, timed("3", "", 50, 51, Rejected)), exp(of(id, n("4", "c", 120, Approved)), 900)}
	}
	first := n("2", "a", 45, Approved)
	c.status("who speaks has perhaps an older approval that lasts longer", docs, 500, Rejected, speaks(first)...)
	c.status("and one that lasts as long", docs, 500, Approved, speaks(exp(first, 900))...)
	c.status("and one that lasts less long", docs, 500, Approved, speaks(exp(first, 800))...)
	c.status("and one that lasts as long, and may be the newer", docs, 500, Rejected,
		exp(of(id, n("4", "c", 120, Approved)), 900), of(passprt, timed("3", "", 50, 115, Rejected)), exp(of(id, n("2", "a", 119, Approved)), 900))
	rev := func(x Update, n int) Update { x.Revision = n; return x }
	c.status("perhaps nobody knows which was last, and another source may have approved before one of them", docs, 500, Rejected,
		of(passprt, n("1", "a", 106, Rejected)), of(passprt, n("2", "a", 107, Approved)), of(passprt, rev(timed("3", "b", 105, 108, Rejected), 1)), of(passprt, rev(timed("4", "b", 105, 109, Approved), 2)),
		of(Key{Source: "stripe", Type: "document_verification", Overall: true}, n("5", "o", 111, Approved)))

	// Claims.
	asked := func(x Update, min int) Update { x.Confirms, x.AskedAt = true, at(min); return x }
	f("asked too close to the claim", InReview, weak(no(105)), asked(n("2", "a", 120, Pending), 108))
	f("asked after the claim", Pending, weak(no(105)), asked(n("2", "a", 120, Pending), 109))
	answer := func(received int) Update { x := n("2", "a", received, Pending); x.Confirms = true; return x }
	f("nobody knows when it was asked, and the answer is too close", InReview, weak(no(105)), answer(108))
	f("the same, and something else came since", InReview, weak(no(105)), n("3", "b", 130, Pending), answer(108))
	f("nobody knows when it was asked, and the answer comes after it", Pending, weak(no(105)), answer(109))

	// Ends.
	f("a repetition that may be from before the end", Expired, exp(yes(100), 110), assumed(n("2", "a", 111, Approved), 900))
	f("a repetition of after the end", Approved, exp(yes(100), 110), assumed(n("2", "a", 113, Approved), 900))
	c.until("approvals too close: the sooner end", Policy{}, 200, 300, exp(yes(100), 900), exp(n("2", "a", 103, Approved), 300), exp(timed("3", "a", 1, 1, Pending), 900))
	f("an approval that is over and perhaps reset, and an older one", NotStarted, n("1", "a", 100, NotStarted), timed("2", "a", 105, 106, Approved), exp(timed("3", "a", 106, 103, Approved), 107))
	f("an approval that is over and perhaps superseded, and an older one", NotStarted, no(100), timed("2", "a", 105, 106, Approved), exp(timed("3", "a", 106, 103, Approved), 107))
	c.until("and what nobody knows to be older than that", Policy{}, 450, 505, exp(timed("1", "a", 107, 108, Approved), 900), exp(timed("2", "a", 106, 112, Approved), 505), exp(n("3", "a", 110, Approved), 901))
}
