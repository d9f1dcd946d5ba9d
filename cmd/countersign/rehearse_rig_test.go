package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

const nobody = 65534

// raced is set under the race detector, with which a process takes seconds to start.
var raced bool

// site is a set-up that both check and serve are asked about.
type site struct {
	t      *testing.T
	dir    string // the config, its secrets and the data directory
	config string
	binary string
	env    []string
	shell  string // runs first in the same process
	args   []string
	alive  bool     // a gateway runs here
	socket *os.File // that serve is passed; nil: none
	user   bool     // not root, where the test is
}

// newSite is one that is right.
func newSite(t *testing.T) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "countersign-site-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		filepath.WalkDir(dir, func(path string, d fs.DirEntry, _ error) error {
			if d != nil && d.IsDir() {
				os.Chmod(path, 0o700)
			}
			return nil
		})
		os.RemoveAll(dir)
	})
	s := &site{t: t, dir: dir, binary: os.Args[0], config: filepath.Join(dir, "countersign.yaml")}
	s.write("sumsub.key", "sumsub-secret-canary")
	s.write("acme.key", acmeKey)
	s.write("countersign.yaml", fmt.Sprintf(`mode: sandbox
data: %s/data
listen: {callbacks: "%s", control: "%s"}
sources:
  - {name: sumsub-eu, provider: sumsub, keys: [file:sumsub.key], partner: acme}
partners:
  - id: acme
    endpoints:
      - {id: acme-main, url: "http://127.0.0.1:9/", keys: [file:acme.key]}
`, dir, freeAddr(t), freeAddr(t)))
	return s
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func (s *site) write(name, text string) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(s.path(name)), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// change puts one text of the config in the place of another.
func (s *site) change(old, with string) {
	s.t.Helper()
	b, err := os.ReadFile(s.config)
	if err != nil || !strings.Contains(string(b), old) {
		s.t.Fatalf("the config has no %q (%v)", old, err)
	}
	s.write("countersign.yaml", strings.Replace(string(b), old, with, 1))
}

// add adds a line to the config.
func (s *site) add(line string) { s.change("mode: sandbox\n", "mode: sandbox\n"+line+"\n") }

// setting is what stands behind a word of the config, up to a comma, a brace or the line's end.
func (s *site) setting(word string) string {
	s.t.Helper()
	b, err := os.ReadFile(s.config)
	m := regexp.MustCompile(word + `: "?([^",}\n]+)`).FindSubmatch(b)
	if err != nil || m == nil {
		s.t.Fatalf("the config has no %s (%v)", word, err)
	}
	return string(m[1])
}

// asUser has check and serve run as somebody who is not root, and who owns everything here.
func (s *site) asUser() {
	if os.Geteuid() != 0 {
		return
	}
	s.t.Helper()
	s.user, s.binary = true, s.path("countersign")
	if err := os.Link(os.Args[0], s.binary); err != nil { // where this test's own is, nobody may look
		b, rerr := os.ReadFile(os.Args[0])
		if err = errors.Join(rerr, os.WriteFile(s.binary, b, 0o700)); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := os.Chmod(s.binary, 0o755); err != nil {
		s.t.Fatal(err)
	}
	filepath.WalkDir(s.dir, func(path string, _ fs.DirEntry, _ error) error {
		if path == s.binary {
			return nil
		}
		return os.Lchown(path, nobody, nobody)
	})
}

func (s *site) command(ctx context.Context, args ...string) *exec.Cmd {
	args = append(append(args, "--config", s.config), s.args...)
	cmd := exec.CommandContext(ctx, "/bin/sh", append([]string{"-c", s.shell + ` exec "$0" "$@"`, s.binary}, args...)...)
	cmd.Env = append(append(os.Environ(), "COUNTERSIGN_BE_MAIN=1", "TMPDIR=/tmp"), s.env...)
	if s.user {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	cmd.Dir = "/"
	if s.socket != nil && args[0] == "serve" {
		cmd.ExtraFiles = []*os.File{s.socket}
	}
	return cmd
}

// check runs it, and looks whether it changes anything.
func (s *site) check() (code int, out string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 60*time.Second)
	defer cancel()
	before := s.everything()
	cmd := s.command(ctx, "check", "--offline")
	b, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	if after := s.everything(); after != before {
		s.t.Errorf("check changed something:\n%s\nwas\n%s", after, before)
	}
	return cmd.ProcessState.ExitCode(), string(b)
}

// everything is all files here, with what is in them and when they were changed.
func (s *site) everything() string {
	var b strings.Builder
	filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, _ error) error {
		if d == nil || path == s.binary { // what this user may not look at, nobody changes
			return nil
		}
		fi, _ := d.Info()
		if fi == nil {
			return nil
		}
		if s.alive { // it may write
			fmt.Fprintln(&b, path, fi.Mode())
			return nil
		}
		text, _ := os.ReadFile(path)
		fmt.Fprintf(&b, "%s %v %d %v %x\n", path, fi.Mode(), fi.Size(), fi.ModTime(), sha256.Sum256(text))
		return nil
	})
	return b.String()
}

// launch starts serve, and returns when it has refused, or is ready.
func (s *site) launch() (refused bool, said *book, stop func()) {
	s.t.Helper()
	cmd, said, ended := s.command(context.WithoutCancel(s.t.Context()), "serve"), &book{}, make(chan struct{})
	cmd.Stderr, cmd.Stdout = said, said
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		cmd.Wait()
		close(ended)
	}()
	stop = func() {
		cmd.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			cmd.Process.Kill()
			<-ended
		}
		s.alive = false
	}
	gone := func() bool {
		select {
		case <-ended:
			return true
		default:
			return false
		}
	}
	eventually(s.t, "serve refuses, or is ready", func() bool { return gone() || strings.Contains(said.String(), `"ready"`) })
	if !gone() {
		s.alive = true
		return false, said, stop
	}
	if code := cmd.ProcessState.ExitCode(); code != exitNo {
		s.t.Errorf("serve: exit %d: %s", code, said)
	}
	return true, said, stop
}

// serve reports whether serve refuses. One that does not is stopped again.
func (s *site) serve() (refused bool, log string) {
	s.t.Helper()
	refused, said, stop := s.launch()
	if !refused {
		stop()
	}
	return refused, said.String()
}

// run has a gateway run until stop.
func (s *site) run() (stop func()) {
	s.t.Helper()
	refused, said, stop := s.launch()
	if refused {
		s.t.Fatalf("the start is refused: %s", said)
	}
	return stop
}

// used has a gateway run here once, so that there is a data directory.
func (s *site) used() {
	s.t.Helper()
	if refused, log := s.serve(); refused {
		s.t.Fatalf("the first start is refused: %s", log)
	}
}

// spoil changes a file of the data directory.
func (s *site) spoil(name string, with func(b []byte) []byte) {
	s.t.Helper()
	path := s.path("data/" + name)
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, with(bytes.Clone(b)), 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// certificatePair is a self-signed certificate of 127.0.0.1, and its key, in PEM.
func certificatePair(t *testing.T, change func(*x509.Certificate)) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * day), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	if change != nil {
		change(c)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}
