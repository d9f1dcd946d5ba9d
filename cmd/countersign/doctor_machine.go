package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"countersign/outbox/store"
)

// What a clock may be off by. Partners and providers refuse what is signed more than five minutes
// ago, or ahead.
const (
	skewDoubt = 5 * time.Second
	skewBad   = time.Minute
)

// dates are what others say the time is.
type dates struct {
	mu  sync.Mutex // guards all
	all []otherTime
}

type otherTime struct {
	by    string
	ahead time.Duration // of our clock
}

// note compares the Date of an answer with our clock. A Date has whole seconds.
func (d *dates) note(by, date string, asked, answered time.Time) {
	at, err := time.Parse(time.RFC1123, date)
	if err != nil {
		return
	}
	ours := asked.Add(answered.Sub(asked) / 2)
	ahead := ours.Sub(at.Add(500 * time.Millisecond))
	if slack := answered.Sub(asked)/2 + time.Second; ahead.Abs() <= slack {
		ahead = 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, otherTime{by, ahead})
}

// tick is a moment by both clocks of this machine.
type tick struct {
	wall, mono time.Time
}

func startTick() tick { now := time.Now(); return tick{now.Round(0), now} }

// clock says what all that was asked meanwhile comes to. It takes no time.
func (d *doctor) clock(began tick) (found []finding) {
	now := time.Now()
	if set := now.Round(0).Sub(began.wall) - now.Sub(began.mono); set.Abs() > time.Second {
		found = append(found, doubt("find out who sets it: there must be one time service, and it must not jump", "the clock was set by %s while doctor looked", set.Round(time.Millisecond)))
	}
	d.dates.mu.Lock()
	all := slices.Clone(d.dates.all)
	d.dates.mu.Unlock()
	found = append(found, d.compared(all)...)
	if d.cfg != nil {
		found = append(found, clockKept()...)
		found = append(found, lastStamp(d.cfg.Data, now)...)
	}
	for i := range found {
		found[i].Probe = "clock"
	}
	return found
}

// compared judges our clock by those of others: by the one in the middle, since any of them may be
// the one that is wrong.
func (d *doctor) compared(all []otherTime) []finding {
	if len(all) == 0 {
		return []finding{fine("nobody told the time that it could be compared with")}
	}
	slices.SortFunc(all, func(a, b otherTime) int { return int(a.ahead - b.ahead) })
	middle := all[len(all)/2]
	whose := "this machine's clock"
	if d.cfg == nil {
		whose = "this machine's clock, against the gateway's,"
	}
	switch off := middle.ahead.Abs(); {
	case off > skewBad:
		return []finding{bad("have one time service keep it (chrony, systemd-timesyncd): signatures with this time are refused", "%s is %s %s, by the answers of %d host(s)", whose, off.Round(time.Second), aheadOrBehind(middle.ahead), len(all))}
	case off > skewDoubt:
		return []finding{doubt("have one time service keep it (chrony, systemd-timesyncd)", "%s is %s %s, by the answers of %d host(s)", whose, off.Round(time.Second), aheadOrBehind(middle.ahead), len(all))}
	}
	found := []finding{fine("%s agrees with the answers of %d host(s)", whose, len(all))}
	for _, one := range all {
		if one.ahead.Abs() > skewBad {
			f := doubt("tell them: they refuse what is signed with the right time", "the clock of %s is %s %s", one.by, one.ahead.Abs().Round(time.Second), aheadOrBehind(-one.ahead))
			found = append(found, f)
		}
	}
	return found
}

func aheadOrBehind(d time.Duration) string {
	if d > 0 {
		return "ahead"
	}
	return "behind"
}

// clockKept asks the kernel whether somebody keeps the clock right.
func clockKept() []finding {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	switch {
	case err != nil:
		return nil // it may not be asked here
	case state == unix.TIME_ERROR || t.Status&unix.STA_UNSYNC != 0:
		return []finding{doubt("start one (chrony, systemd-timesyncd); in a container, on its host", "the kernel knows of no time service that keeps the clock")}
	}
	return []finding{fine("a time service keeps it, to within %s", time.Duration(t.Maxerror*int64(time.Microsecond)).Round(time.Millisecond))}
}

// lastStamp compares the clock with the last write to the data directory.
func lastStamp(dir string, now time.Time) []finding {
	var last time.Time
	for _, path := range store.Files(dir) {
		if fi, err := os.Stat(path); err == nil && fi.ModTime().After(last) {
			last = fi.ModTime()
		}
	}
	if ahead := last.Sub(now); ahead > time.Second {
		return []finding{bad("set it right before anything else: what is due waits until the clock is there again, and what it signs is refused", "it is %s before the last write to %s: it was set back", ahead.Round(time.Second), dir)}
	}
	return nil
}

// What a flush may take. A callback waits for two, and is answered 503 after two seconds.
const (
	flushDoubt   = 20 * time.Millisecond
	flushBad     = 250 * time.Millisecond
	flushMaxBad  = time.Second
	manyInodes   = 1000
	flushAtMost  = 4 * time.Second
	memoryDoubt  = 64 << 20
	filesAreMany = 0.8 // of those that may be open
)

