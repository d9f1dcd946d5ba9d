//go:build !fault_cluster

package cluster

// makes has an owner make the mistake of its world: there is none.
func (n *node) makes() {}
