package kyc

import (
	"cmp"
	"slices"
)

// told is what partners know of one object: the last change owed for it.
type told struct {
	rank        rank
	was         rank // of the status: the one before, however often this one has been told since
	check       int  // of the status: place of the check that decides, from 1; 0: none does, or it is told of a check
	from, until moment
	occurred    moment // when what decides it happened; 0: nothing is known
	by          id     // of what decides it
	try         session
	retryable   bool
	terminal    bool
	unconfirmed bool   // unsigned evidence claims it
	claimed     Status // what it claims
	reasons     []ReasonPair
	name        string
	document    Document
}

// tell is a result as partners are told it.
func (v *view) tell(r *result) told {
	t := told{rank: r.rank}
	w := r.shown
	if r.rank.dated() {
		t.from, t.until = r.from, r.until
	}
	if w == nil {
		return t
	}
	t.check, t.occurred, t.by, t.reasons, t.name, t.document = w.check+1, w.when(), w.id, w.reasons, w.name, w.document
	if t.retryable, t.terminal = w.retryable, w.terminal; w.submission {
		t.check = 0 // a partner's word that something was begun is no provider's about a check
	}
	if r.by != nil {
		t.by = r.by.id
	}
	if r.by == w && w.class > claim {
		t.reasons = r.reasons()
	}
	switch {
	case r.rank == rankExpired:
		t.occurred = r.until
	case r.rank == rankInReview && w.rank > rankInReview && w.class != claim: // it was answered, and somebody has to look all the same
		t.retryable, t.terminal = false, false
	case w.class == hit: // nobody but an operator answers it, whatever its provider calls it
		t.retryable, t.terminal = false, true
	case w.class == claim, w.claimsYes() && r.rank == rankInReview:
		if t.unconfirmed, t.retryable, t.terminal = true, false, false; w.claimed != rankInReview {
			t.claimed = w.claimed.status()
		}
	}
	if (r.rank == rankRejected || r.rank == rankTerminal) && w.class < hit {
		t.try = w.session ^ w.try<<1 ^ session(w.source) //nolint:gosec // a place
	}
	return t
}

// reasons are those of the finding that decides, and what else stands that is serious: who is
// refused for a document must not read less than that a list names them. The gravest comes first.
func (r *result) reasons() []ReasonPair {
	all := r.by.reasons
	for _, f := range r.left {
		for _, p := range f.reasons {
			there := slices.ContainsFunc(all, func(x ReasonPair) bool { return x.Code == p.Code })
			if f != r.by && f.class > claim && !there && gravityOf([]ReasonPair{p}) > mild {
				all = append(slices.Clip(all), p)
			}
		}
	}
	if len(all) > len(r.by.reasons) && !r.by.operator { // an operator's own reason stays the first
		slices.SortStableFunc(all, func(a, b ReasonPair) int {
			return cmp.Compare(slices.Index(Priority, a.Code), slices.Index(Priority, b.Code))
		})
	}
	return all
}

// status is where the subject stands as partners are told it.
func (v *view) status(f *folding) told {
	if f.by == nil {
		return told{rank: f.rank}
	}
	t := v.tell(f.by)
	if t.rank = f.rank; f.rank == rankApproved {
		t.from, t.until = f.from, f.until
	}
	return t
}

// same reports whether telling b after t would be no news. What has run out runs out once, whether
// the provider or our timer says so first. A second failed try is news even for the same reasons.
func (t *told) same(b *told) bool {
	if t.rank != b.rank {
		return false
	}
	return t.rank == rankExpired || t.until == b.until && t.retryable == b.retryable && t.terminal == b.terminal && t.unconfirmed == b.unconfirmed && t.claimed == b.claimed &&
		t.try == b.try && slices.Equal(t.reasons, b.reasons)
}

// owe numbers the changes owed for a callback: for every document, check and the status, in this
// order, where the last one told differs.
func (v *view) owe(us []Update, verdicts []Verdict, f *folding) []Change {
	var owed []Change
	for _, documents := range [...]bool{true, false} {
		for i := range v.checks {
			c := &v.checks[i]
			if (c.scope == DocumentScope) != documents {
				continue
			}
			now := v.checkTold(i, f)
			news := !now.same(&c.told)
			if news {
				now.check = i + 1 // also where nothing is left that decides
				owed = room(owed)
				owed = append(owed, v.change(cause(us, verdicts, now.by), &now, now.kind(c), v.names(i), c.told.rank.status()))
			}
			if c.owed = c.owed || news; news || !c.owed {
				c.told = now
				c.told.check = 0
			}
		}
	}
	if now := v.status(f); !now.same(&v.told) {
		ch := v.change(cause(us, verdicts, now.by), &now, statusTypes[now.rank], []string{v.State.subject}, v.told.rank.status())
		if now.check == 0 && now.rank < rankApproved {
			ch.Check = CheckView{Type: v.lacks(f), Status: "pending"}
		}
		owed = append(room(owed), ch)
		if now.was = v.told.rank; v.told.rank == now.rank {
			now.was = v.told.was
		}
		v.told = now
	}
	return owed
}

