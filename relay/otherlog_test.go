package relay

import (
	"strings"
	"testing"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox/store"
)

// inAnotherLog runs tests a second time, in a log that is partition 3 and begins at offset 1,000.
const inAnotherLog = "TestAnotherLog/"

// firstOf is where the log of a test's rig begins.
func firstOf(t *testing.T) journal.Position {
	t.Helper()
	if strings.HasPrefix(t.Name(), inAnotherLog) {
		return journal.Position{Partition: 3, Offset: 1000}
	}
	return journal.At(1)
}

// TestAnotherLog: a relay folds the log it is given, whatever its partition and wherever it begins:
// crashes, what waits and is set free, orders, erasures, repairs and what is queued for Kafka go as
// they do in the embedded log.
func TestAnotherLog(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"Stops": TestStops, "Death": TestDeath, "Batches": TestBatches,
		"Erase": TestErase, "EraseWaits": TestEraseWaits, "EraseCut": TestEraseCut, "ExportIsComplete": TestExportIsComplete,
		"RepairSuspects": TestRepairSuspects, "RepairMakesAnew": TestRepairMakesAnew, "DamagedState": TestDamagedState, "RebuildFromRest": TestRebuildFromRest, "DamagedRefIsSettled": TestDamagedRefIsSettled, "Restore": TestRestore, "PlaceIsAudited": TestPlaceIsAudited,
		"ChangesAreQueued": TestChangesAreQueued, "ChangesSurviveCrashes": TestChangesSurviveCrashes, "ChangesNotQueued": TestChangesNotQueued, "DamagedChanges": TestDamagedChanges, "ForwardedStays": TestForwardedStays,
		"RepeatDead": TestRepeatDead, "RepeatRange": TestRepeatRange, "RepeatWhileSent": TestRepeatWhileSent, "RepeatElsewhere": TestRepeatElsewhere, "RepeatCurrent": TestRepeatCurrent, "RepeatLeavesCancelled": TestRepeatLeavesCancelled, "Redeliver": TestRedeliver, "OrderIsJudgedAgain": TestOrderIsJudgedAgain,
		"ReleaseUnrouted": TestReleaseUnrouted, "UnroutedOrdersRace": TestUnroutedOrdersRace, "DiscardUnrouted": TestDiscardUnrouted,
		"UnroutedWaits": TestUnroutedWaits, "TakenFirst": TestTakenFirst, "TakenBefore": TestTakenBefore, "Contested": TestContested, "ClaimsFoldAlike": TestClaimsFoldAlike,
		"TakeBack": TestTakeBack, "TakeBackKeeps": TestTakeBackKeeps, "TakeBackRefuses": TestTakeBackRefuses, "ApplyPolicyResumes": TestApplyPolicyResumes, "Finder": TestFinder,
	} {
		t.Run(name, test)
	}
}

// TestPlaceIsAudited: the check of a file finds a relay that is ahead of the log, and one that has
// folded another log.
func TestPlaceIsAudited(t *testing.T) {
	g := start(t, acme())
	g.tell(said("ann", 1, kyc.Approved), said("ann", 2, kyc.Rejected))
	g.folded()
	if err := g.halt(); err != nil {
		t.Fatal(err)
	}
	if is := g.audited(); len(is) > 0 {
		t.Errorf("as it was written: %q", is)
	}
	f := func(at journal.Position, problem string) {
		t.Helper()
		g.tamper(func(tx *store.Tx) error { return journal.WritePosition(tx, positionKey, at) })
		if is := g.audited(); len(is) != 1 || !strings.Contains(is[0], problem) {
			t.Errorf("at %v: %q, want %q", at, is, problem)
		}
	}
	f(g.at(3), "the relay has evaluated up to ")
	f(journal.Position{Partition: g.first.Partition + 1, Offset: 1}, "the relay has evaluated log ")
}
