package kyc

import (
	"slices"
	"strconv"
	"time"
)

// TimerDue is an instant at which time itself changes what partners are to be told: an approval
// runs out, or is about to, or an attempt's deadline passes. It stands only until the next record;
// whoever fires it appends its Update.
type TimerDue struct {
	At        time.Time // may have passed already: fire at once
	ExpiresAt time.Time // of a notice: the end that it announces
	Notice    bool      // the notice before an end, not the end itself
	Attempt   bool      // the deadline of an attempt, not the end of an approval
	Partner   string
	Livemode  bool
	Subject   Subject
}

// Next is the first instant after the newest record at which time alone changes what is told: of
// the status, a check or a document, or that a notice is due. It reports whether there is one.
func (s *State) Next(p Policy) (due TimerDue, ok bool) {
	instants := s.instants(p)
	if end, soon := s.told.until, s.told.until-p.notice(); len(instants) > 0 && 0 < soon && soon < instants[0] && s.owesNotice(end) {
		// The notice comes before all at which anything may change: what that is need not be worked out.
		return TimerDue{At: soon.time(), ExpiresAt: end.time(), Notice: true, Partner: s.partner, Livemode: s.livemode, Subject: s.person("")}, true
	}
	at, attempt := s.turn(p, instants)
	due = TimerDue{At: at.time(), Attempt: attempt, Partner: s.partner, Livemode: s.livemode, Subject: s.person("")}
	if end := s.told.until; s.owesNotice(end) {
		if n := max(end-p.notice(), 1); at == 0 || n < at {
			due.At, due.ExpiresAt, due.Notice, due.Attempt = n.time(), end.time(), true, false
			return due, true
		}
	}
	return due, at != 0
}

// owesNotice reports whether nobody has been told yet that the approval ends then.
func (s *State) owesNotice(end moment) bool {
	return s.told.rank == rankApproved && end != 0 && !slices.Contains(s.noticed, end)
}

// turn is the first instant at which something is told that was not, and whether an attempt's
// deadline is it; 0: never.
func (s *State) turn(p Policy, instants []moment) (at moment, attempt bool) {
	for _, m := range instants {
		v := s.at(p, m)
		f := v.subject()
		now := v.status(&f)
		news := !now.same(&s.told)
		for i := 0; i < len(s.checks) && !news; i++ {
			t := v.checkTold(i, &f)
			news = !t.same(&s.checks[i].told)
		}
		if news {
			return m, slices.ContainsFunc(s.words, func(w word) bool { return w.rank < rankApproved && w.expires == m })
		}
	}
	return 0, false
}

// instants are all at which time may change anything, soonest first.
func (s *State) instants(p Policy) (all []moment) {
	v := s.at(p, s.last)
	add := func(m moment) {
		if m > s.last && !slices.Contains(all, m) {
			all = append(all, m)
		}
	}
	for i := range s.words {
		switch w := &s.words[i]; {
		case w.approval():
			add(v.own(w))
		case w.ends(): // by a clock that is ahead of ours
			add(w.when())
		case w.rank < rankApproved:
			add(w.expires)
		}
	}
	for i := range s.lost {
		add(s.lost[i].until(v))
	}
	slices.Sort(all)
	return all
}

// foreign reports a timer that is not what the state waits for: it was fired twice, or something was
// said since. What is due all the same has a timer of its own, with an id of its own. By this one it
// would be told under the webhook-id of what this one has told already, and a partner drops what it
// has.
func (s *State) foreign(u *Update) bool {
	switch end := momentOf(u.ExpiresAt); {
	case u.Kind != Timer:
		return false
	case u.Expiring:
		return end != s.told.until || !s.owesNotice(end)
	default:
		return momentOf(u.OccurredAt) <= s.last
	}
}

// Update is the record that fires the timer. Its id is the same whoever makes it (I4); the caller
// adds received_at.
func (t TimerDue) Update() Update {
	u := Update{SchemaVersion: 1, Kind: Timer, Partner: t.Partner, Livemode: t.Livemode, Subject: t.Subject, ExpiresAt: t.ExpiresAt, Expiring: t.Notice, OccurredAt: t.At}
	switch {
	case t.Notice:
		u.Status = Approved
	case t.Attempt:
		u.Status, u.ExpiryKind = Expired, ExpiryAttempt
	default:
		u.Status, u.ExpiryKind = Expired, ExpiryValidity
	}
	dedupe := []string{t.Partner, t.Subject.ID, strconv.FormatBool(t.Livemode), strconv.FormatInt(t.At.UnixNano(), 10), strconv.FormatInt(int64(momentOf(t.ExpiresAt)), 10), strconv.FormatBool(t.Notice)}
	u.ID = UpdateID("", dedupe, Timer, "", "", "", 0, t.At)
	return u
}

// notice is the change that says that the person's approval is about to run out: once for each end
// of it, whether a provider or our timer says so first. An unconfirmed word owes nothing: our own
// timer will tell.
func (v *view) notice(n *Update, f *folding) (ch Change, ok bool) {
	if n == nil || n.NeedsConfirmation || f.rank != rankApproved || v.told.rank != rankApproved {
		return ch, false
	}
	end := f.until
	if n.Kind == Timer && (end == 0 || v.now < end-v.policy.notice()) {
		return ch, false // the end has moved since
	}
	if n.Kind != Timer {
		if at := v.find(n); at < 0 || f.each[at].rank != rankApproved || f.each[at].until != end {
			return ch, false // it is about an approval that does not stand, or that is not the person's end
		}
		if end == 0 {
			end = momentOf(n.ExpiresAt) // nothing else says when
		}
	}
	if end == 0 || end <= v.now || slices.Contains(v.noticed, end) {
		return ch, false
	}
	v.noticed = slices.DeleteFunc(v.noticed, func(m moment) bool { return m <= v.now })
	if v.noticed = append(v.noticed, end); len(v.noticed) > limits.kept {
		v.noticed = v.noticed[1:]
	}
	t := v.told
	for i := range f.counted {
		if r := &f.counted[i]; r.rank == rankApproved && r.until == end {
			t = v.tell(r)
		}
	}
	t.until, t.occurred = end, momentOf(happened(n))
	return v.change(n, &t, "kyc.status.expiring", []string{v.State.subject}, v.told.rank.status()), true
}

func happened(u *Update) time.Time {
	if !u.OccurredAt.IsZero() {
		return utc(u.OccurredAt)
	}
	return utc(u.ReceivedAt)
}

// utc drops the zone and the monotonic reading, so that a time equals itself read back.
func utc(t time.Time) time.Time { return t.Round(0).UTC() }
