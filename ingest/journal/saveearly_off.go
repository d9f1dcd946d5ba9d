//go:build !fault_saveearly

package journal

// passEarly: what has been read does not count as acknowledged.
const passEarly = false
