package group

import (
	"time"

	"golang.org/x/sys/unix"
)

// BootTime is how long this machine has been running, what it slept included: no change of the
// clock, no stopped process and no suspended machine holds it up.
func BootTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic("CLOCK_BOOTTIME: " + err.Error()) // Linux has had it since 2.6.39, and it cannot fail
	}
	return time.Duration(t.Nano())
}
