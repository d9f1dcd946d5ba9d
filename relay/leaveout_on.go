//go:build fault_leaveout

package relay

import (
	"os"
)

// leftOut leaves out the bucket, or the part of one, that FAULT_LEAVEOUT names.
func leftOut(name string) bool { return os.Getenv("FAULT_LEAVEOUT") == name }
