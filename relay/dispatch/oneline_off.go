//go:build !fault_oneline

package dispatch

// queueUp has an attempt wait for nobody: each endpoint has slots of its own (I6). The build tag
// fault_oneline breaks that on purpose, as the negative control of kycsim isolation.
func queueUp() (leave func()) { return func() {} }
