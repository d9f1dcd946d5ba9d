package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/relay/control/client"
)

// nameServer answers on loopback: names maps a name to an address; "": never; others there are
// none. No query leaves this machine.
func nameServer(t *testing.T, names map[string]string) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			if r := nameAnswer(b[:n], names); r != nil {
				pc.WriteTo(r, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, StrictErrors: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

func nameAnswer(q []byte, names map[string]string) []byte {
	var labels []string
	i := 12
	for i < len(q) && q[i] != 0 {
		labels = append(labels, string(q[i+1:i+1+int(q[i])]))
		i += 1 + int(q[i])
	}
	address, known := names[strings.Join(labels, ".")]
	if known && address == "" {
		return nil
	}
	r := slices.Clone(q[:i+5])
	binary.BigEndian.PutUint16(r[2:], 0x8180)
	clear(r[6:12])
	if !known {
		r[3] |= 3 // no such name
		return r
	}
	if binary.BigEndian.Uint16(q[i+1:]) == 1 {
		a := netip.MustParseAddr(address)
		r = append(r, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
		r = append(r, a.AsSlice()...)
		r[7] = 1
	}
	return r
}

// tlsPartner serves TLS with a certificate of its own, which is also the authority: its file is
// returned for tls.ca.
func tlsPartner(t *testing.T, dir, name string, change func(*x509.Certificate)) (url, ca string) {
	t.Helper()
	cert, key := certificatePair(t, change)
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL + "/kyc", write(t, dir, name+".pem", cert)
}

// doctorOf is a doctor of the gateway of a config, with a name server and a disk of its own.
func doctorOf(t *testing.T, config string, names map[string]string, flush func(*os.File) error) *doctor {
	t.Helper()
	cfg, problems := loadConfig(config, func(string) (string, bool) { return "", false }, knownNames())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	d := &doctor{cfg: cfg, base: "http://" + cfg.Listen.Control, resolver: nameServer(t, names), flush: flush}
	token, err := readToken(filepath.Join(cfg.Data, tokenFile))
	if d.noClient = err; err == nil {
		d.client = client.New(client.Options{Base: d.base, Token: token, Tries: 1})
	}
	return d
}

// says looks for a finding.
func says(all []finding, probe, of, state, what string) bool {
	return slices.ContainsFunc(all, func(f finding) bool {
		return f.Probe == probe && f.Of == of && f.State == state && strings.Contains(f.What, what) && (state == stateOK || f.Remedy != "")
	})
}

func wants(t *testing.T, all []finding, probe, of, state, what string) {
	t.Helper()
	if !says(all, probe, of, state, what) {
		t.Errorf("no finding %s %s %s %q in\n%s", state, probe, of, what, listed(all))
	}
}

func listed(all []finding) string {
	var b strings.Builder
	for _, f := range all {
		fmt.Fprintf(&b, "%s %s %s: %s → %s\n", f.State, f.Probe, f.Of, f.What, f.Remedy)
	}
	return b.String()
}

// TestDoctor examines a gateway that runs, with partners of every kind: each is named with what is
// wrong with it, and nobody else is.
func TestDoctor(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "sumsub.key", "sumsub-secret-canary")
	write(t, dir, "acme.key", acmeKey)
	good, goodCA := tlsPartner(t, dir, "good", nil)
	expired, expiredCA := tlsPartner(t, dir, "expired", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	soon, soonCA := tlsPartner(t, dir, "soon", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(3 * day) })
	named, namedCA := tlsPartner(t, dir, "named", func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"other.example"} })
	closed := "http://" + freeAddr(t) + "/"
	silent, err := net.Listen("tcp", "127.0.0.1:0") // it takes connections, and that is all
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	const never = `since: "2099-01-01T00:00:00Z"`
	endpoint := func(id, url, more string) string {
		return fmt.Sprintf("      - {id: %s, url: %q, keys: [file:acme.key], %s}\n", id, url, more)
	}
	config := write(t, dir, "countersign.yaml", fmt.Sprintf(`data: %s/data
listen: {callbacks: "%s", control: "%s"}
sources:
  - {name: sumsub-eu, provider: sumsub, keys: [file:sumsub.key], partner: acme}
  - {name: onfido, provider: onfido, keys: [file:sumsub.key], partner: acme, api: {url: "http://api.provider.invalid", user: u, key: file:sumsub.key}}
partners:
  - id: acme
    endpoints:
`, dir, freeAddr(t), freeAddr(t))+
		endpoint("good", good, never+", tls: {ca: \"file:"+goodCA+"\"}")+
		endpoint("expired", expired, never+", tls: {ca: \"file:"+expiredCA+"\"}")+
		endpoint("soon", soon, never+", tls: {ca: \"file:"+soonCA+"\"}")+
		endpoint("named", named, never+", tls: {ca: \"file:"+namedCA+"\"}")+
		endpoint("stranger", good, never)+
		endpoint("closed", closed, "retry: {first: 10ms, factor: 1, max: 10ms, attempts: 3}")+
		endpoint("silent", "https://"+silent.Addr().String()+"/", never)+
		endpoint("nameless", "https://hooks.partner.invalid/", never)+
		endpoint("inside", "https://inside.partner.invalid/", never))
	start(t, config)
	if code, out, errs := cli(t, nil, "trigger", "--config", config, "sumsub-eu", "approved"); code != exitYes {
		t.Fatal(out, errs)
	}
	d := doctorOf(t, config, map[string]string{"inside.partner.invalid": "10.1.2.3", "api.provider.invalid": "127.0.0.1"}, func(*os.File) error { return nil })
	eventually(t, "the closed one has failed, as the gateway knows", func() bool {
		return slices.ContainsFunc(d.owed(t.Context()), func(f finding) bool { return f.Of == "closed" && f.State != stateOK })
	})
	all := d.examine(t.Context(), 60*time.Second)
	wants(t, all, "partner", "expired", stateBad, "its certificate has expired, at ")
	wants(t, all, "partner", "soon", stateWarning, "its certificate expires soon, at ")
	wants(t, all, "partner", "named", stateBad, "its certificate is not for 127.0.0.1")
	wants(t, all, "partner", "stranger", stateBad, "of an authority that is not known here")
	wants(t, all, "partner", "closed", stateBad, "cannot be reached at port ")
	wants(t, all, "partner", "silent", stateBad, "no answer in time")
	wants(t, all, "partner", "nameless", stateBad, "hooks.partner.invalid does not resolve")
	wants(t, all, "dns", "hooks.partner.invalid", stateBad, "no such host")
	wants(t, all, "dns", "inside.partner.invalid", stateBad, "10.1.2.3")
	wants(t, all, "partner", "inside", stateBad, "its address is refused, as private or reserved")
	wants(t, all, "dns", "api.provider.invalid", stateOK, "leads to 127.0.0.1")
	wants(t, all, "certificate", "partners[0].endpoints[1].tls.ca", stateBad, "has expired, at ")
	wants(t, all, "gateway", d.base, stateOK, "is ready")
	wants(t, all, "disk", d.cfg.Data, stateOK, "a flush takes ")
	wants(t, all, "descriptors", "", stateOK, "files")
	for _, f := range all {
		if strings.Contains(f.What+f.Remedy, "canary") || f.Of == "good" && f.State == stateBad {
			t.Errorf("%+v", f)
		}
	}
}

