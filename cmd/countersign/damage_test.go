package main

import (
	"bytes"
	"context"
	"errors"
	"html"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"countersign/outbox/store"
)

// damage changes more than one bit of a record in a database that nobody has open, as a failing
// disk would.
func damage(t *testing.T, dir string, n store.Name, key string) {
	t.Helper()
	s, err := store.Open(store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	err = s.Update(ctx, func(tx *store.Tx) error {
		body, err := tx.Bucket(n).Get([]byte(key))
		if body == nil {
			return errors.Join(err, errors.New("there is no such record"))
		}
		record := store.NewRecord(bytes.Clone(body))
		err = tx.Bucket(n).PutRecord([]byte(key), record)
		record[len(record)-1] ^= 0xff
		record[len(record)-2] ^= 0xff
		return err
	})
	stop()
	if err := errors.Join(err, <-ended, s.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedFile is a morning after a disk has failed, by the command line alone: what is damaged
// is said, one person is set aside, and rebuilt.
func TestDamagedFile(t *testing.T) {
	dir, config := house(t, "http://127.0.0.1:9/hook")
	f := func(want int, contains string, args ...string) string {
		t.Helper()
		code, out, errs := cli(t, nil, args...)
		if code != want || !strings.Contains(out+errs, contains) {
			t.Errorf("%v: exit %d, want %d with %q:\n%s%s", args, code, want, contains, out, errs)
		}
		return out
	}
	known := func(id, status string) {
		t.Helper()
		eventually(t, id+" is "+status, func() bool {
			_, out, _ := cli(t, nil, "subject", "--config", config, "acme", id)
			return strings.Contains(out, "acme/"+id+"  "+status)
		})
	}
	g := start(t, config)
	f(exitYes, "200", "trigger", "--config", config, "sumsub-eu", "approved", "--subject", "ann")
	f(exitYes, "200", "trigger", "--config", config, "sumsub-eu", "approved", "--subject", "bob")
	known("ann", "approved")
	known("bob", "approved")
	backup := filepath.Join(dir, "backup.db")
	f(exitYes, "every page checked", "backup", "--config", config, backup)
	if err := g.close(); err != nil {
		t.Fatal(err)
	}
	data, file := filepath.Join(dir, "data"), filepath.Join(dir, "data", "countersign.db")
	damage(t, data, store.Subjects, "acme/ann\x01t")
	f(exitNo, "bucket subjects: 1 damaged record(s)", "check", "--file", file)
	f(exitNo, `"subjects":1`, "check", "--file", file, "--json")
	f(exitNo, "can be read", "check", "--file", file, "--mend", filepath.Join(dir, "mended.db"))
	f(exitNo, "timers and what the states", "check", "--file", filepath.Join(dir, "mended.db")) // for her state has gone: the start sees to that

	g = start(t, config)
	eventually(t, "ann is set aside", func() bool {
		_, out, _ := cli(t, nil, "subject", "aside", "--config", config)
		return strings.Contains(out, "acme/ann  20") && !strings.Contains(out, "bob")
	})
	f(exitYes, "200", "trigger", "--config", config, "sumsub-eu", "rejected_retry", "--subject", "ann")
	f(exitYes, "200", "trigger", "--config", config, "sumsub-eu", "rejected_retry", "--subject", "bob")
	known("bob", "rejected")
	f(exitYes, "has a damaged record", "subject", "--config", config, "acme", "ann")
	f(exitNo, "is damaged: it is set aside", "decide", "--config", config, "acme", "ann", "--source", "sumsub-eu", "--check", "identity_verification", "--status", "approved", "--because", "x", "--yes")
	f(exitNo, "not set aside", "subject", "rebuild", "--config", config, "acme", "bob", "--because", "x")
	f(exitUsage, "come together", "subject", "rebuild", "--config", config, "acme", "ann", "--because", "x", "--status", "rejected")
	f(exitYes, "acme/ann would be rebuilt  approved -> rejected", "subject", "rebuild", "--config", config, "acme", "ann", "--because", "the disk", "--dry-run")
	f(exitYes, "has a damaged record", "subject", "--config", config, "acme", "ann")
	rebuiltInConsole(t, g)
	known("ann", "rejected")
	f(exitNo, "stop the gateway first", "restore", "--config", config, "--yes", backup)
	if err := g.close(); err != nil {
		t.Fatal(err)
	}
	f(exitYes, "are in order", "check", "--file", file)

	f(exitUsage, "no terminal", "restore", "--config", config, backup)
	f(exitNo, "no such file", "restore", "--config", config, "--yes", filepath.Join(dir, "none.db"))
	f(exitYes, "above 1048576", "restore", "--config", config, "--yes", backup)
	if kept, err := filepath.Glob(file + ".before-restore-*"); err != nil || len(kept) != 1 {
		t.Errorf("kept %v, %v", kept, err)
	}
	if fi, err := os.Stat(file); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", fi, err)
	}
	start(t, config)
	known("ann", "approved") // as of the backup
	f(exitYes, "200", "trigger", "--config", config, "sumsub-eu", "rejected_retry", "--subject", "ann")
	eventually(t, "the next number is one that was never told", func() bool {
		_, out, _ := cli(t, nil, "subject", "--config", config, "acme", "ann")
		return strings.Contains(out, "#1048577")
	})
}

// rebuiltInConsole rebuilds ann in the console: what it comes to is shown before, and nothing is done
// by that.
func rebuiltInConsole(t *testing.T, g *gateway) {
	t.Helper()
	b := browse(t, g)
	viewer, operator := b.signedIn("viewer"), b.signedIn("operator")
	const page = "/console/person/rebuild?livemode=false&partner=acme&subject=ann"
	viewer.shows("/console/damaged", ">ann<").has(t, "to a viewer", "!Rebuild…")
	operator.shows("/console/damaged", ">ann<", "Rebuild…", html.EscapeString(page))
	operator.shows("/console/person?partner=acme&subject=ann", "A record of this person is damaged", html.EscapeString(page))
	if a := viewer.get(page); a.code != 403 {
		t.Errorf("a viewer is shown what a rebuild comes to: %d", a.code)
	}
	says := []string{"the history, which is complete", "1 record came in since the damage was found", "approved → rejected", "acme-main"}
	if a := operator.step(page, says); a.code != 400 || !strings.Contains(a.body, "Give a reason.") {
		t.Errorf("without a reason: %d\n%s", a.code, a.body)
	}
	operator.shows("/console/damaged", ">ann<")
	operator.confirmed(page, says, "reason", "the disk, ticket 4819").has(t, "afterwards", "The person is rebuilt: approved → rejected.", "the disk, ticket 4819", "rebuilt the person")
	operator.shows("/console/damaged", "No person has a damaged record.")
	operator.get(page).has(t, "of somebody who is whole", "There is nothing to rebuild.")
}