// disk looks at the disk of the data directory.
func (d *doctor) disk(context.Context) (found []finding) {
	dir := d.cfg.Data
	disk, err := store.LookAtDisk(dir, d.cfg.Storage.MaxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return []finding{doubt("countersign check says whether it can be made", "is not there yet: the first start makes it")}
	}
	if err != nil {
		return []finding{bad("countersign check says more", "%v", err)}
	}
	switch {
	case disk.Free < disk.Reserve:
		found = append(found, bad("make room: below "+mebibytes(disk.Reserve)+" callbacks are refused", "%s are free", mebibytes(disk.Free)))
	case disk.Free < 4*disk.Reserve:
		found = append(found, doubt("make room: below "+mebibytes(disk.Reserve)+" callbacks are refused", "%s are free", mebibytes(disk.Free)))
	default:
		found = append(found, fine("%s are free; callbacks are refused below %s", mebibytes(disk.Free), mebibytes(disk.Reserve)))
	}
	switch {
	case disk.Inodes == 0:
		found = append(found, bad("remove files: a start makes some, and so does a backup", "no file can be made any more (inodes)"))
	case disk.Inodes > 0 && disk.Inodes < manyInodes:
		found = append(found, doubt("remove files: a start makes some, and so does a backup", "%d more files can be made (inodes)", disk.Inodes))
	}
	switch {
	case disk.Remote:
		found = append(found, bad("use a local disk: a gateway refuses to start here", "is on %s, where locks and memory maps cannot be trusted", disk.Kind))
	case disk.Kind != "" && d.cfg.Live():
		found = append(found, bad("use a disk that outlasts the machine, or a volume of the container", "is on %s: what is kept there is gone with the machine or the container", disk.Kind))
	case disk.Kind != "":
		found = append(found, doubt("use a disk that outlasts the machine, or a volume of the container", "is on %s: what is kept there is gone with the machine or the container", disk.Kind))
	}
	return append(found, d.flushes(dir)...)
}

// flushes times what every callback waits for.
func (d *doctor) flushes(dir string) []finding {
	took, err := store.TimeFlushes(dir, flushAtMost, d.flush)
	if err != nil {
		return []finding{bad(usualRemedy(err), "no file can be written and flushed: %v", err)}
	}
	slices.Sort(took)
	p50, longest := took[len(took)/2], took[len(took)-1]
	what := fmt.Sprintf("a flush takes %s, at most %s (of %d)", millis(p50), millis(longest), len(took))
	switch {
	case p50 > flushBad || longest > flushMaxBad:
		return []finding{bad("find what else writes to it (iostat -x), or use a faster one: a callback waits for two flushes, and is refused after 2 s", "%s", what)}
	case p50 > flushDoubt || longest > flushBad:
		return []finding{doubt("find what else writes to it (iostat -x), or use a faster one: a callback waits for two flushes", "%s", what)}
	}
	return []finding{fine("%s", what)}
}

// descriptors compares how many files may be open with how many this config needs: of the gateway
// that runs, if there is one, else of whoever asks.
func (d *doctor) descriptors(context.Context) []finding {
	files, err := maxFiles()
	whose, open := "a process like this one", -1
	if pid, held := store.Holder(d.cfg.Data); held {
		if n, perr := strconv.Atoi(pid); perr == nil {
			var l unix.Rlimit
			if unix.Prlimit(n, unix.RLIMIT_NOFILE, nil, &l) == nil {
				files, err, whose = int(min(l.Cur, 1<<30)), nil, "the gateway (pid "+pid+")"
			}
			if all, rerr := os.ReadDir(filepath.Join("/proc", pid, "fd")); rerr == nil {
				open = len(all)
			}
		}
	}
	if err != nil {
		return []finding{bad("look at ulimit -n", "%v", err)}
	}
	l, err := newLimits(d.cfg, files)
	if err != nil {
		return []finding{bad("raise it with ulimit -n, or LimitNOFILE= in a unit of systemd", "%s: %v", whose, err)}
	}
	what := fmt.Sprintf("%s may open %d files", whose, files)
	if open >= 0 {
		what += fmt.Sprintf(", and has %d open", open)
	}
	switch {
	case open >= 0 && float64(open) > filesAreMany*float64(files):
		return []finding{doubt("raise it with ulimit -n, or LimitNOFILE= in a unit of systemd; ls -l /proc/PID/fd says what they are", "%s", what)}
	case l.reduced():
		return []finding{doubt("raise it with ulimit -n, or LimitNOFILE= in a unit of systemd", "%s: that is %d connections of providers at once, and %d endpoint(s) get fewer attempts at once than they ask for", what, l.callbacks, len(l.attempts))}
	}
	return []finding{fine("%s: enough for %d connections of providers and every attempt of every endpoint", what, l.callbacks)}
}

// memory compares what there is with what bodies alone may take.
func (d *doctor) memory(context.Context) (found []finding) {
	limit := memoryLimit("/")
	if limit == 0 {
		return []finding{doubt("look at free -m", "nobody knows how much there is")}
	}
	bodies, _, _ := d.cfg.bodies(limit)
	if bodies > limit/2 {
		found = append(found, doubt("lower limits.bodies, or give it more memory", "bodies of callbacks may take %s of %s", mebibytes(bodies), mebibytes(limit)))
	} else {
		found = append(found, fine("%s for this process, of which bodies of callbacks may take %s", mebibytes(limit), mebibytes(bodies)))
	}
	if left, known := available(); known && left < memoryDoubt {
		found = append(found, doubt("see what else takes it (ps aux --sort -rss): the kernel ends a process next", "%s of the machine's memory are left", mebibytes(left)))
	}
	return found
}

// available is how much memory of the machine may still be had, in bytes.
func available() (n int64, known bool) {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(b)) {
		if words := strings.Fields(line); len(words) == 3 && words[0] == "MemAvailable:" {
			n, err := strconv.ParseInt(words[1], 10, 64)
			return n << 10, err == nil
		}
	}
	return 0, false
}
