package confirm

import (
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"countersign/ingest/provider"
	"countersign/kyc"
)

const patience = 20 * time.Second // no passing test comes near it

// TestAnswered: whatever goes wrong first, a question is asked until it is answered, and its end
// and its answer are on disk together.
func TestAnswered(t *testing.T) {
	f := func(what string, o outcome, script ...func(http.ResponseWriter, *http.Request)) {
		t.Helper()
		d := newDesk(t)
		base, calls := server(t, append(script, says(200, "approved"))...)
		d.raise("src", provider.Fetch{Ref: "7", What: "thing"}, "claim-7")
		stop := d.run(Source{Name: "src", API: thin(), Base: base, Credentials: credentials(t), Rate: 1000, Timeout: 300 * time.Millisecond})
		d.eventually(what+": answered", func() bool { return len(d.questions()) == 0 && d.count("src", answered) == 1 })
		if n := d.count("src", o); n < 1 || int(calls.Load()) < len(script) {
			t.Errorf("%s: %s counted %v times, %d calls", what, o, n, calls.Load())
		}
		stop()
		if us := d.confirmations(); len(us) != 1 || us[0].Status != kyc.Approved || us[0].ID == "" || us[0].Source != "src" {
			t.Errorf("%s: confirmed %+v", what, us)
		}
	}
	f("at once", answered)
	f("still at work", unsettled, says(200, "busy"), says(200, "busy"))
	f("a server error", failing, says(500, ""), says(503, ""))
	f("not known yet", notFound, says(404, ""))
	f("no permission", refused, says(403, ""))
	f("an answer nobody understands", unusable, says(200, "<html>"))
	f("a redirect, which is not followed", failing, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) })
	f("an answer that says nothing", unusable, says(200, "nothing"))
	f("one that our adapter panics over", unusable, says(200, "panic"))
	f("an answer without end", unusable, says(200, strings.Repeat("x", maxAnswer+1)))
	f("a broken connection", unreachable, func(w http.ResponseWriter, _ *http.Request) {
		if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
			c.Close()
		}
	})
	f("a hanging one", unreachable, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
}

// TestRestart: a question and its tries survive; what was asked last is not asked before its time.
func TestRestart(t *testing.T) {
	d := newDesk(t)
	base, calls := server(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "600")
		w.WriteHeader(http.StatusTooManyRequests)
	}, says(200, "rejected"))
	src := Source{Name: "src", API: thin(), Base: base, Credentials: credentials(t), Rate: 1000}
	d.raise("src", provider.Fetch{Ref: "7", What: "thing"}, "claim")
	stop := d.run(src)
	d.eventually("it is told to wait", func() bool { qs := d.questions(); return len(qs) == 1 && qs[0].Tries == 1 })
	d.eventually("it is counted", func() bool { return d.count("src", limited) == 1 })
	if qs := d.questions(); qs[0].Due.Sub(d.now()) < 500*time.Second || qs[0].Error == "" {
		t.Errorf("%+v", qs)
	}
	stop()
	d.stop()
	d.open()
	t.Cleanup(func() { d.stop() })
	stop = d.run(src)
	other := d.journal.Asked()
	d.raise("src", provider.Fetch{Ref: "8", What: "thing"}, "other") // wakes it: it looks, and the first is not due
	<-other
	d.eventually("the other is answered", func() bool { return len(d.questions()) == 1 })
	if calls.Load() != 2 {
		t.Errorf("%d calls: the first was asked before its time", calls.Load())
	}
	stop()
	d.ahead.Add(int64(time.Hour))
	d.run(src)
	d.eventually("it is answered", func() bool { return len(d.questions()) == 0 })
	if us := d.confirmations(); len(us) != 2 {
		t.Errorf("%+v", us)
	}
}

// TestRaisedAgain: an answer closes only what it was asked about.
func TestRaisedAgain(t *testing.T) {
	d := newDesk(t)
	arrived, goOn := make(chan struct{}), make(chan struct{})
	base, _ := server(t, func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-goOn
		io.WriteString(w, "pending")
	}, says(200, "approved"))
	since := d.now()
	d.raise("src", provider.Fetch{Ref: "7", What: "thing"}, "first")
	stop := d.run(Source{Name: "src", API: thin(), Base: base, Credentials: credentials(t), Rate: 1000})
	<-arrived
	d.raise("src", provider.Fetch{Ref: "7", What: "thing"}, "second") // while the first is in flight
	if qs := d.questions(); len(qs) != 1 || qs[0].Claim != "second" || qs[0].Since.Sub(since) > time.Second {
		t.Errorf("%+v", qs)
	}
	close(goOn)
	d.eventually("both are answered", func() bool { return len(d.questions()) == 0 })
	stop()
	if us := d.confirmations(); len(us) != 2 || us[0].Status != kyc.Pending || us[1].Status != kyc.Approved {
		t.Errorf("%+v", us)
	}
}

