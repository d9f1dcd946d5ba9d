//go:build fault_nocount

package store

const counting = false
