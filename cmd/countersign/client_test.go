package main

import (
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const someToken = "an-operators-own-token-for-a-test"

// TestURLAndToken: an operator's shell has a URL and a token, in a directory of its own: no config,
// no secret of a provider, no data directory.
func TestURLAndToken(t *testing.T) {
	dir, config := house(t, "http://127.0.0.1:9/")
	g := start(t, config)
	token, err := readToken(filepath.Join(dir, "data", tokenFile))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	url := "http://" + g.control.Addr().String()
	file := write(t, t.TempDir(), "token", token+"\n")
	f := func(want int, says string, env map[string]string, args ...string) {
		t.Helper()
		code, out, errs := cli(t, env, args...)
		if code != want || !strings.Contains(out+errs, says) {
			t.Errorf("%q: exit %d, want %d with %q\n%s%s", args, code, want, says, out, errs)
		}
	}
	both := map[string]string{urlVariable: url, tokenVariable: token}
	f(exitYes, "acme-main", both, "endpoints")
	f(exitYes, "acme-main", map[string]string{tokenVariable: token}, "endpoints", "--url", url)
	f(exitYes, "acme-main", map[string]string{tokenVariable: token}, "endpoints", "--gateway", url+"/")
	f(exitYes, "acme-main", nil, "endpoints", "--url", url, "--token-file", file)
	f(exitYes, "acme-main", map[string]string{urlVariable: "http://127.0.0.1:1", tokenVariable: token}, "endpoints", "--url", url)
	f(exitYes, "acme-main", map[string]string{tokenVariable: "wrong"}, "endpoints", "--url", url, "--token-file", file)
	f(exitYes, "acme-more", both, "endpoints", "create", "acme", "acme-more", "--url", "http://127.0.0.1:9/", "--out", "key")
	f(exitYes, "acme-more", map[string]string{tokenVariable: token}, "endpoints", "update", "acme-more", "--gateway", url, "--timeout", "3s")
	f(exitYes, "every page checked", both, "backup", "copy.db")

	// Where the config is, what it is about is not looked at: neither the secrets, which this shell
	// has not, nor what else may be wrong.
	here := write(t, dir, "other.yaml", "data: "+dir+"/data\nlisten: {control: "+g.control.Addr().String()+"}\nsources: [{name: s, provider: sumsub, keys: [env:NOT_HERE], partner: nobody}]\nnonsense: 1\n")
	f(exitYes, "acme-main", nil, "endpoints", "--config", here)
	f(exitYes, "acme-main", map[string]string{urlVariable: "http://127.0.0.1:1"}, "endpoints", "--config", here)
	f(exitNo, "other.yaml:2: listen.control", nil, "endpoints", "--config", write(t, dir, "other.yaml", "data: x\nlisten: {control: nowhere}\n"))
	f(exitNo, "--url", nil, "endpoints", "--config", filepath.Join(dir, "none.yaml"))
	f(exitUsage, "--url or COUNTERSIGN_URL", nil, "endpoints")
	f(exitUsage, "countersign.yaml", nil, "endpoints")
	f(exitUsage, "COUNTERSIGN_TOKEN", nil, "endpoints", "--url", url)
	f(exitUsage, "can't be used together", both, "endpoints", "--url", url, "--config", here)
	f(exitNo, "was cut off", map[string]string{tokenVariable: token[:40]}, "endpoints", "--url", url)
	f(exitNo, "is empty", map[string]string{tokenVariable: ""}, "endpoints", "--url", url)
	f(exitNo, "no such file", nil, "endpoints", "--url", url, "--token-file", filepath.Join(dir, "none"))
	for _, bad := range []string{"127.0.0.1:8481", "gateway.example", "ftp://127.0.0.1:8481", "http://", "http://user:pass@127.0.0.1:1", "http://127.0.0.1:1?token=x", "http://[::1", "http://127.0.0.1:1/#x"} {
		f(exitUsage, "the gateway's URL", both, "endpoints", "--url", bad)
	}
}

// TestTokenStaysHidden: a token goes over http to this machine alone, unless somebody says so, and
// nowhere that an answer points to.
func TestTokenStaysHidden(t *testing.T) {
	env := map[string]string{tokenVariable: someToken}
	f := func(want int, says string, args ...string) {
		t.Helper()
		code, out, errs := cli(t, env, append([]string{"endpoints"}, args...)...)
		if code != want || !strings.Contains(out+errs, says) || strings.Contains(out+errs, someToken) {
			t.Errorf("%q: exit %d, want %d with %q\n%s%s", args, code, want, says, out, errs)
		}
	}
	for _, host := range []string{"192.0.2.1:8481", "[2001:db8::1]:8481", "gateway.invalid", "127.0.0.1.invalid", "localhost.invalid:8481", "0.0.0.0:8481"} {
		f(exitUsage, "--insecure", "--url", "http://"+host)
	}
	for host, want := range map[string]bool{"127.0.0.1": true, "127.3.2.1": true, "::1": true, "::ffff:127.0.0.1": true, "localhost": true, "LocalHost": true, "10.0.0.1": false, "::": false, "localhost.": false} {
		if thisMachine(host) != want {
			t.Errorf("%s is this machine: %v", host, !want)
		}
	}
	seen := make(chan string, 10)
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header.Get("Authorization") }))
	defer thief.Close()
	mover := httptest.NewServer(http.RedirectHandler(thief.URL, http.StatusTemporaryRedirect))
	defer mover.Close()
	f(exitNo, "and points to "+thief.URL, "--url", mover.URL)
	if len(seen) > 0 {
		t.Errorf("the token went on: %q", <-seen)
	}
}

// TestHTTPS: a gateway behind TLS is asked if its certificate is vouched for, by the system or by
// --ca, and in no other case: --insecure is about http.
func TestHTTPS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+someToken {
			w.WriteHeader(http.StatusUnauthorized)
		}
		w.Write([]byte(`{"object":"list","data":[{"id":"acme-main"}],"has_more":false}`))
	}))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	defer s.Close()
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(want int, says string, args ...string) {
		t.Helper()
		code, out, errs := cli(t, map[string]string{urlVariable: s.URL, tokenVariable: someToken}, append([]string{"endpoints"}, args...)...)
		if code != want || !strings.Contains(out+errs, says) {
			t.Errorf("%q: exit %d, want %d with %q\n%s%s", args, code, want, says, out, errs)
		}
	}
	f(exitYes, "acme-main", "--ca", ca)
	f(exitNotNow, "certificate signed by unknown authority")
	f(exitNotNow, s.URL)
	f(exitNotNow, "--ca FILE")
	f(exitNotNow, "certificate signed by unknown authority", "--insecure")
	f(exitNo, "--ca", "--ca", write(t, dir, "none.pem", "nothing"))
}
