package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"time"
)

// cutMode is one way in which a disk fails before its power goes.
type cutMode struct {
	name    string
	plan    func(rng *rand.Rand) diskPlan
	ends    bool          // the gateway may end by itself, with exit code 1
	hangs   bool          // nothing moves any more once it has failed: the power has to go by time
	maxSize string        // of the database: it grows by a 64th of it at a time
	late    time.Duration // how long before its end the gateway may have got answers that it could not write down
}

// The styles of a cut, in turn: nothing of what was not flushed is there, the first so much, any of
// it, or the last so much.
var cutStyles = []string{"drop", "keep", "tear", "reorder"}

// A commit makes a few dozen calls, two of them flushes. soon is up to the fourth commit from now.
func soon(rng *rand.Rand) int { return rng.IntN(8) }

// metaPages is where bbolt's two meta pages end, in bytes.
const metaPages = 8192

// failedFlush is a flush that fails once, a few times or until the power goes, of a meta page more
// often than not; the power goes within the next writes, of whoever makes them.
func failedFlush(errno syscall.Errno) func(rng *rand.Rand) diskPlan {
	return func(rng *rand.Rand) diskPlan {
		p := diskPlan{Call: "flush", After: soon(rng), Times: []int{1, 2 + rng.IntN(4), -1}[rng.IntN(3)], Errno: errno, CutAfter: rng.IntN([]int{12, 60}[rng.IntN(2)])}
		if p.Times < 0 {
			p.CutAfter = rng.IntN(200)
		}
		if rng.IntN(3) > 0 {
			p.Below = metaPages
		}
		return p
	}
}

func failedWrite(errno syscall.Errno) func(rng *rand.Rand) diskPlan {
	return func(rng *rand.Rand) diskPlan {
		return diskPlan{Call: "write", After: rng.IntN(60), Times: 1 + rng.IntN(3), Errno: errno, Part: rng.IntN(2) == 0, CutAfter: rng.IntN(200)}
	}
}

// cutModes are all of them.
var cutModes = []cutMode{
	{name: "cut", late: time.Second, plan: func(rng *rand.Rand) diskPlan { return diskPlan{CutAfter: rng.IntN(400)} }},
	{name: "flush-eio", ends: true, late: 5 * time.Second, plan: failedFlush(syscall.EIO)},
	{name: "flush-enospc", ends: true, late: 5 * time.Second, plan: failedFlush(syscall.ENOSPC)},
	{name: "flush-edquot", ends: true, late: 5 * time.Second, plan: failedFlush(syscall.EDQUOT)},
	{name: "write-eio", ends: true, late: 5 * time.Second, plan: failedWrite(syscall.EIO)},
	{name: "write-enospc", ends: true, late: 5 * time.Second, plan: failedWrite(syscall.ENOSPC)},
	{name: "grow-enospc", maxSize: "64MiB", ends: true, late: 5 * time.Second, plan: func(rng *rand.Rand) diskPlan {
		return diskPlan{Call: "grow", Errno: syscall.ENOSPC, Times: 1 + rng.IntN(3), CutAfter: rng.IntN(200)}
	}},
	{name: "slow", late: 5 * time.Second, plan: func(rng *rand.Rand) diskPlan {
		return diskPlan{Call: "flush", Times: -1, Slow: time.Duration(50+rng.IntN(300)) * time.Millisecond, CutAfter: 20 + rng.IntN(150)}
	}},
	{name: "hang", hangs: true, late: 5 * time.Second, plan: func(rng *rand.Rand) diskPlan {
		return diskPlan{Call: "flush", After: soon(rng), Hang: true, CutAfter: -1}
	}},
}

// modesOf finds modes by their names.
func modesOf(names []string) ([]cutMode, error) {
	var modes []cutMode
	for _, name := range names {
		i := slices.IndexFunc(cutModes, func(m cutMode) bool { return m.name == name })
		if i < 0 {
			known := make([]string, len(cutModes))
			for k := range cutModes {
				known[k] = cutModes[k].name
			}
			return nil, fmt.Errorf("powercut: there is no mode %q, but %s", name, strings.Join(known, ", "))
		}
		modes = append(modes, cutModes[i])
	}
	return modes, nil
}
