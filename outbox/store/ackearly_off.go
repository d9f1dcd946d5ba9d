//go:build !fault_ackearly

package store

// ackEarly does nothing. The build tag fault_ackearly breaks I1 on purpose, as the negative control
// of the kill tests.
func ackEarly([]*op) {}
