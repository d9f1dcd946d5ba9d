package main

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

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
	r.last = j.Forgotten().Offset + r.waiting
}

// tellRecovery logs it. Nothing is folded or delivered twice by that: effects and positions are on
// disk together.
func (g *gateway) tellRecovery() error {
	waiting, owed := g.recovery.waiting, int64(0)
	if g.outbox != nil {
		waiting = max(0, g.recovery.last-g.relay.Position().Offset)
		for _, p := range g.cfg.Partners {
			for _, e := range p.Endpoints {
				owed += g.outbox.Owed(e.ID)
			}
		}
	}
	found := g.store.Found()
	if !g.rehearsal {
		g.showRecovery(waiting, owed)
		g.countStart()
	}
	if !g.store.Unclean() && (found == nil || found.Sound() && len(found.Problems) == 0) && waiting == 0 && owed == 0 {
		return nil
	}
	stop := endedClean
	if g.store.Unclean() {
		stop = endedUnclean
	}
	if found != nil {
		for _, p := range found.Problems {
			g.log.Error("file_inconsistent", "problem", p)
		}
	}
	g.log.Info("recovered", "last_stop", stop, "check_took_ms", float64(g.recovery.took.Microseconds())/1000, "file_bytes", g.store.Size(), "records_to_evaluate", waiting, "pending_deliveries", owed)
	return nil
}

// showRecovery keeps what the log line says for whoever looks later.
func (g *gateway) showRecovery(waiting, owed int64) {
	f := promauto.With(g.metrics())
	f.NewGauge(prometheus.GaugeOpts{
		Name: "recovery_check_seconds", Help: "How long this start checked the database; 0: it was not checked, because it is large and was closed cleanly.",
	}).Set(g.recovery.took.Seconds())
	f.NewGauge(prometheus.GaugeOpts{
		Name: "recovery_unevaluated_records", Help: "Records that were not evaluated yet at this start.",
	}).Set(float64(waiting))
	f.NewGauge(prometheus.GaugeOpts{
		Name: "recovery_pending_deliveries", Help: "Deliveries that were pending at this start, of endpoints in the config.",
	}).Set(float64(owed))
	problems := f.NewGauge(prometheus.GaugeOpts{
		Name: "recovery_problems", Help: "Inconsistencies that this start found in the database; the log line file_inconsistent names each.",
	})
	if found := g.store.Found(); found != nil {
		problems.Set(float64(len(found.Problems)))
	}
}

// How the process before this one had ended. Metric labels come from it.
const (
	endedClean   = "clean"
	endedUnclean = "unclean"
)

func startsKey(ended string) []byte { return []byte("process/starts/" + ended) }

// countStart counts the starts on this database in the database, so that a restart that nobody has
// scraped is seen too. A disk that does not take the count hinders no start.
func (g *gateway) countStart() {
	starts := promauto.With(g.metrics()).NewCounterVec(prometheus.CounterOpts{
		Name: "starts_total", Help: "Starts on this database since it was created, by how the previous process ended (clean, unclean). Kept in the database.",
	}, []string{"ended"})
	ended := endedClean
	if g.store.Unclean() {
		ended = endedUnclean
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var cleanly, uncleanly int64
	err := g.store.Update(ctx, func(tx *store.Tx) (err error) {
		c, err := tx.Number(startsKey(endedClean))
		if err != nil {
			return err
		}
		u, err := tx.Number(startsKey(endedUnclean))
		if err != nil {
			return err
		}
		if ended == endedClean {
			c++
		} else {
			u++
		}
		cleanly, uncleanly = c, u
		return errors.Join(tx.SetNumber(startsKey(endedClean), c), tx.SetNumber(startsKey(endedUnclean), u))
	})
	if err != nil { // nothing that it has set may be read: it may still run
		g.log.Warn("start_not_counted", "error", err)
		return
	}
	starts.WithLabelValues(endedClean).Add(float64(cleanly))
	starts.WithLabelValues(endedUnclean).Add(float64(uncleanly))
}
