package main

import (
	"fmt"
	"slices"
	"time"

	"countersign/outbox/store"
)

// ready says why this process should get no traffic, and what is worth knowing while it does.
func (g *gateway) ready() (reasons, notes []string) {
	if took := g.store.Running(); took > store.Stall {
		reasons = append(reasons, fmt.Sprintf("the disk does not answer: a commit has been running for %s; callbacks are refused until it has ended", took.Round(100*time.Millisecond)))
	}
	reasons = append(reasons, g.storage()...)
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

// storage says what there is too little room of. Whatever it is, new callbacks are refused and what
// is owed is still delivered.
func (g *gateway) storage() (reasons []string) {
	a := g.store.Account()
	for what, text := range map[store.Shortage]string{
		store.ShortDisk:   fmt.Sprintf("the disk of %s is nearly full: %s are reserved for callbacks already accepted; free some space on it", g.cfg.Data, mebibytes(a.Reserve)),
		store.ShortSize:   fmt.Sprintf("the database has nearly reached storage.max_size (%s): %s are reserved for callbacks already accepted", mebibytes(g.cfg.Storage.MaxSize), mebibytes(a.Reserve)),
		store.ShortOwed:   fmt.Sprintf("%s are free; callbacks already accepted and their deliveries need about %s of it, and %s are reserved", mebibytes(a.Room), mebibytes(a.Owed), mebibytes(a.Reserve)),
		store.ShortCommit: "the last commit found no free space",
	} {
		if a.Short&what != 0 {
			reasons = append(reasons, fmt.Sprintf("storage is full (%s): %s. New callbacks are refused, pending deliveries are still sent", what, text))
		}
	}
	slices.Sort(reasons)
	if g.relay != nil && g.relay.Waiting() {
		reasons = append(reasons, fmt.Sprintf("evaluation waits for disk space: the effects of one callback do not fit into the free space (%s, of which %s are reserved for completing deliveries); completed deliveries free some, and so does a larger disk or storage.max_size",
			mebibytes(a.Room), mebibytes(a.Reserve/2)))
	}
	return reasons
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }
