package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/ingest/provider"
	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

const hostileText = `<script>alert("canary-of-a-name")</script>`

// reviewed is a gateway of which much waits for a person, and what its partner was posted.
type reviewed struct {
	*browsing
	log *safeBuffer
	dir string

	mu   sync.Mutex // guards wire
	wire map[string][]byte
}

// safeBuffer is a log that several write to.
type safeBuffer struct {
	mu sync.Mutex // guards b
	b  strings.Builder
}

// Write implements io.Writer.
func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newReviewed(t *testing.T) *reviewed {
	t.Helper()
	r := &reviewed{log: &safeBuffer{}, dir: t.TempDir(), wire: map[string][]byte{}}
	partner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.keep(req)
		if req.URL.Path == "/down" {
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	t.Cleanup(partner.Close)
	write(t, r.dir, "sumsub.key", "sumsub-secret-canary")
	write(t, r.dir, "acme.key", acmeKey)
	write(t, r.dir, "path.token", pathToken)
	config := write(t, r.dir, "countersign.yaml", fmt.Sprintf(`mode: sandbox
data: %s/data
listen: {callbacks: %s, control: %s}
sources:
  - {name: sumsub-eu, provider: sumsub, keys: [file:sumsub.key], partner: acme}
  - {name: by-ref, provider: sumsub, keys: [file:sumsub.key], partner_from: submission}
  - {name: by-prefix, provider: sumsub, keys: [file:sumsub.key], partner_from: subject_prefix}
  - {name: jumio, provider: jumio, token: file:path.token, partner: acme}
partners:
  - id: acme
    endpoints:
      - {id: acme-main, url: %[4]q, keys: [file:acme.key]}
      - {id: acme-flat, url: %[5]q, format: blendfi, keys: [file:acme.key]}
      - {id: acme-v1, url: %[6]q, format: blendfi-v1, keys: [file:acme.key]}
      - {id: acme-down, url: %[7]q, keys: [file:acme.key], retry: {first: 10ms, factor: 1, max: 10ms, attempts: 2}}
`, r.dir, freeAddr(t), freeAddr(t), partner.URL+"/main", partner.URL+"/flat", partner.URL+"/v1", partner.URL+"/down"))
	cfg, problems := loadConfig(config, func(string) (string, bool) { return "", false }, knownNames())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	g, err := newGateway(cfg, roleAll, slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})), &strings.Builder{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.close(); err != nil {
			t.Error(err)
		}
	})
	r.browsing = browse(t, g)
	return r
}

// keep keeps a delivery as it came: headers, an empty line, the body.
func (r *reviewed) keep(req *http.Request) {
	var b strings.Builder
	req.Header.Write(&b)
	b.WriteString("\r\n")
	body := make([]byte, req.ContentLength)
	for n := 0; n < len(body); {
		m, err := req.Body.Read(body[n:])
		if n += m; err != nil {
			break
		}
	}
	b.Write(body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wire[strings.TrimPrefix(req.URL.Path, "/")] = []byte(b.String())
}

func (r *reviewed) sent(to string) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.wire[to]
}

// step goes the two steps of a change: the page that says what it does, and its form.
func (s *surfer) take(path string, query url.Values, fields ...string) paged {
	s.b.t.Helper()
	page := s.get(path + "?" + query.Encode())
	if page.code != http.StatusOK || !strings.Contains(page.body, "What this does") {
		s.b.t.Fatalf("%s: %d\n%s", path, page.code, page.body)
	}
	form := page.fields(s.b.t, path)
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return s.ask(http.MethodPost, path, form)
}

// changed fails unless a change was made, and says what was said of it on the next page.
func (s *surfer) changed(a paged, says string) {
	s.b.t.Helper()
	if a.code != http.StatusSeeOther {
		s.b.t.Fatalf("%d\n%s", a.code, a.body)
	}
	if page := s.get(a.header.Get("Location")); page.code != 200 || !strings.Contains(page.body, says) {
		s.b.t.Errorf("%d, want %q in\n%s", page.code, says, page.body)
	}
}

func (s *surfer) shows(path string, words ...string) paged {
	s.b.t.Helper()
	page := s.get(path)
	if page.code != 200 {
		s.b.t.Fatalf("%s: %d\n%s", path, page.code, page.body)
	}
	for _, w := range words {
		if !strings.Contains(page.body, w) {
			s.b.t.Errorf("%s does not say %q:\n%s", path, w, page.body)
		}
	}
	return page
}

// TestConsoleQuarantine: what is in quarantine is shown without its body, which only a form shows,
// and that is in the audit trail; it is released and discarded in two steps, with a reason.
func TestConsoleQuarantine(t *testing.T) {
	r := newReviewed(t)
	r.post(0, []byte(`{"applicantId":"applicant-1","type":`+hostileText))
	r.sayAt(2, "beta:user-9", "approved", time.Now())
	viewer, operator := r.signedIn("viewer"), r.signedIn("operator")
	list := viewer.shows("/console/quarantine", "could not read it", "names no partner", "sumsub-eu")
	if strings.Contains(list.body, "/console/quarantine/body") {
		t.Error("a viewer is led to a body")
	}
	bodies, err := r.admin.ListQuarantine(t.Context(), client.Page{})
	if err != nil || len(bodies.Data) != 2 {
		t.Fatal(bodies, err)
	}
	cut, ours := bodies.Data[0], bodies.Data[1]
	if cut.Reason != "unreadable" {
		cut, ours = ours, cut
	}
	id := func(i string) url.Values { return url.Values{"id": {i}} }
	if a := viewer.get("/console/quarantine/body?id=" + cut.ID); a.code != http.StatusForbidden {
		t.Errorf("a viewer sees what a callback says: %d", a.code)
	}
	page := operator.shows("/console/quarantine/body?id="+cut.ID, "A release would change nothing", "Show the body")
	if strings.Contains(page.body, "canary-of-a-name") || strings.Contains(page.body, "/console/quarantine/release") {
		t.Error("the page has the body, or offers what would be refused")
	}
	if n := r.audited("GET /v1/quarantine/{id}"); n != 0 {
		t.Errorf("the body was opened %d times before anybody asked for it", n)
	}
	open := operator.ask(http.MethodPost, "/console/quarantine/body", page.fields(t, "/console/quarantine/body"))
	if open.code != 200 || !strings.Contains(open.body, "canary-of-a-name") || strings.Contains(open.body, "<script>alert") {
		t.Errorf("the body is not shown, or as what it is not: %d\n%s", open.code, open.body)
	}
	if n := r.audited("GET /v1/quarantine/{id}"); n != 1 {
		t.Errorf("that the body was shown appears %d times in the audit trail", n)
	}
	operator.shows("/console/quarantine/body?id="+ours.ID, "A release would change nothing")
	if _, err := r.admin.CreatePartner(t.Context(), "", api.Fields{"id": "beta"}); err != nil {
		t.Fatal(err)
	}
	operator.shows("/console/quarantine/body?id="+ours.ID, "user-9", "approved", "/console/quarantine/release?id="+ours.ID)
	if a := operator.post("/console/quarantine/release", "id", ours.ID, "reason", "x"); a.code != http.StatusForbidden {
		t.Errorf("a form of nobody's releases: %d", a.code)
	}
	if a := operator.take("/console/quarantine/release", id(ours.ID), "reason", " "); a.code != http.StatusBadRequest || !strings.Contains(a.body, "Give a reason.") {
		t.Errorf("without a reason: %d\n%s", a.code, a.body)
	}
	if a := viewer.get("/console/quarantine/release?id=" + ours.ID); a.code != http.StatusForbidden {
		t.Errorf("a viewer may release: %d", a.code)
	}
	if l, err := r.admin.ListQuarantine(t.Context(), client.Page{}); err != nil || len(l.Data) != 2 {
		t.Fatal("released too early", l, err)
	}
	operator.changed(operator.take("/console/quarantine/release", id(ours.ID), "reason", "beta is there now, T-1"), "1 update is applied")
	eventually(t, "user-9 is approved", func() bool {
		u, err := r.admin.User(t.Context(), "beta", "user-9", nil)
		return err == nil && u.Status == "approved"
	})
	operator.changed(operator.take("/console/quarantine/discard", id(cut.ID), "reason", "cut by a proxy, T-2"), "is discarded")
	viewer.shows("/console/quarantine", "Nothing is in quarantine.")
	viewer.shows("/console/audit", "beta is there now, T-1", "cut by a proxy, T-2", "a-operator", "POST /v1/quarantine/{id}/release")
	viewer.shows("/console/audit?actor=a-operator&outcome=false&call=release", "No entry")
	verified := viewer.shows("/console/audit/verify", "sound", "Head, to note")
	_, head, _ := strings.Cut(verified.body, `large-hash">`)
	head, _, _ = strings.Cut(head, "<")
	viewer.shows("/console/audit/verify?head="+url.QueryEscape(head), "a part of this trail")
	viewer.shows("/console/audit/verify?head="+url.QueryEscape("1:"+strings.Repeat("0", 64)), "not in this trail")
	if strings.Contains(r.log.String(), "canary") {
		t.Error("the log names what a body says")
	}
}

