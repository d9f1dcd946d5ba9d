//go:build !fault_cluster

package cluster

// mistakes are none: with the build tag fault_cluster an owner can be told to make one.
type mistakes struct{}

func (mistakes) makes(mistake) bool { return false }
