package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"countersign/ingest"
	"countersign/ingest/provider"
	"countersign/kyc"
	"countersign/kyc/truth"
	"countersign/relay"
	"countersign/signing"
)

// story is one person's, told in days after t0: what is said, and the webhooks that it owes.
type story struct {
	*stage
	performance
	callbacks int
	last      []said // said
}

var (
	sumsubID  = truth.Key{Source: "sumsub", Type: "identity_verification", Overall: true}
	personaID = truth.Key{Source: "persona", Type: "identity_verification", Overall: true}
	amlScreen = truth.Key{Source: "aml", Type: "screening", Overall: true}

	identity = kyc.Policy{Required: []kyc.Check{kyc.IdentityVerification}}
	screened = kyc.Policy{Required: []kyc.Check{kyc.IdentityVerification, kyc.Screening}}
	papers   = kyc.Policy{Required: []kyc.Check{kyc.DocumentVerification, kyc.AddressVerification}}
)

const daily = scale(24 * time.Hour)

// stories are what partners must be told; statuses are the kyc.status changes by themselves, as
// they stand in the table too.
var stories = []struct {
	title    string
	policy   kyc.Policy
	statuses string
	tell     func(*story)
}{
	{"an approval and a hit in one callback", identity, "rejected", func(s *story) {
		s.says(1, word(sumsubID, "a", 1, truth.Approved), word(amlOf("sumsub"), "a", 1, truth.RejectedTerminal, "sanctions_match"))
	}},
	{"an approval and a possible hit in one callback", identity, "in_review", func(s *story) {
		s.says(1, word(sumsubID, "a", 1, truth.Approved), word(amlOf("sumsub"), "a", 1, truth.InReview, "pep_match"))
	}},
	{"three words in one callback after an approval", identity, "approved rejected", func(s *story) {
		s.says(1, word(sumsubID, "a", 1, truth.Approved))
		s.says(2, word(sumsubID, "b", 2, truth.Pending), word(sumsubID, "b", 2, truth.Approved), word(sumsubID, "b", 2.1, truth.RejectedTerminal, "fraud_suspected"))
	}},
	{"an approval that is over when it is learnt", identity, "expired", func(s *story) {
		s.says(30, until(word(sumsubID, "a", 1, truth.Approved), 20))
	}},
	{"one that the policy has ended when it is learnt", identity, "expired", func(s *story) {
		s.says(400, word(sumsubID, "a", 1, truth.Approved))
	}},
	{"a policy that shortens validity", identity, "approved expired", func(s *story) {
		s.says(1, word(sumsubID, "a", 1, truth.Approved))
		s.goes(200)
		s.adopts(kyc.Policy{Required: identity.Required, ValidityMonths: 6})
	}},
	{"a policy that shortens validity and leaves some", identity, "approved approved expiring expired", func(s *story) {
		s.says(1, word(sumsubID, "a", 1, truth.Approved))
		s.goes(150)
		s.adopts(kyc.Policy{Required: identity.Required, ValidityMonths: 6})
		s.goes(200)
	}},
	{"a policy's months where the provider gives no date", kyc.Policy{Required: identity.Required, ValidityMonths: 1}, "approved expiring expired", func(s *story) {
		s.says(1, word(sumsubID, "a", 1, truth.Approved))
		s.goes(40)
	}},
	{"a provider's notice before ours", identity, "approved expiring expired", func(s *story) {
		s.says(1, until(word(sumsubID, "a", 1, truth.Approved), 30))
		s.says(20, noticed(until(word(sumsubID, "a", 1, truth.Approved), 30)))
		s.goes(31)
	}},
	{"a provider's notice after ours", identity, "approved expiring expired", func(s *story) {
		s.says(1, until(word(sumsubID, "a", 1, truth.Approved), 30))
		s.says(25, noticed(until(word(sumsubID, "a", 1, truth.Approved), 30)))
		s.goes(31)
	}},
	{"the ends of two sources: the person's is the later", identity, "approved approved expiring expired", func(s *story) {
		s.says(1, until(word(sumsubID, "a", 1, truth.Approved), 30))
		s.says(2, until(word(personaID, "a", 2, truth.Approved), 60))
		s.says(22, noticed(until(word(sumsubID, "a", 1, truth.Approved), 30)))
		s.goes(61)
	}},
	{"the boundary day while a new attempt is under way", identity, "approved expiring expired approved", func(s *story) {
		s.says(1, until(word(sumsubID, "a", 1, truth.Approved), 30))
		s.says(29, word(sumsubID, "b", 29, truth.Pending))
		s.goes(30)
		s.says(31, word(sumsubID, "b", 31, truth.Approved))
	}},
	{"a screening clearance stays when the identity's months are over", screened, "pending approved expiring expired approved", func(s *story) {
		s.says(1, word(sumsubID, "a", 1, truth.Approved))
		s.says(2, word(amlScreen, "s", 2, truth.Approved))
		s.goes(370)
		s.says(371, word(sumsubID, "b", 371, truth.Approved))
	}},
	{"unless the policy names months for it", kyc.Policy{Required: screened.Required, Validity: map[kyc.Check]int{kyc.Screening: 1}}, "pending approved expiring expired approved", func(s *story) {
		s.says(1, word(sumsubID, "a", 1, truth.Approved))
		s.says(2, word(amlScreen, "s", 2, truth.Approved))
		s.goes(40)
		s.says(41, word(amlScreen, "t", 41, truth.Approved))
	}},
	{"a hit that the provider calls retryable", identity, "approved rejected", func(s *story) {
		s.says(1, word(sumsubID, "a", 1, truth.Approved))
		s.says(2, word(sumsubID, "a", 2, truth.Rejected, "sanctions_match"))
		s.says(3, word(sumsubID, "b", 3, truth.Pending))
		s.says(4, word(sumsubID, "b", 4, truth.Approved))
	}},
	{"a hit, and its release", identity, "approved rejected approved", func(s *story) {
		s.says(1, word(sumsubID, "a", 1, truth.Approved))
		s.says(2, word(amlScreen, "s", 2, truth.Rejected, "pep_match"))
		s.says(3, operator(word(amlScreen, "", 3, truth.NotStarted)))
	}},
	{"a second failed try with the same reason", identity, "rejected rejected rejected", func(s *story) {
		s.says(1, attempt(word(sumsubID, "a", 1, truth.Rejected, "document_unreadable"), "1"))
		s.again()
		s.says(2, attempt(word(sumsubID, "a", 2, truth.Rejected, "document_unreadable"), "1")) // said once more of the same try
		s.says(3, attempt(word(sumsubID, "a", 3, truth.Rejected, "document_unreadable"), "2"))
		s.says(4, attempt(word(sumsubID, "b", 4, truth.Rejected, "document_unreadable"), "1"))
		s.again()
	}},
	{"somebody called . and somebody called ..", identity, "approved", func(s *story) {
		about := s.about
		for _, id := range []string{".", ".."} {
			s.about, s.seen = strings.TrimSuffix(about, "ann")+id, 0
			s.says(1, word(sumsubID, "a", 1, truth.Approved))
			lastStatus(s.stage, s.about, s.post.told(s.about)) // polls
		}
	}},
	{"a registered submission", identity, "pending approved", func(s *story) {
		s.says(1, said{Update: truth.Update{Key: sumsubID, Session: "a", Status: truth.Pending, Submission: true}})
		s.says(2, word(sumsubID, "a", 2, truth.NotStarted))
		s.says(3, word(sumsubID, "a", 3, truth.Approved))
	}},
	{"attempts used up, and a new request", identity, "rejected pending approved", func(s *story) {
		s.says(1, word(sumsubID, "r", 1, truth.RejectedTerminal, "attempts_exceeded"))
		s.says(2, word(sumsubID, "s", 2, truth.Pending))
		s.says(3, word(sumsubID, "s", 3, truth.Approved))
	}},
	{"suspended, and lifted by the provider", identity, "approved suspended approved", func(s *story) {
		s.says(1, word(sumsubID, "a", 1, truth.Approved))
		s.says(2, word(sumsubID, "a", 2, truth.Suspended))
		s.says(3, lifts(word(sumsubID, "a", 3, truth.NotStarted)))
	}},
	{"an unsigned rejection that the provider does not confirm", identity, "approved in_review approved", func(s *story) {
		s.says(1, word(sumsubID, "a", 1, truth.Approved))
		s.says(2, weak(word(sumsubID, "a", 2, truth.RejectedTerminal, "fraud_suspected")))
		s.says(2.1, answers(word(sumsubID, "a", 1, truth.Approved)))
	}},
	{"an unsigned rejection that the provider confirms", identity, "approved in_review rejected", func(s *story) {
		s.says(1, word(sumsubID, "a", 1, truth.Approved))
		s.says(2, weak(word(sumsubID, "a", 2, truth.RejectedTerminal, "fraud_suspected")))
		s.says(2.1, answers(word(sumsubID, "a", 2, truth.RejectedTerminal, "fraud_suspected")))
	}},
	{"an unsigned expiry", identity, "approved in_review approved", func(s *story) {
		s.says(1, word(sumsubID, "a", 1, truth.Approved))
		s.says(2, weak(word(sumsubID, "a", 2, truth.Expired)))
		s.says(3, word(personaID, "a", 3, truth.Approved))
	}},
	{"the sandbox forces any outcome over a hit", screened, "rejected approved in_review rejected suspended pending not_started expired approved", func(s *story) {
		s.says(1, word(sumsubID, "a", 1, truth.RejectedTerminal, "sanctions_match"))
		for _, to := range []kyc.Status{kyc.Approved, kyc.InReview, kyc.Rejected, kyc.Suspended, kyc.Pending, kyc.NotStarted, kyc.Expired, kyc.Approved} {
			s.simulates(to)
		}
	}},
	{"Rebilly: a credit file fulfils a request for documents", papers, "pending approved", func(s *story) {
		s.rebilly("attempted", "req_1", 1)
		s.rebilly("fulfilled", "req_1", 2)
	}},
	{"Rebilly: a failed request, then a new one", identity, "pending rejected pending", func(s *story) {
		s.rebilly("attempted", "req_1", 1)
		s.rebilly("failed", "req_1", 2)
		s.rebilly("attempted", "req_2", 3)
	}},
}