// checkTold is where a check stands as partners are told it.
func (v *view) checkTold(i int, f *folding) told {
	r := &f.each[i]
	if r.shown != nil && r.shown.submission {
		return v.checks[i].told // its source has not spoken of that
	}
	return v.tell(r)
}

// lacks is the required type that an undecided subject waits for.
func (v *view) lacks(f *folding) Check {
	if required := v.policy.For(v.kind); f.lacks == "" && len(required) > 0 {
		return required[0]
	}
	return f.lacks
}

// cause is the record that a change comes from: the one that decides it, else the last that was
// new.
func cause(us []Update, verdicts []Verdict, by id) *Update {
	last := 0
	for i := range us {
		if verdicts[i] == Duplicate {
			continue
		}
		if last = i; us[i].ID != "" && idOf(us[i].ID) == by {
			return &us[i]
		}
	}
	return &us[last]
}

// names is a check's own name within the subject, in parts.
func (v *view) names(i int) []string {
	c := &v.checks[i]
	return []string{v.sources[c.source].name, "/", string(c.typ), "/", string(c.scope), "/", c.part}
}

// room makes room for what is owed for most records: a change of a check and one of the status.
func room(owed []Change) []Change {
	if owed == nil {
		return make([]Change, 0, 2)
	}
	return owed
}

// change is the next one of this subject.
func (v *view) change(u *Update, t *told, kind string, object []string, previous Status) Change {
	v.sequence++
	ch := Change{
		ID: changeID(u.ID, kind, object...), Type: kind, Sequence: v.sequence, Partner: v.partner, Livemode: v.livemode, Subject: v.person(cmp.Or(u.Subject.ProviderRef, t.name)),
		Status: t.rank.status(), PreviousStatus: previous, Reasons: slices.Clone(t.reasons), Retryable: t.retryable, Terminal: t.terminal, NeedsConfirmation: t.unconfirmed,
		ClaimedStatus: t.claimed, ApprovedAt: t.from.time(), ExpiresAt: t.until.time(), OccurredAt: t.occurred.time(), ReceivedAt: v.last.time(), CauseID: u.ID, Traceparent: u.Traceparent,
	}
	if ch.DecidedBy = t.by.textAs(u.ID); t.check > 0 {
		ch.Check, ch.Document = v.shows(t), t.document
		if ch.Document.Type == "" {
			ch.Document.Type = v.checks[t.check-1].part
		}
	}
	if t.occurred == 0 {
		ch.OccurredAt = happened(u)
	}
	return ch
}

// shows is the check that decides, as partners see it.
func (s *State) shows(t *told) CheckView {
	c := &s.checks[t.check-1]
	return CheckView{Type: c.typ, Status: checkWord(t.rank, t.reasons), Source: s.sources[c.source].name, Provider: s.sources[c.source].provider, ProviderRef: t.name}
}

// kind is the type of the change that tells of a check or a document.
func (t *told) kind(c *check) string {
	if c.scope == DocumentScope {
		return documentTypes[documentWord(t.rank)]
	}
	return checkTypes[checkWord(t.rank, t.reasons)]
}

// The types of changes, put together once: of the status by rank, of the others by their word.
var (
	statusTypes = func() (types [rankSuspended + 1]string) {
		for r := range types {
			types[r] = "kyc.status." + string(rank(r).status())
		}
		return types
	}()
	checkTypes    = typed("kyc.check.", "clear", "expired", "error", "review_required", "failed", "suspended", "pending")
	documentTypes = typed("kyc.document.", "approved", "rejected", "processing")
)

func typed(prefix string, words ...string) map[string]string {
	types := map[string]string{}
	for _, w := range words {
		types[w] = prefix + w
	}
	return types
}

// checkWord is the compliance word for a check. A review for a technical failure is an error:
// nobody has doubts about the person.
func checkWord(r rank, reasons []ReasonPair) string {
	switch r {
	case rankApproved:
		return "clear"
	case rankExpired:
		return "expired"
	case rankInReview:
		if len(reasons) > 0 && reasons[0].Code == TechnicalFailure {
			return "error"
		}
		return "review_required"
	case rankRejected, rankTerminal:
		return "failed"
	case rankSuspended:
		return "suspended"
	default:
		return "pending"
	}
}

func documentWord(r rank) string {
	switch r {
	case rankApproved:
		return "approved"
	case rankExpired, rankRejected, rankTerminal, rankSuspended:
		return "rejected"
	default:
		return "processing"
	}
}
