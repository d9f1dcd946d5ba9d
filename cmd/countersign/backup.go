package main

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
	v, err := cl.Backup(c.ctx, cmd.File)
	if err != nil {
		return err
	}
	c.printf("%s: %d bytes, every page checked; keep the key file of the data directory with it\n", cmd.File, v.Bytes)
	return nil
}
