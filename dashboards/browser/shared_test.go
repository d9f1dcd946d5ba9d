package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// shared is where what all tests use is made, once.
var shared string

// TestMain makes the directory, and takes it away.
func TestMain(m *testing.M) {
	var err error
	if shared, err = os.MkdirTemp("", "console-in-a-browser-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := os.RemoveAll(shared); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// thing is made by whoever needs it first.
type thing struct {
	once sync.Once
	make func() (string, error)
	is   string
	err  error
}

func (o *thing) of(t *testing.T) string {
	t.Helper()
	if o.once.Do(func() { o.is, o.err = o.make() }); o.err != nil {
		t.Fatal(o.err)
	}
	return o.is
}

var (
	axe     = thing{make: readAxe}      // the source of axe-core
	program = thing{make: buildGateway} // where the gateway's binary is
)

// readAxe has axe-core from the npm registry, as the lock file has it.
func readAxe() (string, error) {
	dir := filepath.Join(shared, "axe")
	if err := os.CopyFS(dir, os.DirFS("testdata")); err != nil {
		return "", err
	}
	install := exec.CommandContext(context.Background(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("axe-core cannot be installed; npm ci: %w\n%s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "node_modules", "axe-core", "axe.min.js"))
	return string(b), err
}

func buildGateway() (string, error) {
	binary := filepath.Join(shared, "countersign")
	build := exec.CommandContext(context.Background(), "go", "build", "-o", binary, "./cmd/countersign")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the gateway: %w\n%s", err, out)
	}
	return binary, nil
}
