package attack

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// sentinel listens wherever a call that should not have been made would arrive. In the network made
// by Isolate every address there is belongs to this machine.
type sentinel struct {
	lns []net.Listener
	wg  sync.WaitGroup

	mu     sync.Mutex     // guards called
	called map[string]int // by the address that was called
}

// Isolate makes this process's network one from which nothing leaves, in which every address is
// this machine's, and in which names are looked up here. The process must have been started with a
// network and mounts of its own.
func Isolate(ctx context.Context, dir string) error {
	for _, args := range [][]string{ // iproute2
		{"link", "set", "lo", "up"}, {"route", "add", "local", "0.0.0.0/0", "dev", "lo"}, {"-6", "route", "add", "local", "::/0", "dev", "lo"},
	} {
		if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil { //nolint:gosec // what stands above
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	path := filepath.Join(dir, "resolv.conf")
	if err := os.WriteFile(path, []byte("nameserver 127.0.0.1\noptions attempts:1 timeout:1\n"), 0o644); err != nil { //nolint:gosec // everybody may read it
		return fmt.Errorf("isolate: %w", err)
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("isolate: %w", err)
	}
	if err := syscall.Mount(path, "/etc/resolv.conf", "", syscall.MS_BIND, ""); err != nil {
		return fmt.Errorf("isolate: %w", err)
	}
	return nil
}

func listenEverywhere(ctx context.Context, cert tls.Certificate) (*sentinel, error) {
	s := &sentinel{called: map[string]int{}}
	for _, port := range []int{80, 443, 22, 2375, 6379, 11211, 8443} {
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", ":"+strconv.Itoa(port)) // of both families
		if err != nil {
			return nil, errors.Join(fmt.Errorf("listen everywhere: %w", err), s.close())
		}
		s.lns = append(s.lns, ln)
		s.wg.Go(func() { s.serve(ln, cert) })
	}
	return s, nil
}

func (s *sentinel) close() (err error) {
	for _, ln := range s.lns {
		err = errors.Join(err, ln.Close())
	}
	s.wg.Wait()
	return err
}

// serve notes who was called, and answers as a partner that redirects where it is asked to.
func (s *sentinel) serve(ln net.Listener, cert tls.Certificate) {
	noting := &noting{ln, s}
	server := &http.Server{
		ReadHeaderTimeout: patience,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body) //nolint:errcheck,gosec // what it says does not matter
			if to := r.URL.Query().Get("to"); to != "" {
				http.Redirect(w, r, to, http.StatusTemporaryRedirect) //nolint:gosec // that is the attack
			}
		}),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
		ErrorLog:  quiet,
	}
	if ln.Addr().(*net.TCPAddr).Port == 443 { //nolint:forcetypeassert // it was listened on for TCP
		server.ServeTLS(noting, "", "") //nolint:errcheck,gosec // it ends with its listener
		return
	}
	server.Serve(noting) //nolint:errcheck,gosec // it ends with its listener
}

// noting is a listener that notes which address was called.
type noting struct {
	net.Listener
	s *sentinel
}

// Accept implements net.Listener.
func (n *noting) Accept() (net.Conn, error) {
	c, err := n.Listener.Accept()
	if err == nil {
		n.s.mu.Lock()
		n.s.called[c.LocalAddr().String()]++
		n.s.mu.Unlock()
	}
	return c, err
}