// TestIsolation is I6: a provider that hangs, and a source without credentials, hold up nobody.
func TestIsolation(t *testing.T) {
	d := newDesk(t)
	hanging, _ := server(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	base, _ := server(t, says(200, "approved"))
	for i := range 20 {
		d.raise("hanging", provider.Fetch{Ref: string(rune('a' + i)), What: "thing"}, "h")
		d.raise("blind", provider.Fetch{Ref: string(rune('a' + i)), What: "thing"}, "b")
		d.raise("good", provider.Fetch{Ref: string(rune('a' + i)), What: "thing"}, "g")
	}
	stop := d.run(
		Source{Name: "hanging", API: thin(), Base: hanging, Credentials: credentials(t), Rate: 1000, Timeout: time.Minute},
		Source{Name: "blind", API: thin(), Base: base},
		Source{Name: "good", API: thin(), Base: base, Credentials: credentials(t), Rate: 1000},
	)
	d.eventually("the good one is through", func() bool { return d.count("good", answered) == 20 })
	d.eventually("the blind one has looked", func() bool { return d.count("blind", noCredentials) == 20 })
	stop()
	if qs := d.questions(); len(qs) != 40 || d.journal.OldestQuestion().IsZero() {
		t.Errorf("%d are open, want those of hanging and blind", len(qs))
	}
	d.run(Source{Name: "blind", API: thin(), Base: base, Credentials: credentials(t), Rate: 1000}) // it has been given credentials: it need not wait its hour out
	d.eventually("what was blind is asked", func() bool { return d.count("blind", answered) == 20 })
}

// TestToken: OAuth2 client credentials are exchanged once, and again when a token is not taken any
// more.
func TestToken(t *testing.T) {
	d := newDesk(t)
	var tokens, calls atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("POST /oauth2/token", func(w http.ResponseWriter, r *http.Request) {
		user, key, _ := r.BasicAuth()
		if user != "the-user" || key != "the-secret" || r.FormValue("grant_type") != "client_credentials" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if tokens.Add(1) == 1 {
			io.WriteString(w, `{"access_token":"first","expires_in":3600}`)
			return
		}
		io.WriteString(w, `{"access_token":"second","expires_in":3600}`)
	})
	mux.HandleFunc("GET /things/{ref}", func(w http.ResponseWriter, r *http.Request) {
		switch n := calls.Add(1); {
		case n <= 2 && r.Header.Get("Authorization") == "Bearer first", r.Header.Get("Authorization") == "Bearer second":
			io.WriteString(w, "approved")
		default:
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	api := thin()
	api.Authorize, api.TokenURL = nil, func(base string) string { return base + "/oauth2/token" }
	for _, ref := range []string{"a", "b", "c", "d"} {
		d.raise("src", provider.Fetch{Ref: ref, What: "thing"}, ref)
	}
	d.run(Source{Name: "src", API: api, Base: s.URL, Credentials: credentials(t), Rate: 1000})
	d.eventually("all are answered", func() bool { return len(d.questions()) == 0 })
	if tokens.Load() != 2 || d.count("src", refused) != 0 {
		t.Errorf("%d tokens, %v refused", tokens.Load(), d.count("src", refused))
	}
}

// TestDocumentedAPIs: every adapter with an API is asked over a real connection, by a server that
// speaks as the provider's page says, and its answer is read.
func TestDocumentedAPIs(t *testing.T) {
	asked := 0
	for _, a := range provider.All {
		if a.API == nil {
			continue
		}
		files, err := filepath.Glob(filepath.Join("..", "provider", "testdata", a.Name, "api", "*.txtar"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no conversations: %v", a.Name, err)
		}
		for _, file := range files {
			t.Run(a.Name+"/"+strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { converse(t, a, read(t, file)) })
			asked++
		}
	}
	if asked == 0 {
		t.Error("no adapter has an API")
	}
}

// converse has one documented conversation: the server takes exactly the documented calls, in their
// order.
func converse(t *testing.T, a provider.Adapter, talk conversation) {
	t.Helper()
	d := newDesk(t)
	d.first = time.Hour // one conversation, once
	var at atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.API.TokenURL != nil && strings.HasSuffix(a.API.TokenURL("http://x"), r.URL.Path) {
			io.WriteString(w, `{"access_token":"bearer","expires_in":3600}`)
			return
		}
		n := int(at.Add(1)) - 1
		if n >= len(talk.calls) || r.Method != talk.calls[n].Method || r.URL.RequestURI() != talk.calls[n].Path || a.API.TokenURL != nil && r.Header.Get("Authorization") != "Bearer bearer" {
			t.Errorf("call %d: %s %s", n+1, r.Method, r.URL.RequestURI())
			w.WriteHeader(http.StatusTeapot)
			return
		}
		w.Write(talk.answers[n])
	}))
	t.Cleanup(s.Close)
	d.raise("src", talk.q, "claim")
	stop := d.run(Source{Name: "src", API: a.API, Options: talk.options, Base: s.URL, Credentials: credentials(t), Live: talk.want.Livemode, Rate: 1000})
	tried := func() bool {
		qs := d.questions()
		return len(qs) == 0 || qs[0].Tries > 0
	}
	d.eventually("it was asked", tried)
	stop()
	us, qs := d.confirmations(), d.questions()
	if keeps := talk.want.KeepBody || talk.want.Error != "" && at.Load() > 0; (d.journal.Quarantined() == 1) != keeps {
		t.Errorf("%d answers are kept, want one: %v", d.journal.Quarantined(), keeps)
	}
	if talk.want.Error != "" || talk.want.Unsettled || strings.Contains(talk.want.Ignored, "fault") {
		if len(qs) != 1 {
			t.Errorf("it was closed: %+v", us)
		}
		return
	}
	if len(qs) != 0 || len(us) != len(talk.want.Updates) {
		t.Fatalf("open %+v, appended %+v, want %d updates", qs, us, len(talk.want.Updates))
	}
	for i, u := range us {
		if u.Status != talk.want.Updates[i].Status || u.Check != talk.want.Updates[i].Check {
			t.Errorf("update %d: %s %s, want %+v", i, u.Check, u.Status, talk.want.Updates[i])
		}
	}
}