// TestDoctorBeyondPartners: brokers, the proxy and our own certificates are looked at too, and what
// goes through a proxy is not tried beside it.
func TestDoctorBeyondPartners(t *testing.T) {
	dir, config := house(t, "http://127.0.0.1:9/")
	cert, key := certificatePair(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) })
	write(t, dir, "old.pem", cert)
	write(t, dir, "old.key", key)
	broker, proxy := freeAddr(t), freeAddr(t)
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "countersign.yaml", string(b)+fmt.Sprintf("kafka: {brokers: [\"%s\"]}\negress: {proxy: \"http://%s\"}\ntls: {cert: file:old.pem, key: file:old.key}\n", broker, proxy))
	d := doctorOf(t, config, nil, func(*os.File) error { return nil })
	all := d.examine(t.Context(), 60*time.Second)
	wants(t, all, "broker", broker, stateBad, "cannot be reached at port ")
	wants(t, all, "kafka", broker, stateBad, broker)
	wants(t, all, "proxy", "egress.proxy", stateBad, "cannot be reached at port ")
	wants(t, all, "partner", "acme-main", stateOK, "is reached through the proxy")
	wants(t, all, "certificate", "tls.cert", stateBad, "has expired, at ")
}

// TestDoctorDisk: a disk that is slow is called slow, and one that fails bad. Nothing is left of
// what was written.
func TestDoctorDisk(t *testing.T) {
	_, config := house(t, "http://127.0.0.1:9/")
	g := start(t, config)
	f := func(state, what string, flush func(*os.File) error) {
		t.Helper()
		all := doctorOf(t, config, nil, flush).disk(t.Context())
		if state == stateWarning && says(all, "", "", stateBad, what) {
			return // the machine is busy besides
		}
		wants(t, all, "", "", state, what)
	}
	f(stateOK, "a flush takes ", func(*os.File) error { return nil })
	f(stateWarning, "a flush takes ", func(*os.File) error { <-time.After(flushDoubt + 5*time.Millisecond); return nil })
	f(stateBad, "a flush takes ", func(*os.File) error { <-time.After(flushBad + 10*time.Millisecond); return nil })
	f(stateBad, "no file can be written and flushed: input/output error", func(*os.File) error { return errIO })
	if left, err := filepath.Glob(filepath.Join(g.cfg.Data, ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	ahead := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(g.cfg.Data, "countersign.key"), ahead, ahead); err != nil {
		t.Fatal(err)
	}
	all := doctorOf(t, config, nil, nil).clock(startTick())
	wants(t, all, "clock", "", stateBad, "before the last write")
}

// TestDoctorClock: the clock of this machine is compared with what others say; one of them that is
// alone is wrong itself.
func TestDoctorClock(t *testing.T) {
	f := func(state, what string, ahead ...time.Duration) {
		t.Helper()
		var all []otherTime
		for i, a := range ahead {
			all = append(all, otherTime{fmt.Sprintf("host-%d", i), a})
		}
		wants(t, (&doctor{cfg: &Config{}}).compared(all), "", "", state, what)
	}
	f(stateOK, "nobody told the time")
	f(stateOK, "agrees with the answers of 1 host", 0)
	f(stateWarning, "is 10s ahead, by the answers of 1 host", 10*time.Second)
	f(stateBad, "is 2m0s behind, by the answers of 3 host", -2*time.Minute, -2*time.Minute, 0)
	f(stateOK, "agrees with the answers of 3 host", 0, time.Hour, 0)
	f(stateWarning, "the clock of host-1 is 1h0m0s behind", 0, time.Hour, 0)
	var d dates
	now := time.Now()
	d.note("a", now.Add(-10*time.Minute).UTC().Format(http.TimeFormat), now, now.Add(10*time.Millisecond))
	d.note("b", now.UTC().Format(http.TimeFormat), now, now.Add(10*time.Millisecond))
	d.note("c", "yesterday", now, now)
	if len(d.all) != 2 || (d.all[0].ahead-10*time.Minute).Abs() > 2*time.Second || d.all[1].ahead != 0 {
		t.Errorf("%+v", d.all)
	}
}

// TestDoctorBounded: whatever does not answer, the whole ends when it has to, and says what was not
// found out.
func TestDoctorBounded(t *testing.T) {
	_, config := house(t, "https://hangs.partner.invalid/")
	stuck := make(chan struct{})
	defer close(stuck)
	d := doctorOf(t, config, map[string]string{"hangs.partner.invalid": ""}, func(*os.File) error { <-stuck; return nil })
	if err := os.MkdirAll(d.cfg.Data, 0o700); err != nil {
		t.Fatal(err)
	}
	all := make(chan []finding, 1)
	go func() { all <- d.examine(t.Context(), time.Second) }()
	select {
	case found := <-all:
		wants(t, found, "disk", d.cfg.Data, stateBad, "did not answer in time")
		wants(t, found, "dns", "hangs.partner.invalid", stateBad, "does not resolve")
		wants(t, found, "gateway", d.base, stateBad, "does not answer at ")
	case <-time.After(30 * time.Second):
		t.Fatal("it does not end")
	}
}

// TestDoctorCommand: from a shell, here and from elsewhere, as text and as JSON, and whether a
// script is told.
func TestDoctorCommand(t *testing.T) {
	partner := newHook(t, func() int { return http.StatusOK })
	_, config := house(t, partner.url)
	code, out, _ := cli(t, nil, "doctor", "--config", config)
	if code != exitNo || !strings.Contains(out, "bad      gateway") || !strings.Contains(out, "does not answer at") || !strings.Contains(out, "→ start it") {
		t.Errorf("without a gateway: exit %d: %s", code, out)
	}
	g := start(t, config)
	_, other := house(t, partner.url)
	env := map[string]string{"COUNTERSIGN_LISTEN_CONTROL": g.control.Addr().String()}
	if code, out, _ := cli(t, env, "doctor", "--config", other); code != exitNo || !strings.Contains(out, "it is another gateway") {
		t.Errorf("another gateway's listener: exit %d: %s", code, out)
	}
	code, out, errs := cli(t, nil, "doctor", "--ping", "--config", config)
	if !strings.Contains(out, "the test webhook was answered 200") || code != exitYes && !onlyFlushes(out) {
		t.Errorf("here: exit %d: %s%s", code, out, errs)
	}
	env = map[string]string{"COUNTERSIGN_URL": "http://" + g.control.Addr().String() + "/", "COUNTERSIGN_TOKEN": g.token}
	code, out, errs = cli(t, env, "doctor", "--json")
	var v struct {
		OK       bool
		Findings []finding
	}
	if err := json.Unmarshal([]byte(out), &v); code != exitYes || err != nil || !v.OK {
		t.Fatalf("from elsewhere: exit %d, %v: %s%s", code, err, out, errs)
	}
	wants(t, v.Findings, "clock", "", stateOK, "against the gateway's")
	wants(t, v.Findings, "descriptors", "", stateOK, "files are open")
	wants(t, v.Findings, "pending", "", stateOK, "deliveries to 1 endpoint(s)")
	env["COUNTERSIGN_TOKEN"] = "cs_wrong"
	if code, out, _ := cli(t, env, "doctor"); code != exitNo || !strings.Contains(out, "bad      pending") {
		t.Errorf("a wrong token: exit %d: %s", code, out)
	}
	for _, args := range [][]string{{"--url", "ftp://x"}, {"--url", "http://127.0.0.1:1"}, {"--most", "1ms"}} {
		if code, out, errs := cli(t, nil, append([]string{"doctor", "--config", config}, args...)...); code != exitUsage {
			t.Errorf("%v: exit %d: %s%s", args, code, out, errs)
		}
	}
}

// onlyFlushes reports whether nothing else is bad than the time of a flush, for which a test's
// machine may be too busy.
func onlyFlushes(out string) bool {
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, stateBad) && !strings.Contains(line, "a flush takes") {
			return false
		}
	}
	return true
}

var errIO = errors.New("input/output error")
