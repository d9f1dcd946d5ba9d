package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

type subjectExportCommand struct {
	gatewayFlags
	modeFlag
	Out     string `type:"path" help:"Write it to this new file, readable only by its owner, instead of standard output."`
	Partner string `arg:"" help:"The partner's id."`
	ID      string `arg:"" help:"The subject's id, as the partner knows it."`
}

// Run writes the export. A file is there once all of it is written.
func (cmd *subjectExportCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	write := func(out io.Writer) error { return cl.ExportSubject(c.ctx, out, cmd.Partner, cmd.ID, cmd.Livemode) }
	if cmd.Out == "" {
		return write(c.out)
	}
	if err := writeNew(cmd.Out, write); err != nil {
		return err
	}
	c.printf("%s: everything that is kept of %s/%s\n", cmd.Out, cmd.Partner, cmd.ID)
	return nil
}

// writeNew makes a file that is there as a whole, or not at all: it is written under another name,
// and linked to its own when it is on stable storage. A file that is there already is left alone.
func writeNew(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	defer os.Remove(f.Name()) //nolint:errcheck // it has another name by then
	if err := errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	return nil
}
