//go:build race

package kyc

const raceEnabled = true
