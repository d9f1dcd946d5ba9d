//go:build fault_leaveout

package relay

import (
	"os"

	"countersign/outbox/store"
)

// leftOut leaves out the bucket that FAULT_LEAVEOUT names.
func leftOut(n store.Name) bool { return os.Getenv("FAULT_LEAVEOUT") == n.String() }
