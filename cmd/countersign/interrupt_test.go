package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestInterrupted: a command that waits for a file or for somebody who types, and so looks at no
// context, is ended by one interrupt or SIGTERM all the same, with exit 1 and a word.
func TestInterrupted(t *testing.T) {
	f := func(with os.Signal, args ...string) {
		t.Helper()
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel() // each waits a second
			interrupted(t, with, args)
		})
	}
	f(syscall.SIGTERM, "check", "--config", "FIFO")
	f(os.Interrupt, "check", "--config", "FIFO", "--config-only")
	f(syscall.SIGTERM, "serve", "--config", "FIFO")
	f(syscall.SIGTERM, "doctor", "--config", "FIFO")
	f(syscall.SIGTERM, "translate", "--provider", "sumsub", "--body", "FIFO")
}

// interrupted wants a command that reads FIFO, which never ends, to end with this signal.
func interrupted(t *testing.T, with os.Signal, args []string) {
	t.Helper()
	fifo := filepath.Join(t.TempDir(), "never.yaml")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "FIFO", fifo)
	}
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "COUNTERSIGN_BE_MAIN=1")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tooLong := time.AfterFunc(time.Minute, func() {
		cmd.Process.Kill()
		if reader, err := os.OpenFile(fifo, os.O_RDONLY|syscall.O_NONBLOCK, 0); err == nil { // whoever waits for one below goes on
			time.AfterFunc(time.Second, func() { reader.Close() })
		}
	})
	defer tooLong.Stop()
	writer, err := os.OpenFile(fifo, os.O_WRONLY, 0) // waits until the command reads
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if err := cmd.Process.Signal(with); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != exitNo || !strings.Contains(said.String(), "interrupted") {
		t.Errorf("%v: %v, and said %q", args, err, said.String())
	}
}

// TestCheckInterrupted: of a check that was interrupted nothing is said to be in order.
func TestCheckInterrupted(t *testing.T) {
	_, config := house(t, "http://127.0.0.1:9/")
	var said bytes.Buffer
	ctx, end := context.WithCancel(t.Context())
	end()
	c := &console{in: strings.NewReader(""), out: &said, err: &said, ctx: ctx, env: func(string) (string, bool) { return "", false }}
	if code := run(c, []string{"check", "--config", config}); code != exitNo || !strings.Contains(said.String(), "interrupted") || strings.Contains(said.String(), "in order") {
		t.Errorf("exit %d\n%s", code, said.String())
	}
}
