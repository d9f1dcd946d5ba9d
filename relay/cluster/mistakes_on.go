//go:build fault_cluster

package cluster

// mistakes is the one that this owner makes.
type mistakes struct{ mistake mistake }

func (m mistakes) makes(x mistake) bool { return m.mistake == x }
