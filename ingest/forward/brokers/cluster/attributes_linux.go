package cluster

import "syscall"

// attributes keep a terminal's Ctrl-C from the process, whose end is ours to order, and end it with
// us.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
