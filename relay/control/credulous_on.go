//go:build fault_credulous

package control

const credulous = true
