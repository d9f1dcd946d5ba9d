package relay

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/kyc"
)

// model is the relay said in the simplest way: one record after the other, all in memory. What a
// relay ends up with must be this, whatever happened to it.
type model struct {
	partners map[string]Partner
	lanes    map[string]*modelLane
	order    []string          // lanes by first mention
	refs     map[string]string // by mode, source and ref
	waiting  []modelRecord     // nobody is known by their refs
	owed     map[string][]expected
	next     int64
}

type modelLane struct {
	partner, id string
	live        bool
	state       kyc.State
	last        map[string]uint64 // by endpoint: the sequence owed last
	records     []RecordView
	offsets     []int64
	changes     []kyc.Change
}

type modelRecord struct {
	offset   int64
	appended time.Time
	u        kyc.Update
}

func newModel(ps ...Partner) *model {
	m := &model{partners: map[string]Partner{}, lanes: map[string]*modelLane{}, refs: map[string]string{}, owed: map[string][]expected{}}
	for _, p := range ps {
		p.Policy.Version = 1
		m.partners[p.ID] = p
	}
	return m
}

// take folds records in order; appended stands for the moment of all of them.
func (m *model) take(t *testing.T, appended time.Time, us ...kyc.Update) {
	t.Helper()
	for _, u := range us {
		m.next++
		r := modelRecord{m.next, appended, u}
		if u.Partner != "" && u.Subject.ID != "" {
			m.apply(t, r)
		} else if !m.known(t, r) {
			m.waiting = append(m.waiting, r)
		}
	}
}

func (m *model) keys(u kyc.Update) (keys []string) {
	for _, k := range personRefs[u.Provider] {
		ref := map[RefKind]string{SubjectRef: u.Subject.ProviderRef, SessionRef: u.Verification.Ref, ParentRef: u.Verification.ParentRef}[k]
		if ref != "" {
			keys = append(keys, strings.Join([]string{map[bool]string{true: "live"}[u.Livemode], u.Source, ref}, "|"))
		}
	}
	return keys
}

// known applies a record without our id if all that its refs say is one person.
func (m *model) known(t *testing.T, r modelRecord) bool {
	t.Helper()
	whose := map[string]bool{}
	for _, k := range m.keys(r.u) {
		if lane, ok := m.refs[k]; ok {
			whose[lane] = true
		}
	}
	if len(whose) != 1 || whose["nobody"] {
		return false
	}
	for lane := range whose {
		l := m.lanes[lane]
		if r.u.Partner != "" && r.u.Partner != l.partner {
			return false
		}
		r.u.Partner, r.u.Subject.ID = l.partner, l.id
	}
	m.apply(t, r)
	return true
}

func (m *model) apply(t *testing.T, r modelRecord) {
	t.Helper()
	name := laneName(r.u)
	if l := m.lane(name, r.u); r.u.Kind == kyc.Observation && !l.state.Knows(r.u.ID) {
		m.free(t, m.teach(name, r.u)) // that was received before this
	}
	m.free(t, m.fold(t, r))
}

func (m *model) free(t *testing.T, taught []string) {
	t.Helper()
	for len(taught) > 0 { // each round sets free what waits for the refs of the round before
		free := m.waiting
		m.waiting = nil
		var next []string
		var still []modelRecord
		for _, w := range free {
			waits := slices.ContainsFunc(m.keys(w.u), func(k string) bool { return slices.Contains(taught, k) })
			if lane := m.only(w.u); waits && lane != nil {
				w.u.Partner, w.u.Subject.ID, w.u.Waited = lane.partner, lane.id, true
				next = append(next, m.fold(t, w)...)
				continue
			}
			still = append(still, w)
		}
		m.waiting, taught = still, next
	}
}

func (m *model) only(u kyc.Update) *modelLane {
	found := ""
	for _, k := range m.keys(u) {
		lane, ok := m.refs[k]
		if !ok {
			continue
		}
		if lane == "nobody" || found != "" && found != lane {
			return nil
		}
		found = lane
	}
	if l := m.lanes[found]; l != nil && (u.Partner == "" || u.Partner == l.partner) {
		return l
	}
	return nil
}

