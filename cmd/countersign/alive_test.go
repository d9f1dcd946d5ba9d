package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"countersign/outbox/store"
	"countersign/relay/control"
	"countersign/relay/control/api"
)

// holdCheck names a file: while it is there, whoever examines a database hands on what it says up
// to half of its way, and no more.
const holdCheck = "COUNTERSIGN_HOLD_CHECK"

// heldCheck runs the examination as it was asked for, in another process, and hands on what it
// says. It returns its exit code.
func heldCheck(gate string) int {
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), holdCheck+"=")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		fmt.Fprintln(os.Stdout, lines.Text())
		var a answer
		if json.Unmarshal(lines.Bytes(), &a) != nil || a.Done*2 < a.Total {
			continue
		}
		for {
			if _, err := os.Stat(gate); err != nil {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	if err := cmd.Wait(); err != nil {
		return 1
	}
	return 0
}

// fatten makes a database that takes several steps to examine.
func fatten(t *testing.T, dir string) {
	t.Helper()
	s, err := store.Open(store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	for i := range 24 {
		err = errors.Join(err, s.Update(ctx, func(tx *store.Tx) error {
			return tx.Bucket(store.Damaged).PutRecord(fmt.Appendf(nil, "%08d", i), store.NewRecord(make([]byte, 1<<20)))
		}))
	}
	stop()
	if err := errors.Join(err, <-ended, s.Close()); err != nil {
		t.Fatal(err)
	}
}

// probes asks /healthz as a kubelet does, until it is told to stop, and says how often it was
// answered and what went wrong after the first answer.
func (m *machine) probes(ctx context.Context) (answered int, faults []string) {
	for ctx.Err() == nil {
		status, text := m.control("/healthz")
		switch {
		case ctx.Err() != nil:
		case status == http.StatusOK:
			answered++
		case answered > 0: // it listens by now
			faults = append(faults, fmt.Sprintf("%d %s", status, text))
		}
		time.Sleep(10 * time.Millisecond)
	}
	return answered, faults
}

// TestAliveWhileTheFileIsChecked: the program itself answers probes while another process reads the
// file: it lives, it is not ready, how far it is; and nobody is answered anything else.
func TestAliveWhileTheFileIsChecked(t *testing.T) {
	dir, config := house(t, "http://127.0.0.1:9/hook")
	fatten(t, filepath.Join(dir, "data"))
	gate := write(t, dir, "gate", "")
	m := launch(t, config, "", func(c *exec.Cmd) { c.Env = append(c.Env, holdCheck+"="+gate) })
	probing, stop := context.WithCancel(t.Context())
	defer stop()
	type result struct {
		answered int
		faults   []string
	}
	done := make(chan result, 1)
	go func() {
		n, faults := m.probes(probing)
		done <- result{n, faults}
	}()
	var h api.Health
	healthy := func(want string, least int64) bool {
		status, text := m.control("/healthz")
		h = api.Health{}
		if status != http.StatusOK {
			return false
		}
		if err := json.Unmarshal([]byte(text), &h); err != nil || h.Status != "ok" {
			t.Fatalf("%s: %v", text, err)
		}
		return h.Phase == want && (least == 0 || h.Percent != nil && *h.Percent >= least)
	}
	eventually(t, "half of the file is checked", func() bool { return healthy(store.StepCheck, 50) })
	if *h.Percent >= 100 {
		t.Errorf("%d %% of a check that is held", *h.Percent)
	}
	status, text := m.control("/readyz")
	var r api.Ready
	if err := json.Unmarshal([]byte(text), &r); err != nil || status != http.StatusServiceUnavailable || r.Phase != store.StepCheck || r.Percent == nil || len(r.Reasons) != 1 {
		t.Errorf("/readyz: %d %s, %v", status, text, err)
	}
	for _, path := range []string{"/v1/endpoints", "/v1/audit", "/debug/pprof/cmdline", "/nothing"} {
		if status, text := m.control(path); status != http.StatusServiceUnavailable || !strings.Contains(text, "not_ready") {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	if err := os.Remove(gate); err != nil {
		t.Fatal(err)
	}
	m.ready()
	eventually(t, "it serves", func() bool { return healthy(control.PhaseServing, 0) })
	if h.Percent != nil {
		t.Errorf("it serves, %d %%", *h.Percent)
	}
	stop()
	if p := <-done; p.answered < 2 || len(p.faults) > 0 {
		t.Errorf("%d probes were answered, and %d would count against it: %q", p.answered, len(p.faults), p.faults)
	}
}

// TestPhases: what is said of a mending, and of a stop, and that a fresh start says that it starts.
func TestPhases(t *testing.T) {
	g := &gateway{}
	w := &waiting{g: g}
	g.waiting = w
	f := func(phase, reason string, percent int64) {
		t.Helper()
		d := g.doing()
		far := int64(-1)
		if d.Percent != nil {
			far = *d.Percent
		}
		if d.Phase != phase || far != percent || w.state() != reason {
			t.Errorf("%s, %d %%, %q; want %s, %d %%, %q", d.Phase, far, w.state(), phase, percent, reason)
		}
	}
	f("starting", "starting", -1)
	w.examine.Store(&store.Progress{Step: store.StepCheck, Done: 437, Total: 1000})
	f("checking_file", "checking the file, 43 %", 43)
	w.examine.Store(&store.Progress{Step: store.StepMend, Done: 5, Total: 1000})
	f("repairing_file", "writing what can be read of the damaged file to a new one, 0 %", 0)
	w.examined()
	f("starting", "starting", -1)
	g.phase.Store(stopping)
	f("stopping", "starting", -1)
	if d := g.doing().To(false); d != (control.Doing{}) {
		t.Errorf("strangers are told %v", d)
	}
}

// TestMendingIsTold: the examination of a damaged file says when it goes over to mending.
func TestMendingIsTold(t *testing.T) {
	dir := t.TempDir()
	fatten(t, dir)
	damage(t, dir, store.Damaged, "00000003")
	var steps []string
	rep, err := examineApart(t.Context(), filepath.Join(dir, "countersign.db"), filepath.Join(dir, "mended"), func(p store.Progress) {
		if p.Total <= 0 || p.Done > p.Total {
			t.Errorf("%d of %d", p.Done, p.Total)
		}
		if len(steps) == 0 || steps[len(steps)-1] != p.Step {
			steps = append(steps, p.Step)
		}
	})
	if err != nil || rep.Sound() || strings.Join(steps, " ") != "checking_file repairing_file" {
		t.Errorf("%v, sound %v, %v", steps, rep.Sound(), err)
	}
}