// TestStories tells each story over HTTP and compares the webhooks with the table; UPDATE_GOLDEN=1
// writes it.
func TestStories(t *testing.T) {
	var table strings.Builder
	for i, st := range stories {
		t.Run(st.title, func(t *testing.T) {
			partner := fmt.Sprintf("story%02d", i+1)
			rebilly, _ := provider.ByName("rebilly")
			s := &story{stage: newStage(t, []string{"sumsub", "persona", "aml"}, map[string]kyc.Policy{partner: st.policy}, ingest.Source{
				Name: "rebilly", Adapter: rebilly, Keys: signing.Keyring{rebillyKey}, PartnerFrom: "subject_prefix", Evidence: kyc.Authenticated, MaxBody: 1 << 20,
			})}
			s.about, s.scale, s.Name = partner+":ann", daily, st.title
			for _, c := range st.policy.Required {
				s.policy.Required = append(s.policy.Required, string(c))
			}
			st.tell(s)
			got := s.post.told(s.about)
			lastStatus(s.stage, s.about, got)
			var statuses []string
			for i := range got {
				if word, ok := strings.CutPrefix(got[i].Type, "kyc.status."); ok {
					statuses = append(statuses, word)
				}
			}
			if told := strings.Join(statuses, " "); told != st.statuses {
				t.Errorf("told %s, want %s", told, st.statuses)
			}
			table.WriteString(s.block())
		})
	}
	compareGolden(t, "stories.golden", table.String())
}

