//go:build !fault_believe

package store

// believe is false: what is read from the disk is checked. The build tag fault_believe takes the
// disk at its word, as the negative control of the damage tests.
const believe = false
