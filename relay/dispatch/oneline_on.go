//go:build fault_oneline

package dispatch

var oneLine = make(chan struct{}, 32)

// queueUp has the attempts of all endpoints wait for the same few slots: what must never happen,
// built only to see the isolation go red.
func queueUp() (leave func()) {
	oneLine <- struct{}{}
	return func() { <-oneLine }
}
