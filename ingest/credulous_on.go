//go:build fault_credulous

package ingest

const credulous = true
