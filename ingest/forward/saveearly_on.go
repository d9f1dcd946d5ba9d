//go:build fault_saveearly

package forward

// passEarly breaks the forwarder on purpose: what has been read counts as acknowledged, so its
// position is kept before Kafka has it.
const passEarly = true
