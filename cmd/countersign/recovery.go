package main

import (
	"context"
	"time"

	"countersign/ingest/journal"
	"countersign/outbox/store"
)

// recovery is what a start found that the last stop had left: told in one line, once, and only if
// there was something.
type recovery struct {
	took    time.Duration // by the examination of the file
	last    int64         // offset of the newest record
	waiting int64         // records that somebody had not read yet, or that were not yet forgotten
}

// examine examines a file apart. In the opening that is the database; later it is a backup.
func (g *gateway) examine(ctx context.Context, path, to string, tick func(store.Progress)) (store.Report, error) {
	started := time.Now()
	if g.store == nil && g.waiting != nil {
		g.waiting.checked(store.Progress{Step: store.StepCheck})
		defer g.waiting.examined()
	}
	examiner := g.examiner
	if examiner == nil {
		examiner = examineApart
	}
	rep, err := examiner(ctx, path, to, tick)
	if g.store == nil {
		g.recovery.took = time.Since(started)
	}
	return rep, err
}

// look notes what was waiting, before new callbacks are taken.
func (r *recovery) look(j *journal.Bolt) {
	r.waiting = j.Backlog()
	r.last = j.Forgotten() + r.waiting
}

// tellRecovery logs it. Nothing is folded or delivered twice by that: effects and positions are on
// disk together.
func (g *gateway) tellRecovery() error {
	waiting, owed := g.recovery.waiting, int64(0)
	if g.outbox != nil {
		waiting = max(0, g.recovery.last-g.relay.Position())
		for _, p := range g.cfg.Partners {
			for _, e := range p.Endpoints {
				owed += g.outbox.Owed(e.ID)
			}
		}
	}
	found := g.store.Found()
	if !g.store.Unclean() && (found == nil || found.Sound() && len(found.Problems) == 0) && waiting == 0 && owed == 0 {
		return nil
	}
	stop := "clean"
	if g.store.Unclean() {
		stop = "unclean"
	}
	if found != nil {
		for _, p := range found.Problems {
			g.log.Error("file_inconsistent", "problem", p)
		}
	}
	g.log.Info("recovered", "last_stop", stop, "check_took_ms", float64(g.recovery.took.Microseconds())/1000, "file_bytes", g.store.Size(), "records_to_fold", waiting, "deliveries_owed", owed)
	return nil
}
