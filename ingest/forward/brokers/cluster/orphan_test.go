//go:build linux

package cluster

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// orphanVariable makes this test program a parent that starts a node, tells its process id, and
// waits to be killed.
const orphanVariable = "COUNTERSIGN_TEST_PARENT"

// TestParentDies holds that no broker outlives the program that started it, not even one that is
// killed: kernel and all, with a java that only sleeps.
func TestParentDies(t *testing.T) {
	if dir := os.Getenv(orphanVariable); dir != "" {
		n := &node{id: 1, dir: dir}
		if err := n.start(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "pid"), []byte(strconv.Itoa(n.cmd.Process.Pid)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		<-n.exited
		return
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "java"), []byte("#!/bin/sh\nexec sleep 60\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(os.Args[0], "-test.run=^TestParentDies$")
	parent.Env = append(os.Environ(), orphanVariable+"="+dir, "PATH="+dir+":"+os.Getenv("PATH"))
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	pid := 0
	wait(t, "a node", func() bool {
		b, _ := os.ReadFile(filepath.Join(dir, "pid"))
		text, whole := strings.CutSuffix(string(b), "\n")
		pid, _ = strconv.Atoi(text)
		return whole
	})
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	wait(t, "the node's end", func() bool { return gone(pid) })
}

// gone reports whether a process is no more, or waits to be buried by whoever inherited it. Signal
// 0 does nothing.
func gone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(b), ") Z ")
}

// wait polls until it is so, for 10 s at most.
func wait(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); !so(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come", what)
		}
	}
}
