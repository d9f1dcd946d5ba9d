package store

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// suiteMode is the variable that makes the store of each test of this binary another part than the
// node's own, beside eleven others and the node's own, which are compared at the end.
const suiteMode = "COUNTERSIGN_STORE_PART"

// suitePart is that part.
var suitePart uint8

// suite reads the variable.
func suite() {
	if os.Getenv(suiteMode) != "" {
		suitePart = 3
	}
}

// besides are the parts beside the suite's.
func besides() (parts []uint8) {
	for n := range uint8(13) {
		if n != suitePart {
			parts = append(parts, n)
		}
	}
	return parts
}

// here is a bucket, or, where the suite's part has none of that name, another in its place.
func here(n Name) Name {
	if suitePart != 0 && !inParts[n] {
		return Subjects
	}
	return n
}

// some is one of the buckets of a part that have sums.
func some(s *Store, i int) Name {
	all := namesOf(s.part)[1:]
	return all[i%len(all)].bare()
}

// suiteOf is the suite's part of a store that nobody runs yet.
func suiteOf(tb testing.TB, s *Store) *Store {
	tb.Helper()
	if suitePart == 0 {
		return s
	}
	if !slices.Contains(s.Parts(), besides()[1]) {
		if err := populate(s, besides()...); err != nil {
			tb.Fatal(err)
		}
	}
	tb.Cleanup(func() {
		if !s.Stopped() || tb.Failed() {
			return
		}
		db, err := openFile(s.path, 64<<30, true)
		if err == nil {
			err = errors.Join(db.View(func(bare *bolt.Tx) error { return populated(bare, besides()...) }), db.Close())
		}
		if err != nil {
			tb.Errorf("beside the suite's part: %v", err)
		}
	})
	return s.Part(suitePart)
}

// populate writes some records into every bucket of parts of a store that nobody runs.
func populate(s *Store, parts ...uint8) error {
	for _, part := range parts {
		if err := s.Part(part).update(func(tx *Tx) error {
			for _, n := range namesOf(part) {
				for i := range populace {
					if err := tx.Bucket(n).Put(fmt.Appendf(nil, "populace/%02d", i), populaceBody(n, i)); err != nil {
						return err
					}
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

const populace = 8

func populaceBody(n Name, i int) []byte { return fmt.Appendf(nil, "record %d of %s", i, n) }

// populated reports which of that is not there, or what is there beside it.
func populated(bare *bolt.Tx, parts ...uint8) error {
	for _, part := range parts {
		tx := &Tx{bolt: bare, part: part}
		for _, n := range namesOf(part) {
			found := 0
			if err := tx.Bucket(n).ForEach(func(k, v []byte) error {
				if n.bare() == Meta && (string(k) == string(sumsKey) || string(k) == string(schemaKey)) {
					return nil
				}
				if string(k) != fmt.Sprintf("populace/%02d", found) || string(v) != string(populaceBody(n, found)) {
					return fmt.Errorf("%s has %q: %q", n, k, v)
				}
				found++
				return nil
			}); err != nil {
				return err
			}
			if found != populace {
				return fmt.Errorf("%s has %d records of %d", n, found, populace)
			}
		}
	}
	return nil
}

// The suites of the store once more, in a process in which each test's store is part 3.
func TestSuitesInAPart(t *testing.T) {
	if suitePart != 0 {
		t.Log("this is that process")
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^("+suites+")$", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), suiteMode+"=3", "GORACE=atexit_sleep_ms=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// suites are the tests that are run there: those that are about records.
const suites = "TestCorruptFiles|TestSoundIsSound|TestEveryBit|TestBucketNames|TestStalePages|TestCompactUnderLoad|TestCompactLeavesNothingDeleted|TestCompactDamaged|" +
	"TestCompactKilled|TestCompactFile|TestCopyProof|TestNilMeansWritten|TestConcurrentUpdatesShareCommits|TestFailureIsAnsweredAlone|TestFunctionsMayRunAgain|" +
	"TestLaterHearsOfItsFailure|TestRunDrainsThenCloses|TestMaxSizeReached|TestMaxSizeExhausted|TestBackup|TestNewest"
