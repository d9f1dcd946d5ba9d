package relay

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/kyc"
)

// moment is one at which something happens in a simulated year.
type moment struct {
	tell []kyc.Update
	due  int // timers
}

// year is what is told to a relay within a year, and what time must make of it.
type year struct {
	moments map[int64]*moment // by unix second: the end of the second in which it all happens
	owed    map[string][]dueTimer
	end     time.Time
}

type dueTimer struct {
	at   time.Time
	kind string
}

func (y *year) moment(t time.Time) *moment {
	second := t.Add(time.Second - 1).Unix()
	if y.moments[second] == nil {
		y.moments[second] = &moment{}
	}
	return y.moments[second]
}

func (y *year) due(id string, at time.Time, kind string) {
	if at.Before(y.end.Add(-time.Second)) {
		y.moment(at).due++
		y.owed[id] = append(y.owed[id], dueTimer{at, kind})
	}
}

// approve is an approval whose validity ends at until: told notice before, or at once.
func (y *year) approve(id string, u kyc.Update, until time.Time, notice time.Duration, ends time.Time) {
	y.moment(u.OccurredAt).tell = append(y.moment(u.OccurredAt).tell, u)
	first := until.Add(-notice)
	if first.Before(u.OccurredAt) {
		first = u.OccurredAt
	}
	if ends.IsZero() || first.Before(ends) {
		y.due(id, first, "notice")
	}
	if ends.IsZero() || until.Before(ends) {
		y.due(id, until, "expiry")
	}
}

var yearPolicies = []struct{ months, notice int }{{1, 7}, {3, 1}, {6, 30}, {12, 7}}

// newYear makes up the year of n subjects: approved at 120 moments, for months as their partner's
// policy says or until a date of the provider's; some for less than the notice, some renewed or
// rejected in between, some only begun, with a deadline.
func newYear(n int, start time.Time) *year {
	y := &year{moments: map[int64]*moment{}, owed: map[string][]dueTimer{}, end: start.AddDate(1, 0, 0)}
	r := rand.New(rand.NewPCG(7, 7))
	const grid = 3 * 24 * time.Hour
	for i := range n {
		p := yearPolicies[i%len(yearPolicies)]
		partner, subject := fmt.Sprint("p", i%len(yearPolicies)), fmt.Sprintf("u%05d", i)
		id, notice := partner+"/"+subject, time.Duration(p.notice)*24*time.Hour
		given := start.Add(time.Duration(r.IntN(120))*grid + time.Duration(r.IntN(999_999_999)))
		if given.Day() > 28 { // that every month has
			given = given.Add(-grid)
		}
		u := said(subject, 0, kyc.Approved)
		u.Partner = partner
		told := func(at time.Time, s kyc.Status, expires time.Time) kyc.Update {
			u.Status, u.OccurredAt, u.ReceivedAt, u.ExpiresAt = s, at, at, expires
			return named(u)
		}
		months := given.AddDate(0, p.months, 0)
		switch r.IntN(8) {
		case 0, 1, 2:
			y.approve(id, told(given, kyc.Approved, time.Time{}), months, notice, time.Time{})
		case 3, 4:
			until := given.Add(time.Duration(1+r.IntN(60)) * grid)
			y.approve(id, told(given, kyc.Approved, until), until, notice, time.Time{})
		case 5: // rejected in between
			ends := given.Add(time.Duration(1+r.IntN(40))*grid + 5*time.Second)
			y.approve(id, told(given, kyc.Approved, time.Time{}), months, notice, ends)
			y.moment(ends).tell = append(y.moment(ends).tell, told(ends, kyc.Rejected, time.Time{}))
		case 6: // renewed in between
			again := given.Add(grid + 5*time.Second)
			y.approve(id, told(given, kyc.Approved, time.Time{}), months, notice, again)
			until := again.Add(time.Duration(10+r.IntN(50)) * grid)
			y.approve(id, told(again, kyc.Approved, until), until, notice, time.Time{})
		case 7: // begun, and never finished
			deadline := given.Add(time.Duration(1+r.IntN(5)) * grid)
			y.moment(given).tell = append(y.moment(given).tell, told(given, kyc.Pending, deadline))
			y.due(id, deadline, "attempt")
		}
	}
	return y
}

// TestYear lives through a year with many subjects, the relay being stopped and started at random
// moments: every notice, every expiry and every deadline is told within a second of its instant,
// and once (I2, I11).
func TestYear(t *testing.T) {
	t.Parallel()
	n := 10000
	if raceEnabled || testing.Short() {
		n = 1500
	}
	start := time.Date(2027, 1, 3, 8, 0, 0, 0, time.UTC)
	y := newYear(n, start)
	var partners []Partner
	for i, p := range yearPolicies {
		partners = append(partners, Partner{ID: fmt.Sprint("p", i), Policy: kyc.Policy{ValidityMonths: p.months, NoticeDays: p.notice}})
	}
	g, w := timed(t, start, partners...)
	g.run()
	r := rand.New(rand.NewPCG(8, 8))
	seconds, fired, restarts := make([]int64, 0, len(y.moments)), 0, 0
	for s := range y.moments {
		if s < y.end.Unix() {
			seconds = append(seconds, s)
		}
	}
	slices.Sort(seconds)
	for _, s := range seconds {
		m := y.moments[s]
		if now := time.Unix(s, 0).UTC(); now.After(g.clock.now()) {
			g.clock.set(now)
		}
		if len(m.tell) > 0 {
			g.tell(m.tell...)
		}
		fired += m.due
		switch r.IntN(len(seconds) / 12) {
		case 0: // in the middle of it all
			g.restart()
			restarts++
		case 1:
			g.quiet(w, fired)
			g.crash()
			restarts++
		}
		g.quiet(w, fired)
	}
	if restarts == 0 || len(seconds) < 400 {
		t.Errorf("%d restarts, %d moments", restarts, len(seconds))
	}
	t.Log(n, "subjects,", fired, "timers,", len(seconds), "moments,", restarts, "restarts")
	for _, wrong := range y.judge(g) {
		t.Error(wrong)
	}
}

// judge compares what became of every subject with what was owed to it.
func (y *year) judge(g *rig) (wrong []string) {
	g.t.Helper()
	for lane, owed := range y.owed {
		partner, id, _ := strings.Cut(lane, "/")
		v := g.view(partner, id, true)
		var got []dueTimer
		expiring := 0
		for _, rec := range v.Records {
			if rec.Update.Kind == kyc.Timer && rec.Verdict == kyc.Applied {
				got = append(got, dueTimer{rec.At, timerKind(&kyc.TimerDue{Notice: rec.Update.Expiring, Attempt: rec.Update.ExpiryKind == kyc.ExpiryAttempt})})
			}
		}
		for _, c := range v.Changes {
			if c.Type == noticeType {
				expiring++
			}
		}
		slices.SortFunc(owed, func(a, b dueTimer) int { return a.at.Compare(b.at) })
		notices := 0
		for i, o := range owed {
			if o.kind == "notice" {
				notices++
			}
			if i >= len(got) || got[i].kind != o.kind || got[i].at.Before(o.at) || got[i].at.Sub(o.at) > time.Second {
				wrong = append(wrong, fmt.Sprintf("%s: owed %v, got %v", lane, owed, got))
				break
			}
		}
		if len(got) != len(owed) || expiring != notices {
			wrong = append(wrong, fmt.Sprintf("%s: %d timers and %d notices, owed %d and %d", lane, len(got), expiring, len(owed), notices))
		}
		if len(wrong) > 10 {
			break
		}
	}
	return wrong
}
