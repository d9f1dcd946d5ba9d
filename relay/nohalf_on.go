//go:build fault_nocount

package relay

const halving = false
