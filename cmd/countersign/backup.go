package main

import "net/http"

type backupCommand struct {
	configFlag
	File string `arg:"" help:"The file to write; it must not exist." type:"path"`
}

// Run makes a hot backup.
func (cmd *backupCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	var v struct{ Bytes int64 }
	if err := cl.call(c.ctx, http.MethodPost, "/v1/backup", map[string]string{"path": cmd.File}, &v); err != nil {
		return err
	}
	c.printf("%s: %d bytes, every page checked; keep the key file of the data directory with it\n", cmd.File, v.Bytes)
	return nil
}