// audited counts the entries of a call that was made.
func (r *reviewed) audited(call string) (n int) {
	r.t.Helper()
	l, err := r.admin.ListAudit(r.t.Context(), client.Page{Limit: 1000}, client.Span{})
	if err != nil {
		r.t.Fatal(err)
	}
	for i := range l.Data {
		if l.Data[i].Call == call {
			n++
		}
	}
	return n
}

// TestConsoleUnrouted: a record that waits is given to its person, taken back and discarded, and a
// contested ref is decided, each in two steps.
func TestConsoleUnrouted(t *testing.T) {
	r := newReviewed(t)
	operator, viewer := r.signedIn("operator"), r.signedIn("viewer")
	body, err := provider.Sample("sumsub", "approved", provider.SampleVars{Subject: "nobody", ProviderRef: "applicant-4", EventID: "event-4", At: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	r.post(1, body)
	record := ""
	eventually(t, "a record waits", func() bool {
		l, err := r.admin.ListHeld(t.Context(), client.Page{})
		if err == nil && len(l.Data) == 1 {
			record = l.Data[0].ID
		}
		return record != ""
	})
	if page := viewer.shows("/console/unrouted", "applicant-4", "by-ref"); strings.Contains(page.body, "/console/unrouted/release") {
		t.Error("a viewer is led to what it may not do")
	}
	operator.shows("/console/unrouted", "/console/unrouted/release?id="+record)
	id := url.Values{"id": {record}}
	operator.changed(operator.take("/console/unrouted/release", id, "partner", "acme", "subject", "user-5", "reason", "their dashboard, T-3"), "is given to user-5 of acme")
	eventually(t, "user-5 is approved", func() bool {
		u, err := r.admin.User(t.Context(), "acme", "user-5", nil)
		return err == nil && u.Status == "approved"
	})
	if a := operator.take("/console/unrouted/take-back", nil, "id", "unrouted_0000000000000099", "reason", "r"); a.code != http.StatusNotFound || !strings.Contains(a.body, `role="alert"`) {
		t.Errorf("a record that is not: %d\n%s", a.code, a.body)
	}
	operator.changed(operator.take("/console/unrouted/take-back", nil, "id", record, "reason", "it is somebody else's, T-4"), "is taken back from user-5 of acme")
	eventually(t, "it waits again", func() bool {
		l, err := r.admin.ListHeld(t.Context(), client.Page{})
		return err == nil && len(l.Data) > 0
	})
	again, err := r.admin.ListHeld(t.Context(), client.Page{})
	if err != nil {
		t.Fatal(err)
	}
	operator.changed(operator.take("/console/unrouted/discard", url.Values{"id": {again.Data[0].ID}}, "reason", "T-5"), "The record is discarded.")
	eventually(t, "no record waits", func() bool { return strings.Contains(viewer.get("/console/unrouted").body, "No record waits") })

	for _, subject := range []string{"user-6", "user-7"} { // the second is refused, unless it comes before the first has been looked at
		_, err := r.admin.Submit(t.Context(), api.SubmissionAsk{Partner: "acme", Subject: subject, Source: "by-ref", ProviderRef: "applicant-8"})
		if err != nil && !client.Is(err, "ref_taken") {
			t.Fatal(err)
		}
	}
	eventually(t, "both claim it", func() bool {
		l, err := r.admin.ListConflicts(t.Context(), client.Page{})
		return err == nil && len(l.Data) == 1 && len(l.Data[0].Claims) == 2
	})
	page := operator.shows("/console/refs", "applicant-8", "user-6", "user-7", "/console/refs/settle")
	settle := url.Values{"source": {"by-ref"}, "ref": {"applicant-8"}, "livemode": {"false"}, "partner": {"acme"}, "subject": {"user-7"}}
	if !strings.Contains(page.body, "subject=user-7") {
		t.Error("no link decides for user-7")
	}
	operator.changed(operator.take("/console/refs/settle", settle, "partner", "acme", "subject", "user-7", "reason", "T-6"), "is now of user-7 of acme")
	eventually(t, "no ref is contested", func() bool { return strings.Contains(viewer.get("/console/refs").body, "No ref is contested.") })
}

// TestConsoleQuestionsAndWithheld: questions are closed, one or old ones, and a withheld rejection
// is acknowledged, each in two steps.
func TestConsoleQuestionsAndWithheld(t *testing.T) {
	r := newReviewed(t)
	operator, viewer := r.signedIn("operator"), r.signedIn("viewer")
	for n := range 3 {
		body, err := provider.Sample("jumio", "processed", provider.SampleVars{Subject: fmt.Sprint("user-", n), ProviderRef: fmt.Sprint("account-", n), SessionRef: fmt.Sprint("workflow-", n), At: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		c := posted{path: "/v1/callbacks/jumio/" + pathToken, h: http.Header{}, body: body}
		if code := c.send(t, "http://"+r.callbackAddr()); code != http.StatusOK {
			t.Fatal(code)
		}
	}
	var one string
	eventually(t, "three questions are open", func() bool {
		l, err := r.admin.ListQuestions(t.Context(), client.Page{})
		if err != nil || len(l.Data) != 3 {
			return false
		}
		one = l.Data[0].ID
		return true
	})
	if page := viewer.shows("/console/questions", "jumio", "workflow-1"); strings.Contains(page.body, "close") {
		t.Error("a viewer is led to what it may not do")
	}
	operator.changed(operator.take("/console/questions/close", url.Values{"id": {one}}), "The question is closed.")
	old := url.Values{"source": {"jumio"}, "older": {"0s"}, "all": {"true"}}
	if page := operator.shows("/console/questions/close-old?"+old.Encode(), "2 questions are closed"); !strings.Contains(page.body, "Close 2 questions") {
		t.Error("no button closes them")
	}
	if page := operator.shows("/console/questions/close-old?source=jumio&older=240h", "There are no such questions."); strings.Contains(page.body, "<button class=\"danger\"") {
		t.Error("a button closes nothing")
	}
	if a := operator.get("/console/questions/close-old?source=jumio&older=soon"); a.code != http.StatusBadRequest {
		t.Errorf("an age that is none: %d", a.code)
	}
	operator.changed(operator.take("/console/questions/close-old", old), "2 questions are closed.")
	viewer.shows("/console/questions", "No question is open.")

	r.say("user-20", "rejected_final", time.Now())
	var withheld api.Withheld
	eventually(t, "acme-down was not told of a rejection", func() bool {
		l, err := r.admin.ListWithheld(t.Context(), client.Page{}, "acme-down", false)
		if err == nil && len(l.Data) == 1 && l.Data[0].Dead != "" {
			withheld = l.Data[0]
		}
		return withheld.ID != ""
	})
	viewer.shows("/console/withheld?endpoint=acme-down", "user-20", "dead-lettered", "/console/person?livemode=false&amp;partner=acme&amp;subject=user-20")
	operator.changed(operator.take("/console/withheld/acknowledge", url.Values{"id": {withheld.ID}}, "reason", "told by telephone, T-7"), "is acknowledged")
	viewer.shows("/console/withheld?endpoint=acme-down", "No rejection is withheld.")
	viewer.shows("/console/withheld?endpoint=acme-down&acknowledged=true", "told by telephone, T-7", "a-operator")
	if a := r.signedIn("partner").get("/console/withheld"); a.code != http.StatusForbidden {
		t.Errorf("a partner sees what is withheld: %d", a.code)
	}
}