// word is one that is said when it happens.
func word(k truth.Key, run string, day float64, st truth.Status, reasons ...string) said {
	return said{Update: truth.Update{ID: fmt.Sprint(k, run, day, st), Key: k, Session: run, At: onDay(day), Status: st, Reasons: reasons}}
}

func onDay(day float64) time.Time { return t0.Add(time.Duration(day * float64(daily))) }

func amlOf(source string) truth.Key    { return truth.Key{Source: source, Type: "screening"} }
func until(w said, day float64) said   { w.Expires = onDay(day); return w }
func noticed(w said) said              { w.Notice = true; return w }
func operator(w said) said             { w.Operator = true; return w }
func attempt(w said, name string) said { w.Try = name; return w }
func weak(w said) said                 { w.Weak = true; return w }
func answers(w said) said              { w.Confirms = true; return w }
func lifts(w said) said                { w.Lifts, w.Mute = true, true; return w }

// goes lets time pass.
func (s *story) goes(day float64) {
	s.goOn(onDay(day), func(at time.Time) { s.look([]*performance{&s.performance}, at) })
}

// says is one callback, decision or submission on a day.
func (s *story) says(day float64, ws ...said) {
	s.t.Helper()
	s.goes(day)
	s.callbacks++
	for i := range ws {
		line := ws[i].line(daily, onDay(day))
		if i > 0 {
			line = strings.Repeat(" ", strings.Index(line, " ")) + line[strings.Index(line, " "):]
		}
		s.lines = append(s.lines, line)
	}
	s.last = ws
	s.say(s.about, fmt.Sprint("callback ", s.callbacks), ws...)
	s.heard()
}

