package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
)

// KeyFile is the name of the key file in the data directory.
const KeyFile = keyFile

// Look opens a database that nobody else has open, for reading.
func Look(path string, fn func(tx *Tx) error) error {
	db, err := openFile(path, 64<<30, true)
	if err != nil {
		return err
	}
	return errors.Join(db.View(func(tx *bolt.Tx) error { return fn(&Tx{bolt: tx}) }), db.Close())
}

// Restore puts a copy of a backup in the place of the database in dir, which nobody may have open,
// and runs change on the copy first. The database that was there is kept, under the name that it
// returns; "": there was none. The end of ctx ends the copying. Either everything is done, and on stable storage, or nothing.
func Restore(ctx context.Context, backup, dir string, change func(*Tx) error) (kept string, err error) {
	path := filepath.Join(dir, fileName)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("restore: %w", err)
	}
	if locked(path) {
		return "", fmt.Errorf("restore: %s: %w; stop the gateway first", path, ErrLocked)
	}
	to := path + ".restored"
	if err := copySynced(ctx, backup, to); err != nil {
		return "", fmt.Errorf("restore: %w", errors.Join(err, os.Remove(to)))
	}
	if err := changed(to, change); err != nil {
		return "", fmt.Errorf("restore: %w", errors.Join(err, os.Remove(to)))
	}
	_, err = os.Lstat(path)
	if err == nil {
		kept = fmt.Sprintf("%s.before-restore-%s", path, time.Now().UTC().Format("20060102T150405.000Z"))
		err = replace(path, to, kept)
	} else if err = os.Rename(to, path); err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return "", fmt.Errorf("restore: %w", errors.Join(err, os.Remove(to)))
	}
	return kept, nil
}

// changed runs a change on a file that is nobody's yet.
func changed(path string, change func(*Tx) error) error {
	db, err := openFile(path, 64<<30, false)
	if err != nil {
		return err
	}
	err = db.Update(func(bare *bolt.Tx) error {
		tx := &Tx{bolt: bare, sums: &sums{}}
		b, err := tx.Bucket(Meta).Get(sumsKey)
		if err == nil {
			err = tx.sums.decode(b)
		}
		if err == nil {
			err = change(tx)
		}
		return errors.Join(err, tx.sums.keep(tx))
	})
	return errors.Join(err, db.Sync(), db.Close())
}

func copySynced(ctx context.Context, from, to string) error {
	in, err := os.Open(from) //nolint:gosec // the operator names it
	if err != nil {
		return err
	}
	defer in.Close()                                                       //nolint:errcheck // read only
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // the operator's own data directory
	if err != nil {
		return err
	}
	_, err = io.Copy(out, endable{ctx, in})
	return errors.Join(err, out.Chmod(0o600), out.Sync(), out.Close())
}

// endable is a reader that ends with a context.
type endable struct {
	ctx context.Context //nolint:containedctx // for one copy
	io.Reader
}

// Read implements io.Reader.
func (e endable) Read(b []byte) (int, error) {
	if err := e.ctx.Err(); err != nil {
		return 0, err
	}
	return e.Reader.Read(b)
}
