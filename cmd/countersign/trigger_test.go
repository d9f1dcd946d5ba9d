package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"countersign/ingest"
	"countersign/ingest/provider"
)

// TestTriggerIsForTestPeople: a sample signed with a source's key is the provider's own word, so
// nothing of the command line sends one where people are real: neither with a live config, nor with
// a live source, nor with an environment that says sandbox of a gateway that is live.
func TestTriggerIsForTestPeople(t *testing.T) {
	dir, config := house(t, "http://127.0.0.1:9/")
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := strings.Cut(string(b), "    endpoints:") // nobody is told
	live := write(t, dir, "live.yaml", strings.Replace(text, "mode: sandbox", "mode: live", 1))
	cfg, problems := loadConfig(live, func(string) (string, bool) { return "", false }, knownNames())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	g, err := newGateway(cfg, roleAll, slog.New(slog.DiscardHandler), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.close() })
	_, otherConfig := house(t, "http://127.0.0.1:9/")
	other := start(t, otherConfig) // a gateway in the sandbox
	f := func(what string, env map[string]string, config, want string) {
		t.Helper()
		code, out, errs := cli(t, env, "trigger", "--config", config, "sumsub-eu", "approved", "--subject", "maria", "--wait", "0s")
		no := exitNo
		if what == "no gateway" {
			no = exitNotNow
		}
		if code != no || !strings.Contains(out+errs, want) {
			t.Errorf("%s: exit %d, want %d with %q\n%s%s", what, code, no, want, out, errs)
		}
	}
	sandbox := func(more ...string) map[string]string {
		env := map[string]string{"COUNTERSIGN_MODE": "sandbox"}
		for i := 0; i < len(more); i += 2 {
			env[more[i]] = more[i+1]
		}
		return env
	}
	f("a live config", nil, live, "is live: a sample signed with the key of sumsub-eu")
	f("live by the environment", map[string]string{"COUNTERSIGN_MODE": "live"}, write(t, dir, "sandbox.yaml", text), "is live")
	f("a live source in the sandbox", nil, write(t, dir, "source.yaml", strings.Replace(text, "keys: [file:sumsub.key],", "keys: [file:sumsub.key], livemode: true,", 1)), "livemode: true")
	f("sandbox by the environment", sandbox(), live, `does not say that it is in the sandbox (mode "live")`)
	f("another gateway's control listener", sandbox("COUNTERSIGN_LISTEN_CONTROL", other.cfg.Listen.Control), live, "403")
	silent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"status":"ok"}`) }))
	defer silent.Close()
	f("a gateway that does not tell", sandbox("COUNTERSIGN_LISTEN_CONTROL", strings.TrimPrefix(silent.URL, "http://")), live, "does not say that it is in the sandbox")
	f("no gateway", sandbox("COUNTERSIGN_LISTEN_CONTROL", freeAddr(t)), live, "nothing was sent")
	if code, out, errs := cli(t, nil, "trigger", "--config", live, "--force", "sumsub-eu", "approved"); code != exitUsage {
		t.Errorf("there is a flag that forces it: exit %d\n%s%s", code, out, errs)
	}
	subject := func() int {
		code, _, _ := cli(t, nil, "subject", "--config", live, "acme", "maria")
		return code
	}
	if n := g.journal.Backlog(); n != 0 || subject() == exitYes {
		t.Errorf("%d records, and the live gateway knows maria", n)
	}

	// The control: without the mark the same callback is genuine, and approves.
	sc := cfg.Sources[0]
	body, err := provider.Sample(sc.Provider, "approved", provider.SampleVars{Subject: "maria", At: time.Now(), Livemode: true})
	if err != nil {
		t.Fatal(err)
	}
	send := func(marked bool) int {
		t.Helper()
		req, err := newCallback(t.Context(), &sc, "http://"+cfg.Listen.Callbacks, body, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if !marked {
			req.Header.Del(ingest.TriggerHeader)
		}
		code, _, err := post(req)
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	if code := send(true); code != http.StatusForbidden || subject() == exitYes {
		t.Errorf("the gateway answers %d to what the command line has made", code)
	}
	if code := send(false); code != http.StatusOK {
		t.Errorf("without the mark: %d, so the test shows nothing", code)
	}
	eventually(t, "the control's person is known", func() bool { return subject() == exitYes })
}
