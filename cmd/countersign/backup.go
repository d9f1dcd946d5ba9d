package main

import (
	"fmt"
	"net/url"
	"path/filepath"
)

type backupCommand struct {
	gatewayFlags
	jsonFlag
	File string `arg:"" help:"The file to write, on the gateway's machine; it must not exist."`
}

// Run makes a hot backup.
func (cmd *backupCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	path, err := placeFor(cmd.File, cmd.named(c, cmd.URL))
	if err != nil {
		return err
	}
	work := c.working("back up to " + path)
	v, err := cl.Backup(c.ctx, path)
	if work.end(); err != nil {
		return err
	}
	return cmd.say(c, v, "%s: %d bytes, every page checked; keep the key file of the data directory with it\n", path, v.Bytes)
}

// placeFor is a file as the gateway at a URL is told of it; "": the one of a config on this machine.
// There and here have no directory in common but for one machine.
func placeFor(file, base string) (string, error) {
	if filepath.IsAbs(file) {
		return file, nil
	}
	if u, err := url.Parse(base); base != "" && err == nil && !thisMachine(u.Hostname()) {
		return "", usageError("the file is written on the gateway's machine, where this directory is none: give its whole path")
	}
	path, err := filepath.Abs(file)
	if err != nil {
		return "", fmt.Errorf("the whole path of %s: %w", file, err)
	}
	return path, nil
}
