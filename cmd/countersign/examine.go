package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"syscall"

	"countersign/ingest/journal"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay"
)

// The examination of a file runs in a process of its own: with a bound on its memory, ended by
// whoever ends this one, and if it should die of what it reads, that is an answer.
const examineHeap = 192 << 20 // bytes that the collector keeps to

// examineData is how many bytes of address space it may write to, which the runtime reserves far
// ahead of their use; 0: as many as it likes.
var examineData uint64 = 768 << 20

// auditors look at how the records of each part of a file fit together.
func auditors() []store.NewAuditor {
	return []store.NewAuditor{journal.NewAuditor, outbox.NewAuditor, relay.NewAuditor}
}

// answer is a line that the other process writes.
type answer struct {
	Step    string        `json:"step,omitempty"`
	Done    int64         `json:"done,omitempty"` // of Total bytes
	Total   int64         `json:"total,omitempty"`
	Report  *store.Report `json:"report,omitempty"`
	Error   string        `json:"error,omitempty"`
	Corrupt bool          `json:"corrupt,omitempty"` // what the error wraps
	Locked  bool          `json:"locked,omitempty"`
	Denied  bool          `json:"denied,omitempty"`
}

// examineHere is the other process: it examines, and writes answers a line each.
func examineHere(ctx context.Context, out io.Writer, path, to string) error {
	debug.SetMemoryLimit(examineHeap)
	if examineData > 0 {
		if err := syscall.Setrlimit(syscall.RLIMIT_DATA, &syscall.Rlimit{Cur: examineData, Max: examineData}); err != nil {
			return fmt.Errorf("bound the memory: %w", err)
		}
	}
	lines := json.NewEncoder(out)
	step, percent := "", int64(-1)
	rep, err := store.Examine(ctx, path, to, func(p store.Progress) {
		if now := p.Done * 100 / max(p.Total, 1); p.Step != step || now != percent {
			step, percent = p.Step, now
			lines.Encode(answer{Step: p.Step, Done: p.Done, Total: p.Total}) //nolint:errcheck,gosec // whoever asked has gone: the signal comes
		}
	}, auditors()...)
	a := answer{Report: &rep}
	if err != nil {
		a.Error, a.Corrupt, a.Locked = err.Error(), errors.Is(err, store.ErrCorrupt), errors.Is(err, store.ErrLocked)
		a.Denied = errors.Is(err, fs.ErrPermission)
	}
	return lines.Encode(a)
}

// examined is an error that came from the other process.
type examined struct {
	text string
	is   error
}

// Error implements error.
func (e *examined) Error() string { return e.text }

// Unwrap is what it is a kind of; nil: none that is known.
func (e *examined) Unwrap() error { return e.is }

// examineApart is a store.Examiner.
func examineApart(ctx context.Context, path, to string, tick func(store.Progress)) (rep store.Report, err error) {
	self, err := os.Executable()
	if err != nil {
		return rep, fmt.Errorf("find this program: %w", err)
	}
	args := []string{"check", "--file", path, "--answers"}
	if to != "" {
		args = append(args, "--repair", to)
	}
	cmd := exec.CommandContext(ctx, self, args...) //nolint:gosec // this program itself
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return rep, fmt.Errorf("examine %s: %w", path, err)
	}
	if err := cmd.Start(); err != nil {
		return rep, fmt.Errorf("examine %s: %w", path, err)
	}
	last := listen(out, tick)
	err = cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return rep, ctx.Err()
	case last.Report == nil: // it died: of its memory's bound, or of a fault
		return rep, fmt.Errorf("%s: %w: reading it ends the process that tries (%w); it is left as it is: restore a backup or move it aside", path, store.ErrCorrupt, err)
	case last.Error == "":
		return *last.Report, nil
	}
	e := &examined{text: last.Error}
	switch {
	case last.Corrupt:
		e.is = store.ErrCorrupt
	case last.Locked:
		e.is = store.ErrLocked
	case last.Denied:
		e.is = fs.ErrPermission
	}
	return *last.Report, e
}

// listen reads answers until the last one.
func listen(out io.Reader, tick func(store.Progress)) (last answer) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var a answer
		if json.Unmarshal(lines.Bytes(), &a) != nil {
			continue
		}
		if last = a; a.Report == nil && tick != nil {
			tick(store.Progress{Step: a.Step, Done: a.Done, Total: a.Total})
		}
	}
	return last
}

// file checks a database file, for people.
func (cmd *checkCommand) file(c *console) error {
	if cmd.Answers {
		return examineHere(c.ctx, c.out, cmd.File, cmd.Repair)
	}
	work := c.working("check " + cmd.File)
	rep, err := examineApart(c.ctx, cmd.File, cmd.Repair, work.examined)
	work.end()
	if err != nil {
		return err
	}
	if cmd.JSON {
		if err := c.show(rep); err != nil {
			return err
		}
	} else {
		cmd.tell(c, &rep)
	}
	if !rep.Sound() || len(rep.Problems) > 0 {
		return errNo
	}
	return nil
}

func (cmd *checkCommand) tell(c *console, rep *store.Report) {
	for _, n := range slices.Sorted(maps.Keys(rep.Damaged)) {
		c.printf("%s: bucket %s: %d damaged record(s)\n", cmd.File, n, rep.Damaged[n])
	}
	for _, n := range slices.Sorted(maps.Keys(rep.Corrected)) {
		c.printf("%s: bucket %s: %d record(s) with one bit flipped, which is known\n", cmd.File, n, rep.Corrected[n])
	}
	if rep.Bent {
		c.printf("%s: records stand where they are not looked for\n", cmd.File)
	}
	for _, p := range rep.Problems {
		c.printf("%s: %s\n", cmd.File, p)
	}
	switch {
	case !rep.Sound() && cmd.Repair != "":
		c.printf("%s: made of the %d records that can be read; what cannot is kept in its bucket damaged\n", cmd.Repair, rep.Records)
	case !rep.Sound():
		c.printf("%s: the next start makes a new file of what can be read, and keeps this one beside it (check --repair FILE makes one now)\n", cmd.File)
	case len(rep.Problems) == 0:
		c.printf("%s: every page and all %d records are in order\n", cmd.File, rep.Records)
	}
}