// fold applies one record and returns the refs it taught.
func (m *model) fold(t *testing.T, r modelRecord) (taught []string) {
	t.Helper()
	u := r.u
	name := laneName(u)
	l := m.lane(name, u)
	p := m.partners[u.Partner]
	changes, verdicts := l.state.Apply([]kyc.Update{u}, p.Policy)
	verdict := verdicts[0]
	v := RecordView{At: r.appended, Verdict: verdict}
	v.Update.ID = u.ID
	for _, c := range changes {
		v.Changes = append(v.Changes, c.Sequence)
		l.changes = append(l.changes, c)
		for _, e := range p.Endpoints {
			m.owe(t, name, l, e, c)
		}
	}
	at, _ := slices.BinarySearch(l.offsets, r.offset)
	l.offsets, l.records = slices.Insert(l.offsets, at, r.offset), slices.Insert(l.records, at, v)
	if verdict == kyc.Duplicate {
		return nil
	}
	return m.teach(name, u)
}

func laneName(u kyc.Update) string {
	return strings.Join([]string{u.Partner, u.Subject.ID, map[bool]string{true: "live"}[u.Livemode]}, "|")
}

func (m *model) lane(name string, u kyc.Update) *modelLane {
	l := m.lanes[name]
	if l == nil {
		l = &modelLane{partner: u.Partner, id: u.Subject.ID, live: u.Livemode, last: map[string]uint64{}}
		m.lanes[name] = l
		m.order = append(m.order, name)
	}
	return l
}

// teach gives the refs that lead to a lane now and led nowhere before.
func (m *model) teach(name string, u kyc.Update) (taught []string) {
	if u.Kind == kyc.Observation && u.Authenticity == kyc.Network {
		return nil
	}
	for _, k := range m.keys(u) {
		switch known, ok := m.refs[k]; {
		case !ok:
			m.refs[k] = name
			taught = append(taught, k)
		case known != name:
			m.refs[k] = "nobody"
		}
	}
	return taught
}

func (m *model) owe(t *testing.T, name string, l *modelLane, e Endpoint, c kyc.Change) {
	t.Helper()
	wanted := slices.ContainsFunc(e.Events, func(p string) bool {
		return p == c.Type || strings.HasSuffix(p, "*") && strings.HasPrefix(c.Type, p[:len(p)-1])
	})
	if !wanted {
		return
	}
	body, err := e.Format.Render(c, l.last[e.ID])
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		l.last[e.ID] = c.Sequence
		m.owed[e.ID] = append(m.owed[e.ID], expected{name, c.ID, string(body)})
	}
}

// compare returns where a relay differs from the model.
func (m *model) compare(t *testing.T, r *Relay) (wrong []string) {
	t.Helper()
	for _, name := range m.order {
		l := m.lanes[name]
		v, err := allOf(r, l.partner, l.id, l.live, Asked{})
		if err != nil {
			wrong = append(wrong, name+": "+err.Error())
			continue
		}
		got, want := summary(t, v.Status, v.Checks, v.Changes, v.Records), summary(t, l.state.View(), l.state.Checks(), l.changes, l.records)
		for i := range max(len(got), len(want)) {
			if i >= len(got) || i >= len(want) || got[i] != want[i] {
				wrong = append(wrong, fmt.Sprintf("%s: from line %d on\n got %.400q\nwant %.400q", name, i, got[min(i, len(got)):], want[min(i, len(want)):]))
				break
			}
		}
		for i, c := range v.Changes {
			if c.Sequence != uint64(i+1) {
				wrong = append(wrong, name+": a gap in the sequence")
			}
		}
	}
	if got, want := r.Unrouted(), int64(len(m.waiting)); got != want {
		wrong = append(wrong, "held "+text(t, got)+", want "+text(t, want))
	}
	return wrong
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// summary is all that must be equal, as lines of text.
func summary(t *testing.T, s kyc.View, cs []kyc.CheckState, changes []kyc.Change, records []RecordView) (lines []string) {
	t.Helper()
	for _, r := range records {
		lines = append(lines, text(t, []any{r.Update.ID, r.Verdict, r.Changes}))
	}
	for _, c := range changes {
		lines = append(lines, text(t, c))
	}
	for _, c := range cs {
		lines = append(lines, text(t, c))
	}
	return append(lines, text(t, s))
}
