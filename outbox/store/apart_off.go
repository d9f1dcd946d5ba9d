//go:build !fault_apart

package store

// apart leaves out of a transaction what its context wants written with it.
const apart = false
