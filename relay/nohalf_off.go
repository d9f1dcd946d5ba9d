//go:build !fault_nocount

package relay

// halving is on. The build tag fault_nocount tries the same batch for ever, as the negative control
// of the runs on a full disk.
const halving = true
