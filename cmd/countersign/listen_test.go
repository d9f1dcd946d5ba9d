package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"countersign/relay/format"
)

// listens runs listen until stop, and returns what it has printed by then.
func listens(t *testing.T, args ...string) (out *notebook, stop func() (code int)) {
	t.Helper()
	out = new(notebook)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	c := &console{in: strings.NewReader(""), out: out, err: out, ctx: ctx, env: func(string) (string, bool) { return "", false }}
	go func() { ended <- run(c, append([]string{"listen", "--addr", "127.0.0.1:0"}, args...)) }()
	stop = sync.OnceValue(func() int {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { stop() })
	eventually(t, "it listens, or refuses", func() bool { return strings.Contains(out.String(), "listening on") || len(ended) > 0 })
	return out, stop
}

// TestListenKeepsItsKey: the key is the same at the next start, in a file of its owner's, and what
// is printed can be pasted into a config: a gateway with it is believed.
func TestListenKeepsItsKey(t *testing.T) {
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	file := filepath.Join(home, "countersign", "listen.key")
	first, stop := listens(t)
	fi, err := os.Stat(file)
	if err != nil || fi.Mode().Perm() != 0o600 || !strings.Contains(first.String(), "made a key, which is kept in "+file+"; move the file aside to have another") {
		t.Fatalf("%v %v: %s", fi, err, first)
	}
	key, err := os.ReadFile(file)
	if err != nil || strings.Contains(first.String(), strings.TrimSpace(string(key))) {
		t.Errorf("the key is printed (%v): %s", err, first)
	}
	if code := stop(); code != exitYes {
		t.Errorf("exit %d", code)
	}
	second, _ := listens(t)
	if again, err := os.ReadFile(file); err != nil || string(again) != string(key) || !strings.Contains(second.String(), "the key is the one in "+file) {
		t.Errorf("the second start (%v): %s", err, second)
	}
	pasted := regexp.MustCompile(`(?s)(partners:\n.*?\]\}\n)`).FindString(second.String())
	dir := t.TempDir()
	write(t, dir, "sumsub.key", "sumsub-secret-canary")
	config := write(t, dir, "countersign.yaml", fmt.Sprintf("data: %s/data\nlisten: {callbacks: \"%s\", control: \"%s\"}\nsources:\n  - {name: sumsub-eu, provider: sumsub, keys: [file:sumsub.key], partner: acme}\n%s",
		dir, freeAddr(t), freeAddr(t), pasted))
	if code, out, errs := cli(t, nil, "check", "--config", config); code != exitYes {
		t.Fatalf("what was printed is no config: %s%s\n%s", out, errs, pasted)
	}
	start(t, config)
	if code, out, errs := cli(t, nil, "trigger", "--config", config, "sumsub-eu", "approved"); code != exitYes {
		t.Fatal(out, errs)
	}
	eventually(t, "the delivery is verified", func() bool { return strings.Contains(second.String(), " verified ") })
	command := regexp.MustCompile(`(?m)^countersign (endpoints create .*) --out \S+$`).FindStringSubmatch(second.String())
	if command == nil {
		t.Fatalf("no command: %s", second)
	}
	args := append(strings.Fields(command[1]), "--config", config, "--out", filepath.Join(dir, "made.key"))
	for i := range args {
		args[i] = strings.Replace(args[i], "acme-listen", "acme-again", 1)
	}
	if code, out, errs := cli(t, nil, args...); code != exitYes {
		t.Errorf("the command that it prints: %s%s", out, errs)
	}
}

// TestListenRefusesItsKey: a key file that cannot be used is named, and left as it is.
func TestListenRefusesItsKey(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		file := write(t, t.TempDir(), "listen.key", text)
		out, stop := listens(t, "--key-file", file)
		if code := stop(); code != exitNo || !strings.Contains(out.String(), file) || !strings.Contains(out.String(), want) || strings.Contains(out.String(), "listening on") {
			t.Errorf("%q: exit %d: %s", text, code, out)
		}
		if b, err := os.ReadFile(file); err != nil || string(b) != text {
			t.Errorf("%q has become %q (%v)", text, b, err)
		}
	}
	f("", "it is empty; it is left as it is")
	f("whsec_MDEy\n", "is damaged: ")
	f(acmeKey[:20], "is damaged: ")
	f(strings.Replace(acmeKey, "M", "*", 1), "is damaged: ")
	f("garbage", "does not begin with whsec_")
	f(acmeKey+"\n"+acmeKey+"\n", "more than one line")
	dir := t.TempDir()
	out, stop := listens(t, "--key-file", dir)
	if code := stop(); code != exitNo || !strings.Contains(out.String(), "it is not a regular file") {
		t.Errorf("a directory: exit %d: %s", code, out)
	}
	out, stop = listens(t, "--key-file", filepath.Join(dir, "k"), "--key", "env:X")
	if code := stop(); code != exitUsage {
		t.Errorf("both: exit %d: %s", code, out)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("nowhere", link); err != nil {
		t.Fatal(err)
	}
	out, stop = listens(t, "--key-file", link)
	if code := stop(); code != exitNo || !strings.Contains(out.String(), link) {
		t.Errorf("a link to nowhere: exit %d: %s", code, out)
	}
}

// TestListenKeyOfEachFormat: with its own key listen is a partner of every format, or says why not
// before it listens.
func TestListenKeyOfEachFormat(t *testing.T) {
	file := filepath.Join(t.TempDir(), "listen.key")
	for _, f := range format.All {
		out, stop := listens(t, "--format", f.Name, "--key-file", file)
		if code := stop(); code != exitYes || f.Name != "standard" && !strings.Contains(out.String(), "format: "+f.Name+", keys: [") {
			t.Errorf("%s: exit %d: %s", f.Name, code, out)
		}
	}
}

// TestListenKeyOfTwo: two that start at once have one key.
func TestListenKeyOfTwo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a", "listen.key")
	var wg sync.WaitGroup
	var made [8]bool
	var sums [8]string
	for i := range made {
		wg.Go(func() {
			k, m, err := keptKey(file)
			made[i] = m
			k.With(func(secret []byte) { sums[i] = string(secret) })
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	makers := 0
	for i := range made {
		if made[i] {
			makers++
		}
		if sums[i] != sums[0] {
			t.Error("two keys were used")
		}
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(file), ".*")); makers != 1 || len(left) > 0 {
		t.Errorf("%d made the file; left behind: %v %v", makers, left, err)
	}
}
