//go:build !fault_nojournal

package journal

// skipDisk is false: Append waits for the disk. The build tag fault_nojournal makes the gateway
// that `kycsim bench` measures as the limit: the same ingress, but nothing is kept.
const skipDisk = false
