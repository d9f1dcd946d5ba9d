package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestDiskfullJudges: what a run on a full disk must show, and that each of it is asked for.
func TestDiskfullJudges(t *testing.T) {
	f := func(expectFailure bool, change func(*diskfullReport), ok bool, problem string) {
		t.Helper()
		r := diskfullReport{
			Filled: fireSummary{Acked: 9, Refused: map[string]int64{"503": 3}}, Again: fireSummary{Acked: 5}, FullSaid: `{"reasons":["storage is full (disk): …"]}`, Found: findings{Acked: 14},
		}
		change(&r)
		r.judge(expectFailure)
		if r.OK != ok || problem != "" && !strings.Contains(strings.Join(r.Problems, "\n"), problem) {
			t.Errorf("OK %v, want %v, with %q: %q", r.OK, ok, problem, r.Problems)
		}
	}
	f(false, func(*diskfullReport) {}, true, "")
	f(false, func(r *diskfullReport) { r.Found.Lost = 1 }, false, "")
	f(false, func(r *diskfullReport) { r.Found.OutOfOrder = 1 }, false, "")
	f(false, func(r *diskfullReport) { r.Found.Gaps = 1 }, false, "gaps")
	f(false, func(r *diskfullReport) { r.Filled.Refused["0"] = 1 }, false, "1 callbacks were refused with 0")
	f(false, func(r *diskfullReport) { r.Again.Refused = map[string]int64{"500": 2} }, false, "2 callbacks were refused with 500")
	f(false, func(r *diskfullReport) { r.Filled.NoRetryAfter = 1 }, false, "without Retry-After")
	f(false, func(r *diskfullReport) { r.FullSaid = `{"status":"ready"}` }, false, "/readyz said only")
	f(false, func(r *diskfullReport) { r.Again.Acked = 0 }, false, "nothing was taken again")
	f(false, func(r *diskfullReport) { r.Problems = []string{"after 30s …"} }, false, "")
	f(true, func(*diskfullReport) {}, false, "")
	f(true, func(r *diskfullReport) { r.Found.Lost, r.Again.Acked = 7, 0 }, true, "")
}

// TestDiskfullNeedsRoot: who may not mount is told so in a sentence, and the run fails.
func TestDiskfullNeedsRoot(t *testing.T) {
	if dir := os.Getenv("KYCSIM_MOUNT"); dir != "" {
		if _, err := mountDisk(filepath.Join(dir, "data"), 1<<20); err != nil {
			os.Stdout.WriteString(err.Error())
		}
		return
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestDiskfullNeedsRoot$")
	cmd.Env = append(os.Environ(), "KYCSIM_MOUNT="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if os.Geteuid() == 0 {
		for d := dir; d != os.TempDir(); d = filepath.Dir(d) { // or nobody could not come near
			if err := os.Chmod(d, 0o777); err != nil {
				t.Fatal(err)
			}
		}
		self := filepath.Join(dir, "kycsim.test")
		b, err := os.ReadFile(os.Args[0])
		if err == nil {
			err = os.WriteFile(self, b, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		cmd.Path = self
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, &out)
	}
	if !strings.Contains(out.String(), "has to run as root") || !strings.Contains(out.String(), filepath.Join(dir, "data")) {
		t.Errorf("it says %q", &out)
	}
}
