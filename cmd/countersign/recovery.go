package main

import (
	"time"

	"countersign/ingest/journal"
)

// recovery is what a start found that the last stop had left: told in one line, once, and only if there was something.
type recovery struct {
	unclean bool          // the file was not closed, and so was checked
	took    time.Duration // by the check
	last    int64         // offset of the newest record
	waiting int64         // records that somebody had not read yet, or that were not yet forgotten
}

// verify checks a file apart. In the opening that is the database after an unclean stop; later it is a backup.
func (g *gateway) verify(path string) error {
	started := time.Now()
	err := checkFileApart(path)
	if g.store == nil {
		g.recovery.unclean, g.recovery.took = true, time.Since(started)
	}
	return err
}

// look notes what was waiting, before new callbacks are taken.
func (r *recovery) look(j *journal.Bolt) {
	r.waiting = j.Backlog()
	r.last = j.Forgotten() + r.waiting
}

// tellRecovery logs it. Nothing is folded or delivered twice by that: effects and positions are on disk together.
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
	if !g.recovery.unclean && waiting == 0 && owed == 0 {
		return nil
	}
	stop := "clean"
	if g.recovery.unclean {
		stop = "unclean"
	}
	g.log.Info("recovered", "last_stop", stop, "check_took_ms", float64(g.recovery.took.Microseconds())/1000, "file_bytes", g.store.Size(), "records_to_fold", waiting, "deliveries_owed", owed)
	return nil
}
