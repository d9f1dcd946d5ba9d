package main

import (
	"fmt"
	"time"

	"countersign/outbox/store"
)

// ready says why this process should get no traffic, and what is worth knowing while it does.
func (g *gateway) ready() (reasons, notes []string) {
	if took := g.store.Running(); took > store.Stall {
		reasons = append(reasons, fmt.Sprintf("the disk does not answer: a commit has been running for %s; callbacks are refused until it has ended", took.Round(100*time.Millisecond)))
	}
	if g.store.Admit() != nil {
		reasons = append(reasons, "storage is full: new callbacks are refused, what is owed is still delivered")
	}
	if waiting := g.journal.Backlog(); waiting >= g.cfg.Storage.Backlog {
		reasons = append(reasons, fmt.Sprintf("%d records wait, which is the configured backlog (storage.backlog): new callbacks are refused", waiting))
	}
	switch g.phase.Load() {
	case starting:
		reasons = append(reasons, "starting")
	case stopping:
		reasons = append(reasons, "stopping")
	}
	stopped, notes := g.kafkaState()
	return append(reasons, stopped...), notes
}
