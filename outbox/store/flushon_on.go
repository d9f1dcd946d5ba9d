//go:build fault_flushon

package store

import (
	"errors"
	"strings"
	"syscall"
)

// goesOn takes a failed flush for a full disk: what must never happen, built only to see the power
// cuts find it.
func goesOn(err error) bool {
	var errno syscall.Errno
	bare := errors.As(err, &errno) && err == error(errno) //nolint:errorlint // fdatasync's error is the errno itself
	return bare || strings.HasPrefix(err.Error(), "file sync error: ")
}
