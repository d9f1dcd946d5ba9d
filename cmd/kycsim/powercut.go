package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

// powercutCmd is `kycsim powercut`.
type powercutCmd struct {
	Gateway         string        `help:"The gateway's binary." required:"" type:"existingfile"`
	Disk            string        `help:"The binary of outbox/store/powercut, which shows the disk. It needs root and /dev/fuse." required:"" type:"existingfile"`
	Dir             string        `help:"An empty directory, for the configs, the disks and the ledgers." required:""`
	Mode            []string      `help:"How the disk fails before its power goes, one after the other: cut (not at all), flush-eio, flush-enospc, flush-edquot, write-eio, write-enospc, grow-enospc, slow, hang." default:"cut,flush-eio,flush-enospc,flush-edquot,write-eio,write-enospc,grow-enospc,slow,hang"`
	Cuts            int           `help:"How often the power goes, in all modes together." default:"200"`
	Rate            float64       `help:"Callbacks a second, throughout." default:"200"`
	Load            time.Duration `help:"For how long the gateway runs well before each failure, at most." default:"1s"`
	Endpoints       int           `help:"Endpoints of the partner." default:"2"`
	Persons         int           `help:"Persons at a time." default:"200"`
	EventsPerPerson int           `help:"Events of each person." default:"6"`
	Settle          time.Duration `help:"How long everything may take to arrive in the end." default:"60s"`
	Seed            uint64        `help:"Of all randomness." default:"1"`
	ExpectFailure   bool          `help:"For a gateway that is broken on purpose: exit 0 only if each mode destroys a database or loses events."`
	JSON            bool          `name:"json" help:"Print the reports as JSON."`
}

// cutsPerDatabase bounds what one disk in memory comes to.
const cutsPerDatabase = 12

// Run cuts.
func (c *powercutCmd) Run(ctx context.Context, out io.Writer) error {
	if c.Endpoints < 1 || c.Rate <= 0 || c.Cuts < len(c.Mode) {
		return errors.New("powercut: at least one endpoint, a rate and a cut for each mode are needed")
	}
	modes, err := modesOf(c.Mode)
	if err != nil {
		return err
	}
	reports := make([]*cutReport, len(modes))
	ok := true
	for i := range modes {
		cuts := c.Cuts / len(modes)
		if i < c.Cuts%len(modes) {
			cuts++
		}
		if reports[i], err = c.mode(ctx, &modes[i], cuts); err != nil {
			return fmt.Errorf("powercut %s: %w", modes[i].name, err)
		}
		reports[i].judge(c.ExpectFailure)
		ok = ok && reports[i].OK
		if !c.JSON {
			if err := reports[i].print(out, i == 0); err != nil {
				return err
			}
		}
	}
	if c.JSON {
		if err := printJSON(out, reports); err != nil {
			return err
		}
	}
	if !ok {
		return errNo
	}
	return nil
}

// mode makes all the cuts of one mode, with a new database after each few, and after each one that
// was destroyed.
func (c *powercutCmd) mode(ctx context.Context, m *cutMode, cuts int) (*cutReport, error) {
	r := &cutReport{Mode: m.name, Refused: map[string]int64{}, ready: new(latencies)}
	rng := rand.New(rand.NewPCG(c.Seed, uint64(len(m.name))<<8|uint64(m.name[len(m.name)-1]))) //nolint:gosec // to be repeatable
	began := time.Now()
	for r.Cuts < cuts && (!c.ExpectFailure || r.broken() == 0) {
		run := &cutRun{c: c, m: m, r: r, rng: rng, cuts: min(cuts-r.Cuts, cutsPerDatabase)}
		if err := run.database(ctx); err != nil {
			return nil, err
		}
	}
	r.Took = time.Since(began).Seconds()
	return r, nil
}
