//go:build fault_noflush

package store

// noFlush leaves every flush of the database out: what must never happen, built only to see the
// power cuts find it.
const noFlush = true
