//go:build !fault_saveearly

package forward

// passEarly: what has been read does not count as acknowledged.
const passEarly = false
