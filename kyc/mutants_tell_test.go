//go:build mutants

package kyc

// tellMutants change what is told, when, and what becomes of records.
func tellMutants() []mutant {
	const tell, scope, subject, timers, judge, evidence, state = "tell.go", "scope.go", "subject.go", "timers.go", "judge.go", "evidence.go", "state.go"
	const claims = `u.Status == Approved || u.Status == Suspended || u.Status == Rejected || u.Status == Expired && u.ExpiryKind != ExpiryAttempt`
	const behind = "if before(l, w) {\n\t\t\tbehind = max(behind, l.class)"
	const newer = "o.n != w.n && !o.weak && run(o, w) && (before(w, o) && (!w.ends() || o.approval()) || sc.tries(o, nil) && later(w, o) && sc.tries(w, nil))"
	all := []mutant{
		{name: "a hit may be retried", file: tell, was: "t.retryable, t.terminal = false, true", is: "t.terminal = true"},
		{name: "a hit is not terminal", file: tell, was: "t.retryable, t.terminal = false, true", is: "t.retryable = false"},
		{name: "a claim is sure", file: tell, was: "if t.unconfirmed, t.retryable, t.terminal = true, false, false; w", is: "if t.retryable, t.terminal = false, false; w"},
		{name: "a claim may be retried", file: tell, was: "if t.unconfirmed, t.retryable, t.terminal = true, false, false; w", is: "if t.unconfirmed, t.terminal = true, false; w"},
		{name: "a claim does not say what", file: tell, was: "t.claimed = w.claimed.status()", is: "_ = w"},
		{name: "a claimed review says so", file: tell, was: "; w.claimed != rankInReview {", is: "; true {"},
		{name: "a second failed try is none", file: tell, was: "t.try == b.try && slices", is: "slices"},
		{name: "a second hit is news", file: tell, was: "&& w.class < hit {", is: "{"},
		{name: "a second review is news", file: tell, was: "if (r.rank == rankRejected || r.rank == rankTerminal) && w.class < hit {", is: "if w.class < hit {"},
		{name: "final words are one try", file: tell, was: "(r.rank == rankRejected || r.rank == rankTerminal) && w", is: "r.rank == rankRejected && w"},
		{name: "runs are one try", file: tell, was: "t.try = w.session ^ w.try<<1", is: "t.try = w.try<<1"},
		{name: "attempts are one try", file: tell, was: "t.try = w.session ^ w.try<<1", is: "t.try = w.session"},
		{name: "an end is told again", file: tell, was: "return t.rank == rankExpired || t.until", is: "return t.until"},
		{name: "dates are no news", file: tell, was: "t.until == b.until && t.retryable", is: "t.retryable"},
		{name: "retryable is no news", file: tell, was: "t.until == b.until && t.retryable == b.retryable && t.terminal == b.terminal && t.unconfirmed == b.unconfirmed && t.claimed == b.claimed &&\n", is: "t.until == b.until && t.terminal == b.terminal && t.unconfirmed == b.unconfirmed && t.claimed == b.claimed &&\n"},
		{name: "terminal is no news", file: tell, was: "\tif t.rank != b.rank {\n\t\treturn false\n\t}\n", is: "\tif t.rank.status() != b.rank.status() {\n\t\treturn false\n\t}\n\tif t.terminal != b.terminal {\n\t\treturn true\n\t}\n"},
		{name: "reasons are no news", file: tell, was: "t.try == b.try && slices.Equal(t.reasons, b.reasons)", is: "t.try == b.try"},
		{name: "checks before documents", file: tell, was: "range [...]bool{true, false}", is: "range [...]bool{false, true}"},
		{name: "what decides is not named", file: tell, was: "t.by = r.by.id", is: "_ = r"},
		{name: "the last record is the cause", file: tell, was: `us[i].ID != "" && idOf(us[i].ID) == by`, is: `us[i].ID != "" && idOf(us[i].ID) == by && last < 0`},
		{name: "what is known is the cause", file: tell, was: "if verdicts[i] == Duplicate {", is: "if false {"},
		{name: "an end occurred when it was given", file: tell, was: "t.occurred = r.until", is: "_ = r"},
		{name: "a technical failure is doubt", file: tell, was: "reasons[0].Code == TechnicalFailure", is: "false"},
		{name: "what is missing is not named", file: tell, was: `now.check == 0 && f.lacks != ""`, is: "false"},
		{name: "a check of which nothing is left has no name", file: tell, was: "now.check = i + 1 //", is: "//"},
		{name: "ends of the first of two", file: tell, was: "t.from, t.until = f.from, f.until", is: "_ = f"},
		{name: "the reasons are the state's", file: tell, was: "Reasons: slices.Clone(t.reasons)", is: "Reasons: t.reasons"},

		{name: "a lone claim has no name", file: scope, was: "p.by = p.shown //", is: "//"},
		{name: "of two findings operators' do not show", file: scope, was: "case r.by.class >= hit:\n\t\t\treturn 2", is: "case false:\n\t\t\treturn 2"},
		{name: "of two findings serious ones do not show", file: scope, was: "case r.by.serious():\n\t\t\treturn 1", is: "case false:\n\t\t\treturn 1"},
		{name: "of two findings the older shows", file: scope, was: "cmp.Compare(weight(r), weight(o)), newest(r.by, o.by)) > 0", is: "cmp.Compare(weight(r), weight(o)), newest(o.by, r.by)) > 0"},
		{name: "of two approvals the older decides", file: subject, was: "return newest(r.by, o.by) > 0 })", is: "return newest(r.by, o.by) < 0 })"},
		{name: "an approval is not dated", file: subject, was: "f.from = f.by.from", is: ""},

		{name: "unconfirmed notices", file: timers, was: "if n == nil || n.NeedsConfirmation || f.rank", is: "if n == nil || f.rank"},
		{name: "notices of what is not approved", file: timers, was: "f.rank != rankApproved || v.told.rank != rankApproved {", is: "false {"},
		{name: "our notice is early", file: timers, was: "(end == 0 || v.now < end-v.policy.notice())", is: "end == 0"},
		{name: "notices of approvals that do not stand", file: timers, was: "at < 0 || f.each[at].rank != rankApproved {", is: "at < 0 {"},
		{name: "notices of what nobody knows", file: timers, was: "if end == 0 {\n\t\t\tend = momentOf(n.ExpiresAt)", is: "if true {\n\t\t\tend = momentOf(n.ExpiresAt)"},
		{name: "notices without an end are silent", file: timers, was: "end = momentOf(n.ExpiresAt) //", is: "//"},
		{name: "notices of one end twice", file: timers, was: "|| slices.Contains(v.noticed, end) {", is: "{"},
		{name: "the timer asks for one end twice", file: timers, was: "end != 0 && !slices.Contains(s.noticed, end) {", is: "end != 0 {"},
		{name: "the notice is the end", file: timers, was: "n := max(end-p.notice(), 1); at == 0", is: "n := end; at == 0"},
		{name: "checks do not end by themselves", file: timers, was: "for i := 0; i < len(s.checks) && !news; i++ {", is: "for i := 0; false; i++ {"},
		{name: "deadlines are no instants", file: timers, was: "case w.rank < rankApproved:\n\t\t\tadd(w.expires)", is: "case false:"},
		{name: "ends are no instants", file: timers, was: "case w.approval():\n\t\t\tadd(v.own(w))", is: "case false:"},
		{name: "an attempt is an end", file: timers, was: "w.rank < rankApproved && w.expires == m", is: "false"},
		{name: "timers of two persons are one", file: timers, was: "[]string{t.Partner, t.Subject.ID, ", is: "[]string{t.Partner, "},
		{name: "test and live timers are one", file: timers, was: "strconv.FormatBool(t.Livemode), ", is: ""},

		{name: "decisions are judged", file: judge, was: "case w.operator:\n\t\treturn Applied", is: "case false:\n\t\treturn Applied"},
		{name: "claimed approvals always count", file: judge, was: "\t\treturn Superseded\n\tdefault:\n\t\treturn sc", is: "\t\treturn Applied\n\tdefault:\n\t\treturn sc"},
		{name: "claimed approvals never count", file: judge, was: "if r.shown != nil && r.shown.n == w.n {", is: "if false {"},
		{name: "nothing is overruled", file: judge, was: "return a.operator && sc.answers(a, f) }) {", is: "return false }) {"},
		{name: "everything answered is overruled", file: judge, was: "return a.operator && sc.answers(a, f) }) {", is: "return sc.answers(a, f) }) {"},
		{name: "findings elsewhere answer nothing", file: judge, was: "v.checks[w.check].overall() && !stands(&whole) {", is: "false && !stands(&whole) {"},
		{name: "approvals are behind what is newer", file: judge, was: behind, is: "if true {\n\t\t\tbehind = max(behind, l.class)"},
		{name: "nothing is held", file: judge, was: "case behind == hit:\n\t\treturn Held", is: "case false:\n\t\treturn Held"},
		{name: "nothing is parked", file: judge, was: "case behind > soft:\n\t\treturn Parked", is: "case false:\n\t\treturn Parked"},
		{name: "superseded approvals count", file: judge, was: "i < 0, sc.supersedes(sc.approvals[max(i, 0)]) != nil, sc.undone", is: "i < 0, sc.undone"},
		{name: "reset approvals count", file: judge, was: "!= nil, sc.undone(sc.approvals[max(i, 0)]):", is: "!= nil:"},
		{name: "older approvals count", file: judge, was: "return run(o, w) && before(w, o) }):\n\t\treturn Stale", is: "return false }):\n\t\treturn Stale"},
		{name: "who speaks does not matter", file: judge, was: "if whole.by != nil && !run(whole.by, w) {", is: "if whole == nil {"},
		{name: "attempts are never stale", file: judge, was: newer, is: "false"},
		{name: "ends are stale", file: judge, was: "before(w, o) && (!w.ends() || o.approval()) ||", is: "before(w, o) ||"},
		{name: "ends are never stale", file: judge, was: "before(w, o) && (!w.ends() || o.approval()) ||", is: "before(w, o) && !w.ends() ||"},
		{name: "attempts are not held", file: judge, was: "case r.open && r.by != nil && r.by.class == hit:\n\t\treturn Held", is: "case false:\n\t\treturn Held"},
		{name: "ends beside others do not count", file: judge, was: "case w.ends(), r.shown", is: "case r.shown"},
		{name: "attempts beside others count", file: judge, was: "r.shown != nil && run(r.shown, w):", is: "true:"},

		{name: "unsigned approvals pass", file: evidence, was: claims, is: `u.Status == Suspended || u.Status == Rejected || u.Status == Expired && u.ExpiryKind != ExpiryAttempt`},
		{name: "unsigned suspensions pass", file: evidence, was: claims, is: `u.Status == Approved || u.Status == Rejected || u.Status == Expired && u.ExpiryKind != ExpiryAttempt`},
		{name: "unsigned rejections pass", file: evidence, was: claims, is: `u.Status == Approved || u.Status == Suspended || u.Status == Expired && u.ExpiryKind != ExpiryAttempt`},
		{name: "unsigned ends pass", file: evidence, was: claims, is: `u.Status == Approved || u.Status == Suspended || u.Status == Rejected`},
		{name: "unsigned lapses are claims", file: evidence, was: claims, is: `u.Status == Approved || u.Status == Suspended || u.Status == Rejected || u.Status == Expired`},
		{name: "claims are terminal", file: evidence, was: "u.Retryable, u.Terminal, u.Release = false, false, false", is: "u.Retryable, u.Release = false, false"},
		{name: "no level is the weakest", file: evidence, was: "need = Signed", is: "need = Network"},
		{name: "clocks may be ahead", file: evidence, was: "!u.OccurredAt.After(u.ReceivedAt.Add(maxAhead))", is: "true"},

		{name: "ids are forgotten", file: state, was: "k.day > 0 && k.day+keepSeen < today", is: "k.day > 0 && k.day < today"},
		{name: "ids of what has no time are forgotten", file: state, was: "k.day = 0", is: "_ = k"},
		{name: "unsigned words teach kinds", file: state, was: "k := u.Subject.Kind; !u.NeedsConfirmation && (", is: "k := u.Subject.Kind; ("},
		{name: "companies become persons", file: state, was: "k == Company || s.kind != Company && k > s.kind", is: `k != ""`},
		{name: "pending is a decision", file: state, was: "rankOf(u) < rankApproved {", is: "false {"},
		{name: "a release is what it says", file: state, was: "u.Status, u.Terminal = NotStarted, false", is: "u.Terminal = false"},
		{name: "records are not lowered", file: state, was: "u := us[i].lowered()", is: "u := us[i]", same: "an unsigned word says no more, whatever status it carries"},
	}
	for i := range all {
		all[i].by = tables
	}
	return all
}