// again sends the last callback once more.
func (s *story) again() {
	s.t.Helper()
	s.lines = append(s.lines, daily.when(s.clock.now())+" the same callback once more")
	s.say(s.about, fmt.Sprint("callback ", s.callbacks), s.last...)
	s.heard()
}

// heard waits for what has been said to be told.
func (s *story) heard() {
	s.t.Helper()
	s.settled()
	s.look([]*performance{&s.performance}, time.Time{})
}

// adopts makes another policy the partner's, and applies it: the plan must have said what is then
// told.
func (s *story) adopts(p kyc.Policy) {
	s.t.Helper()
	partner, _, _ := strings.Cut(s.about, ":")
	s.play(map[string]kyc.Policy{partner: p})
	var plan relay.PolicyPlan
	eventually(s.t, "the policy is registered", func() bool {
		var err error
		plan, err = s.relay.PlanPolicy(s.t.Context(), partner)
		return err == nil && plan.Version == 2
	})
	done, err := s.relay.ApplyPolicy(s.t.Context(), partner, "ops")
	s.must(err)
	s.lines = append(s.lines, fmt.Sprintf("%s a policy of %d months is applied", daily.when(s.clock.now()), p.ValidityMonths))
	before := len(s.post.told(s.about))
	s.heard()
	tells := map[string]int{}
	for _, h := range s.post.told(s.about)[before:] {
		tells[h.Type]++
	}
	if delete(tells, "kyc.status.expiring"); !maps.Equal(tells, plan.Tells) || !maps.Equal(tells, done.Tells) {
		s.t.Errorf("the plan was %v, applying it said %v, and told is %v", plan.Tells, done.Tells, tells)
	}
}

// simulates is the sandbox's helper.
func (s *story) simulates(to kyc.Status) {
	s.t.Helper()
	partner, id, _ := strings.Cut(s.about, ":")
	s.callbacks++
	s.clock.set(s.clock.now().Add(time.Hour))
	out, err := s.relay.Simulate(s.t.Context(), relay.Simulation{Partner: partner, Subject: id, Kind: kyc.Individual, Status: to})
	if err != nil || out.Status != to {
		s.t.Errorf("simulating %s answers %s: %v", to, out.Status, err)
	}
	s.lines = append(s.lines, daily.when(s.clock.now())+" the sandbox says "+string(to))
	s.heard()
}

var rebillyKey = func() signing.Key {
	k, err := signing.ParseKey("countersign:basic-canary-long-enough")
	if err != nil {
		panic(err)
	}
	return k
}()

// rebilly is a callback about a request for a credit file or, in its place, documents.
// https://www.rebilly.com/docs/dev-docs/api/all
func (s *story) rebilly(status, request string, day float64) {
	s.t.Helper()
	s.goes(day)
	type object map[string]any
	r := object{"id": request, "customerId": "cus_1", "status": status, "revision": int(day), "updatedTime": onDay(day), "expirationTime": onDay(day + 30)}
	if status != "failed" {
		r["documents"] = []object{{"type": "credit-file-proof", "maxAttempts": 1}, {"type": "identity-proof"}, {"type": "address-proof"}}
	}
	customer := object{"id": "cus_1", "primaryAddress": object{"country": "CA"}, "customFields": object{"externalId": s.about}}
	body, err := json.Marshal(object{"eventType": "kyc-request-" + status, "customerId": "cus_1", "kycRequestId": request, "_links": []int{}, "_embedded": object{"customer": customer, "kycRequest": r}})
	s.must(err)
	s.lines = append(s.lines, fmt.Sprintf("%s rebilly: kyc-request-%s %s", daily.when(onDay(day)), status, request))
	s.send(door{Ingress: s.strong.Ingress, scheme: signing.Static{Scheme: signing.Basic}, key: rebillyKey}, "rebilly", body)
	s.heard()
}
