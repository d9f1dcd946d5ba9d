//go:build !fault_leaveout

package relay

// leftOut reports whether an erasure leaves a bucket out: no. With the build tag fault_leaveout it
// leaves one out on purpose, to see that the tests notice.
func leftOut(string) bool { return false }
