//go:build !fault_flushon

package store

// goesOn is false. The build tag fault_flushon breaks the rule on purpose, as the negative control
// of the power cuts.
func goesOn(error) bool { return false }
