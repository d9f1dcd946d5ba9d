//go:build unix && !linux

package cluster

import "syscall"

// attributes keep a terminal's Ctrl-C from the process, whose end is ours to order.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
