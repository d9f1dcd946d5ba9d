//go:build fault_nojournal

package journal

// skipDisk breaks I1 on purpose: the limit of an ingress that keeps nothing.
const skipDisk = true
