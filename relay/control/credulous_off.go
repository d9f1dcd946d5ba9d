//go:build !fault_credulous

package control

// credulous is false: strangers are not believed, and what they hold is bounded. The build tag
// fault_credulous breaks that on purpose, as the negative control of the attacks.
const credulous = false
