package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"countersign/relay/control/api"
)

// forgotten is how the person of this test is called, and otherRef what a provider calls them.
const (
	forgotten = "user-Qwzxv/é&7"
	otherRef  = "ref-Qwzxv-<one>"
)

// echo is a partner whose endpoint answers what it was sent: /bad with 500, /good with 200.
func echo(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path != "/good" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		io.Copy(w, r.Body)
	})}
	go srv.Serve(ln)
	t.Cleanup(func() { srv.Close() })
	return "http://" + ln.Addr().String()
}

// spellings are how a text may stand in JSON, in a URL, in HTML and in a file.
func spellings(word string) (all []string) {
	quoted, _ := json.Marshal(word)
	var plain bytes.Buffer
	enc := json.NewEncoder(&plain)
	enc.SetEscapeHTML(false)
	enc.Encode(word)
	return []string{word, strings.Trim(string(quoted), `"`), strings.Trim(strings.TrimSpace(plain.String()), `"`), url.PathEscape(word), url.QueryEscape(word), "Qwzxv"}
}

// names says whether a text names the person.
func names(b []byte) bool {
	for _, word := range []string{forgotten, otherRef} {
		for _, s := range spellings(word) {
			if bytes.Contains(b, []byte(s)) {
				return true
			}
		}
	}
	return false
}

// TestErasure erases a person of whom much is kept by a gateway in a process of its own, which is
// killed in the middle again and again: nothing names them any more in the file, in a backup, in
// the log and in what the API says; everybody else is as before; and spoken of again, they begin a
// new life above all that was told.
func TestErasure(t *testing.T) {
	partner := echo(t)
	dir, config := house(t, partner+"/bad")
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "countersign.yaml", strings.Replace(string(b), "partners:\n", "log: {level: debug}\npartners:\n", 1)+
		"      - {id: acme-good, url: \""+partner+"/good\", keys: [file:acme.key]}\n"+
		"      - {id: acme-slow, url: \""+partner+"/slow\", keys: [file:acme.key], retry: {first: 1h, max: 1h}}\n")
	var logs []*book
	up := func() *machine {
		m := launch(t, config, "", nil)
		logs = append(logs, m.log)
		eventually(t, "ready", func() bool { status, _ := m.control("/readyz"); return status == http.StatusOK })
		return m
	}
	m := up()
	f := func(want int, text string, args ...string) string {
		t.Helper()
		code, out, errs := cli(t, nil, append(args, "--config", config)...)
		if code != want || !strings.Contains(out+errs, text) {
			t.Fatalf("%q: exit %d, want %d with %q\n%s%s", args, code, want, text, out, errs)
		}
		return out
	}
	for _, who := range []string{forgotten, "bystander"} {
		f(exitYes, "200 ok", "trigger", "sumsub-eu", "approved", "--subject", who)
		f(exitYes, "200 ok", "trigger", "sumsub-eu", "rejected_retry", "--subject", who)
		f(exitYes, "200 ok", "trigger", "rebilly", "request_fulfilled", "--subject", who)
		f(exitYes, "", "decide", "acme", who, "--status", "rejected", "--check", "identity_verification", "--reasons", "fraud_suspected", "--manual", "--because", who+" was told", "--yes")
	}
	f(exitYes, "", "submit", "acme", forgotten, "sumsub-eu", otherRef)
	subject := func(who string) (v api.Subject) {
		t.Helper()
		text := f(exitYes, "", "subject", "show", "acme", who, "--json", "--all")
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	eventually(t, "it is dead at one endpoint, owed at another and told at a third", func() bool {
		v := subject(forgotten)
		dead, owed := 0, 0
		for i := range v.Endpoints {
			dead, owed = dead+len(v.Endpoints[i].Dead), owed+len(v.Endpoints[i].Owed)
		}
		w := subject("bystander")
		for _, of := range []api.Subject{v, w} {
			for i := range of.Endpoints {
				if of.Endpoints[i].Endpoint == "acme-main" && len(of.Endpoints[i].Owed) > 0 {
					return false // that will be dead yet
				}
			}
		}
		return dead >= 2 && owed >= 2 && len(v.Deliveries) >= 4 && len(w.Changes) == len(v.Changes) && len(w.Deliveries) == len(v.Deliveries)
	})
	last := uint64(0)
	for _, c := range subject(forgotten).Changes {
		last = max(last, c.Sequence)
	}
	others := func() string {
		_, text := m.control("/v1/subjects/acme/bystander?limit=1000")
		return text
	}
	before := others()
	f(exitYes, "would be erased permanently: ", "subject", "erase", "acme", forgotten, "--because", "by letter", "--dry-run")
	f(exitNo, "names the person", "subject", "erase", "acme", forgotten, "--because", "so says "+strings.ToUpper(otherRef), "--yes")
	f(exitUsage, "no terminal", "subject", "erase", "acme", forgotten, "--because", "by letter")

	done := false
	for kills := 0; kills < 4 && !done; kills++ {
		at := time.AfterFunc(time.Duration(1+2*kills)*time.Millisecond, func() { m.Process.Kill() })
		code, _, _ := cli(t, nil, "subject", "erase", "acme", forgotten, "--because", "by letter", "--yes", "--config", config)
		done = code == exitYes
		at.Stop()
		m.Process.Kill()
		<-m.ended
		m = up()
	}
	f(exitYes, "the file contains nothing of it any more", "subject", "erase", "acme", forgotten, "--because", "by letter", "--yes")
	backup := filepath.Join(dir, "after.db")
	f(exitYes, "every page checked", "backup", backup)
	for _, path := range []string{filepath.Join(dir, "data", "countersign.db"), backup} {
		if text, err := os.ReadFile(path); err != nil || names(text) {
			t.Errorf("%s names the person, or cannot be read: %v", path, err)
		}
	}
	for _, log := range logs {
		for line := range strings.Lines(log.String()) {
			if names([]byte(line)) {
				t.Errorf("the log names the person: %s", line)
			}
		}
	}
	for _, path := range []string{
		"/v1/deliveries?status=dead_lettered&limit=1000", "/v1/withheld?limit=1000", "/v1/quarantine?limit=1000", "/v1/quarantine?kind=records&limit=1000", "/v1/questions?limit=1000", "/v1/audit?limit=1000",
		"/v1/refs/conflicts", "/v1/replays", "/v1/set-aside", "/v1/endpoints", "/metrics",
	} {
		if status, text := m.control(path); status != http.StatusOK || names([]byte(text)) {
			t.Errorf("%s names the person: %d %s", path, status, text)
		}
	}
	if after := others(); after != before {
		t.Errorf("others are not as they were:\n%s\n%s", before, after)
	}
	f(exitUnknown, "not found", "subject", "acme", forgotten)
	f(exitYes, "by letter", "audit", "--json", "--subject", "acme/"+forgotten)
	f(exitYes, "200 ok", "trigger", "sumsub-eu", "approved", "--subject", forgotten)
	eventually(t, "a new life", func() bool {
		code, _, _ := cli(t, nil, "subject", "acme", forgotten, "--config", config)
		return code == exitYes
	})
	for _, c := range subject(forgotten).Changes {
		if c.Sequence <= last {
			t.Errorf("number %d was told before: up to %d", c.Sequence, last)
		}
	}
}
