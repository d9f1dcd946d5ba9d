//go:build !fault_noflush

package store

// noFlush is false. The build tag fault_noflush breaks I1 on purpose, as the negative control of
// the power cuts.
const noFlush = false
