package control

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	web "countersign/dashboards/console"
	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay"
	"countersign/relay/audit"
	"countersign/relay/control/api"
	"countersign/relay/registry"
	"countersign/relay/replay"
)

// few is how many there are of what is rare, however many people there are.
const few = 60

// site is a crowd with everything that a console shows, and the console over it. Of what is rare
// there are few, of the rest a share of all people.
type site struct {
	*crowd
	handler http.Handler
	cookies map[string]*http.Cookie // by token
	clock   time.Time               // of the console: each page sees fresh metrics
	said    int                     // records that were appended after everybody was told about
	replays []string
	gone    string // an endpoint that is not in the config any more
}

// share is how many of n are one in so many, and not less than few.
func share(n, of int) int { return max(few, n/of) }

func newSite(t *testing.T, persons, endpoints int) *site {
	t.Helper()
	s := &site{cookies: map[string]*http.Cookie{}, clock: time.Now()}
	rejects := 7
	if persons > 100_000 {
		rejects = 97
	}
	s.crowd = newCrowd(t, persons, endpoints, rejects, func(o *Options) {
		o.Tokens = append(o.Tokens, Token{Name: "paul", SHA256: sha256.Sum256([]byte("secret-paul")), Scope: Partner, Partner: "p00"})
		o.Replays = replay.New(replay.Options{Store: o.Store, Outbox: o.Outbox, Relay: o.Relay, Registry: o.Registry, Logger: o.Logger, Metrics: o.Metrics})
		o.Ready = func() (reasons, notes []string) { return nil, nil }
		o.SourceStates = func() []api.Source { return []api.Source{{Object: "source", Name: "sumsub-eu", Provider: "sumsub"}} }
		o.Foresee = func(journal.Item) (Foreseen, error) { return Foreseen{}, nil }
		o.Site = func(calls http.Handler) http.Handler {
			c, err := web.New(web.Options{API: calls, Gatherer: o.Gatherer, Logger: o.Logger, Now: func() time.Time { return s.clock }})
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
	})
	s.handler = s.server.handler()
	s.mix()
	s.orphan()
	s.signIn("ada")
	s.signIn("paul")
	return s
}

func (s *site) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// at is a person of the j-th of n that are spread among all, with one more place for each kind of
// what is rare, so that no two kinds are of one person.
func (s *site) at(j, n, kind int) int { return (j*(s.persons/n) + kind) % s.persons }

// append has records taken, and waits when there are many.
func (s *site) append(rs ...journal.Record) {
	s.t.Helper()
	for len(rs) > 0 {
		some := rs[:min(1000, len(rs))]
		err := s.journal.Append(s.t.Context(), some...)
		if err != nil {
			if s.t.Context().Err() != nil {
				s.t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond) // the backlog is full
			continue
		}
		rs, s.said = rs[len(some):], s.said+len(some)
	}
}

func (s *site) record(u kyc.Update, ask ...journal.Question) journal.Record {
	return journal.Record{Kind: u.Kind, Appended: time.Now(), Body: u.AppendJSON(nil), Ask: ask}
}

// again is a later word about the i-th person.
func (s *site) again(i int, change func(*kyc.Update)) journal.Record {
	u := s.saying(i)
	u.OccurredAt, u.ReceivedAt = toldAt.Add(time.Hour), toldAt.Add(time.Hour)
	change(&u)
	u.ID = kyc.UpdateID(u.Source, []string{u.Subject.ID, u.Subject.ProviderRef, strconv.FormatBool(u.Livemode)}, u.Kind, u.Check, u.Scope, "", 0, u.OccurredAt)
	return s.record(u)
}

// mix adds what is rare, and what waits for a person.
func (s *site) mix() {
	s.t.Helper()
	var rs []journal.Record
	for j := range few {
		rs = append(
			rs,
			s.again(s.at(j, few, 1), func(u *kyc.Update) { u.Status, u.Reasons = kyc.Rejected, []kyc.ReasonPair{{Code: kyc.SanctionsMatch}} }),
			s.again(s.at(j, few, 2), func(u *kyc.Update) { u.Status = kyc.Suspended }),
			s.again(s.at(j, few, 3), func(u *kyc.Update) { u.Livemode = false }),
		)
		if j > 0 { // the ref of somebody else
			ref := fmt.Sprint("applicant-", s.at(j-1, few, 4))
			rs = append(rs, s.again(s.at(j, few, 4), func(u *kyc.Update) { u.Subject.ProviderRef = ref }))
		}
	}
	for j := range share(s.persons, 20) {
		rs = append(rs, s.again(0, func(u *kyc.Update) { u.Partner, u.Subject = "", kyc.Subject{ProviderRef: fmt.Sprint("unknown-", j)} }))
	}
	for j := range share(s.persons, 20) {
		u := kyc.Update{SchemaVersion: 1, Kind: kyc.FetchRequest, Source: "jumio", Partner: "p00"}
		q := journal.Question{Source: u.Source, What: "workflow", Ref: fmt.Sprint("open-", j), Since: toldAt, Due: toldAt, Weak: true}
		u.ID = kyc.UpdateID(u.Source, []string{q.Ref}, u.Kind, "", "", "", 0, toldAt)
		q.Claim = u.ID
		rs = append(rs, s.record(u, q))
	}
	s.append(rs...)
	deadline := time.Now().Add(patience + time.Duration(len(rs))*5*time.Millisecond)
	for s.relay.Position().Offset < int64(s.persons+s.said) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%d of %d are folded", s.relay.Position().Offset, s.persons+s.said)
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.wait()
	s.steer()
	s.fill()
}

// wait adds what waits for a person, and what was done about some of it.
func (s *site) wait() {
	s.t.Helper()
	for j := range share(s.persons, 1000) {
		id := fmt.Sprintf("item-%06d", j)
		s.check(s.journal.Hold(s.t.Context(), journal.Item{ID: id, Source: "sumsub-eu", Provider: "sumsub", Reason: journal.Unreadable, At: toldAt, Body: []byte(`{}`)}))
	}
	for id, n := "", 0; n < few/2; {
		list, _, err := s.outbox.ListWithheld("p00-main", id, 1, false)
		s.check(err)
		if len(list) == 0 {
			break
		}
		id = list[0].ID
		n++
		_, err = s.outbox.Acknowledge(s.t.Context(), id, outbox.Acknowledgement{At: toldAt, By: "otto", Reason: "told by phone"})
		s.check(err)
	}
}

// steer has a few deliveries cancelled, an endpoint paused and one disabled, and a few replays
// counted.
func (s *site) steer() {
	s.t.Helper()
	list, _, _, err := s.relay.Deliveries(relay.Wanted{Status: relay.Dead, Endpoints: func(id string) bool { return id == "p00-main" }, Limit: few})
	s.check(err)
	for i := range list {
		_, _, err := s.relay.Cancel(s.t.Context(), list[i].ID, outbox.Cancel{By: "otto", Because: "told by phone", Force: true})
		s.check(err)
	}
	s.check(s.registry.Pause(s.t.Context(), "p03-main", registry.Pause{By: "otto", At: toldAt}))
	written := make(chan error, 1)
	if s.registry.Disable("p05-main", "410 Gone", func(err error) { written <- err }) {
		s.check(<-written)
	}
	for j := range few {
		a := s.call("otto", "POST", "/v1/replays", fmt.Sprintf(`{"kind":"dead_lettered","endpoint":"p%02d-main","dry_run":true}`, j%s.endpoints), "Idempotency-Key", fmt.Sprint("replay-", j))
		if a.code != http.StatusOK {
			continue // so many may wait
		}
		s.replays = append(s.replays, a.json["id"].(string))
	}
}

// fill fills the audit trail.
func (s *site) fill() {
	s.t.Helper()
	for from, all := 0, share(s.persons, 10); from < all; from += 1000 {
		s.check(s.store.Update(s.t.Context(), func(tx *store.Tx) error {
			for j := from; j < min(from+1000, all); j++ {
				partner, id := s.person(j)
				e := audit.Entry{
					Kind: audit.Done, At: toldAt.Add(time.Duration(j) * time.Second), Call: "POST /v1/deliveries/{id}/redeliver", Actor: "otto", Scope: "operator",
					Persons: []string{s.registry.PersonDigest(partner, id)},
				}
				if j%(all/few) == 0 {
					e.Actor, e.Call, e.Kind = "rare", "POST /v1/compact", audit.Refused
				}
				if _, err := audit.Append(tx, &e); err != nil {
					return err
				}
			}
			return nil
		}))
	}
}

// orphan takes the last endpoint out of the config.
func (s *site) orphan() {
	s.t.Helper()
	last := &s.partners[len(s.partners)-1]
	s.gone = last.Endpoints[0].ID
	last.Endpoints = nil
	s.check(s.registry.Configure(s.partners)) // it was read what is whose before: nothing is new
}

// signIn opens a session at the console.
func (s *site) signIn(token string) {
	s.t.Helper()
	req := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "http://127.0.0.1/console/sign-in", strings.NewReader(url.Values{"token": {"secret-" + token}}.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, req)
	cookies := w.Result().Cookies()
	if w.Code != http.StatusSeeOther || len(cookies) != 1 {
		s.t.Fatalf("sign in as %s: %d %s", token, w.Code, w.Body)
	}
	s.cookies[token] = cookies[0]
}

// visit asks for a page, without a socket, and says how long it took and how many records were
// looked at meanwhile, also by what goes on beside it.
func (s *site) visit(token, path string) (w *httptest.ResponseRecorder, took time.Duration, looks int64) {
	s.clock = s.clock.Add(3 * time.Second)
	req := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "http://127.0.0.1"+path, http.NoBody)
	req.AddCookie(s.cookies[token])
	w = httptest.NewRecorder()
	before, begun := s.records.Load(), time.Now()
	s.handler.ServeHTTP(w, req)
	return w, time.Since(begun), s.records.Load() - before
}

// places are cursors of a list: of a page in the middle, and of one near the end.
func (s *site) places(token, path string) (middle, last string) {
	s.t.Helper()
	const most = 6000
	var all []string
	for cursor := ""; len(all) < most; {
		a := s.call(token, "GET", path+"&limit=1000&cursor="+cursor, "")
		if a.code != http.StatusOK {
			s.t.Fatalf("%s: %d %s", path, a.code, a.body)
		}
		next, _ := a.json["next"].(string)
		if next == "" {
			break
		}
		cursor = next
		all = append(all, cursor)
	}
	if len(all) == 0 {
		return "", ""
	}
	return all[len(all)/2], all[len(all)-1]
}