// authority writes a certificate of every name that may be called, which is its own authority.
func authority(dir string) (tls.Certificate, string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, "", err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "attack"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, DNSNames: []string{"*.test", "localhost", "*.at.test", "metadata.google.internal", "metadata"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback, net.IPv4(127, 0, 0, 2), net.IPv4(169, 254, 169, 254), net.IPv4(10, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, "", err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return tls.Certificate{}, "", err
	}
	path := filepath.Join(dir, "authority.pem")
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, path, errors.Join(
		os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(filepath.Join(dir, "authority.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600),
	)
}

// Aim is a gateway in live mode whose partner gives addresses that may not be called.
type Aim struct {
	Section *Section
	Config  string // of the gateway, with the addresses that its door let in
	CA      string // file of authorities, for SSL_CERT_FILE
	kept    []string
	names   *names
	calls   *sentinel
}

// NewAim asks the gateway's own check which addresses it refuses at its door, and writes a config
// with the others. The process must be isolated.
func NewAim(ctx context.Context, binary, dir, callbacks, control string, openDoor bool) (*Aim, error) {
	a := &Aim{Section: &Section{Name: "addresses"}}
	all := append(urls(), turning...)
	a.Section.Tried = len(all)
	path, err := aimConfig(dir, callbacks, control, all, openDoor)
	if err != nil {
		return nil, err
	}
	refused, err := refusedAtTheDoor(ctx, binary, path)
	if err != nil {
		return nil, err
	}
	for i, u := range all {
		if !refused[i] {
			a.kept = append(a.kept, u)
		}
	}
	a.Section.note("%d addresses, of which %d are refused at the door", len(all), len(refused))
	if a.Config, err = aimConfig(dir, callbacks, control, a.kept, openDoor); err != nil {
		return nil, err
	}
	cert, ca, err := authority(dir)
	if err != nil {
		return nil, err
	}
	a.CA = ca
	if a.names, err = serveNames(ctx, "127.0.0.1:53"); err != nil {
		return nil, err
	}
	a.calls, err = listenEverywhere(ctx, cert)
	return a, err
}

// Close ends what listens.
func (a *Aim) Close() error {
	a.names.close()
	return a.calls.close()
}

func aimConfig(dir, callbacks, control string, all []string, openDoor bool) (string, error) {
	allow := "127.0.0.2/32"
	if openDoor {
		allow = `0.0.0.0/1, 128.0.0.0/1, "::/1", "8000::/1"`
	}
	key := filepath.Join(dir, "genuine.key")
	if err := os.WriteFile(key, []byte(genuineKey+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("prepare the gateway: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "mode: live\ndata: %s\nlisten: {callbacks: %s, control: %s}\negress: {allow: [%s]}\nsources:\n  - {name: open, provider: sumsub, keys: [\"file:%s\"], partner: acme}\n"+
		"partners:\n  - id: acme\n    endpoints:\n", filepath.Join(dir, "data"), callbacks, control, allow, key)
	for i, u := range all {
		quoted, err := json.Marshal(u)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "      - {id: e-%03d, url: %s, concurrency: 1, timeout: 5s, retry: {first: 100ms, factor: 1, max: 100ms, attempts: 8}}\n", i, quoted)
	}
	path := filepath.Join(dir, "countersign.yaml")
	return path, os.WriteFile(path, []byte(b.String()), 0o600)
}

var endpointKey = regexp.MustCompile(`^partners\[0\]\.endpoints\[(\d+)\]`)

// refusedAtTheDoor are the endpoints, by number, with which the gateway would not start.
func refusedAtTheDoor(ctx context.Context, binary, config string) (map[int]bool, error) {
	cmd := exec.CommandContext(ctx, binary, "check", "--config-only", "--offline", "--json", "--config", config) //nolint:gosec // the program the caller wants tested
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState.ExitCode() != 1 {
		return nil, fmt.Errorf("check the addresses: %w: %s", err, errs.String())
	}
	var report struct {
		Problems []struct{ Key, What string }
	}
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		return nil, fmt.Errorf("check the addresses: %w: %s", err, out.String())
	}
	refused := map[int]bool{}
	for _, p := range report.Problems {
		m := endpointKey.FindStringSubmatch(p.Key)
		if m == nil {
			return nil, fmt.Errorf("check the addresses: %s: %s", p.Key, p.What)
		}
		i, err := strconv.Atoi(m[1])
		if err != nil {
			return nil, err
		}
		refused[i] = true
	}
	return refused, nil
}

var (
	attemptsLine = regexp.MustCompile(`(?m)^countersign_relay_attempts_total\{([^}]*)\} (\d+)$`)
	reasonsLine  = regexp.MustCompile(`(?m)^countersign_relay_attempt_reasons_total\{([^}]*)\} (\d+)$`)
)

// Run has the gateway try every address that its door let in, and judges whom it called.
func (a *Aim) Run(ctx context.Context, t *Target) (*Section, error) {
	for i := range 4 {
		g, err := NewGenuine("open", fmt.Sprintf("aim-%d", i), true)
		if err != nil {
			return nil, err
		}
		if x, err := t.say(ctx, g.request()); err != nil || x.first() != http.StatusOK {
			return nil, fmt.Errorf("a genuine callback: %v, %w", x.statuses, err)
		}
	}
	tried, reasons, err := a.attempts(ctx, t)
	if err != nil {
		return nil, err
	}
	if len(tried) != len(a.kept) {
		a.Section.fault("of %d endpoints %d were tried within a minute", len(a.kept), len(tried))
	}
	a.Section.note("of %d addresses that pass the door, attempts by what came of them: %v", len(a.kept), reasons)
	a.judge()
	return a.Section, nil
}

// attempts waits until every endpoint has been tried and nothing more is for a second, and counts
// by reason.
func (a *Aim) attempts(ctx context.Context, t *Target) (tried map[string]bool, reasons map[string]int, err error) {
	last, still := 0, 0
	for range 600 {
		_, text, err := t.call(ctx, http.MethodGet, "/metrics", t.Token, "")
		if err != nil {
			return nil, nil, err
		}
		tried, reasons = map[string]bool{}, map[string]int{}
		all := 0
		for _, m := range attemptsLine.FindAllStringSubmatch(text, -1) {
			n, err := strconv.Atoi(m[2])
			if err != nil {
				return nil, nil, err
			}
			if n > 0 {
				tried[label(m[1], "endpoint")] = true
				all += n
			}
		}
		for _, m := range reasonsLine.FindAllStringSubmatch(text, -1) {
			if n, err := strconv.Atoi(m[2]); err != nil {
				return nil, nil, err
			} else if n > 0 {
				reasons[label(m[1], "reason")] = n
			}
		}
		if still++; all != last {
			last, still = all, 0
		}
		if len(tried) == len(a.kept) && still >= 10 {
			break
		}
		pause(ctx, 100*time.Millisecond)
	}
	return tried, reasons, nil
}

func label(labels, name string) string {
	m := regexp.MustCompile(name + `="([^"]*)"`).FindStringSubmatch(labels)
	if m == nil {
		return ""
	}
	return m[1]
}

// judge: only the one address may have been called, and it must have been, or nothing was shown.
func (a *Aim) judge() {
	a.calls.mu.Lock()
	defer a.calls.mu.Unlock()
	for addr, n := range a.calls.called {
		if host, _, err := net.SplitHostPort(addr); err != nil || host != allowedAddr && host != "::ffff:"+allowedAddr {
			a.Section.fault("%s was called %d times", addr, n)
		}
	}
	a.Section.note("called: %v", a.calls.called)
	if a.calls.called[allowedAddr+":443"] == 0 {
		a.Section.fault("the address that may be called was not")
	}
}
