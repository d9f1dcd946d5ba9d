//go:build !linux

package group

import "time"

var started = time.Now()

// BootTime is how long this process has been running. Other than on Linux, where gateways run, it
// may stand still while the machine sleeps.
func BootTime() time.Duration { return time.Since(started) }
