package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// Under its final name a backup is whole and checked, or not there, and nothing else is ever
// overwritten.
func TestBackupRefusesAndCleansUp(t *testing.T) {
	dir := t.TempDir()
	bad := errors.New("odd page")
	verify := func(string) error { return nil }
	s := mustOpen(t, Options{Examine: func(_ context.Context, path, _ string, _ func(Progress)) (Report, error) {
		return Report{}, verify(path)
	}}) // and no Logger
	defer s.Close()
	path := filepath.Join(dir, "copy.db")
	verify = func(checked string) error {
		if exists(path) || checked != path+".new" {
			t.Errorf("%s is checked, and the final name is there already: %v", checked, exists(path))
		}
		return nil
	}
	if _, err := s.Backup(path); err != nil || exists(path+".new") {
		t.Fatal(err)
	}
	before := digest(t, path)
	if _, err := s.Backup(path); !errors.Is(err, os.ErrExist) || digest(t, path) != before {
		t.Errorf("overwriting a backup: %v", err)
	}
	if _, err := s.Backup(s.Path()); !errors.Is(err, os.ErrExist) {
		t.Errorf("overwriting the database: %v", err)
	}
	if _, err := s.Backup(filepath.Join(dir, "none", "copy.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
	second := filepath.Join(dir, "second.db")
	verify = func(string) error { return bad }
	if _, err := s.Backup(second); !errors.Is(err, bad) || !strings.Contains(err.Error(), "second.db") || exists(second) || exists(second+".new") {
		t.Errorf("a copy that fails its check: %v", err)
	}
	verify = func(string) error { return os.WriteFile(second, []byte("somebody else's"), 0o600) } // put there in the meantime
	if _, err := s.Backup(second); !errors.Is(err, os.ErrExist) || exists(second+".new") {
		t.Errorf("a file that has come meanwhile: %v", err)
	}
	if b, err := os.ReadFile(second); string(b) != "somebody else's" {
		t.Errorf("it was overwritten: %q, %v", b, err)
	}
	third := filepath.Join(dir, "third.db")
	copyFile(t, third+".new", second) // of a backup that was cut off, or somebody's own
	if _, err := s.Backup(third); !errors.Is(err, os.ErrExist) || !strings.Contains(err.Error(), third+".new") || !exists(third+".new") || exists(third) {
		t.Errorf("over an unfinished copy: %v", err)
	}
}

// Files with secrets have mode 0600 whatever the umask says, more or less.
func TestModesWhateverTheUmask(t *testing.T) {
	f := func(umask int) {
		t.Helper()
		dir := t.TempDir()
		s := mustOpen(t, Options{Dir: dir})
		defer s.Close()
		defer syscall.Umask(syscall.Umask(umask))
		mustSealer(t, dir)
		backup := filepath.Join(dir, "backup.db")
		if _, err := s.Backup(backup); err != nil {
			t.Error(err)
		}
		for _, p := range []string{filepath.Join(dir, keyFile), backup} {
			if fi, err := os.Stat(p); err != nil || fi.Mode().Perm() != 0o600 {
				t.Errorf("umask %03o: %s: %v, %v", umask, p, fi, err)
			}
		}
	}
	f(0)
	f(0o022)
	f(0o777)
}

// Whatever names the data directory is synced, the outermost first, also when the directory was
// made and the process ended before that; and never again later.
func TestDataDirectoryIsSynced(t *testing.T) {
	top := t.TempDir()
	f := func(dir string, want ...string) {
		t.Helper()
		var synced []string
		if err := makeDir(dir, func(d string) error { synced = append(synced, d); return syncDir(d) }); err != nil {
			t.Fatal(err)
		}
		if fi, err := os.Stat(dir); err != nil || fi.Mode().Perm() != 0o700 || !slices.Equal(synced, want) {
			t.Errorf("%s: %v, %v, synced %q, want %q", dir, fi, err, synced, want)
		}
	}
	data := filepath.Join(top, "a", "b", "data")
	f(data, top, filepath.Join(top, "a"), filepath.Join(top, "a", "b"))
	f(data, filepath.Join(top, "a", "b"))
	mustOpen(t, Options{Dir: data}).Close()
	f(data)

	refuse := func(string) error { return fs.ErrPermission }
	other := filepath.Join(top, "other")
	if err := makeDir(other, refuse); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a directory made here that cannot be synced: %v", err)
	}
	if err := makeDir(other, refuse); err != nil {
		t.Errorf("a directory that was there, below one that may not be read: %v", err)
	}
	if err := makeDir(other, func(string) error { return syscall.EIO }); !errors.Is(err, syscall.EIO) {
		t.Errorf("a sync that fails: %v", err)
	}
}
