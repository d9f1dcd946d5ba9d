//go:build !fault_nocount

package store

// counting is on. The build tag fault_nocount takes new records without counting what is owed to
// those there are, as the negative control of the runs on a full disk.
const counting = true
