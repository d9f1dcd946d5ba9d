//go:build fault_credulous

package admin

const credulous = true
