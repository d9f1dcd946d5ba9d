//go:build realkafka

package brokers

import (
	"os/exec"
	"syscall"
)

// own gives a program a process group: `go run` starts another.
func own(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// end ends the group.
func end(cmd *exec.Cmd) { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
