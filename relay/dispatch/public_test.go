package dispatch

import (
	"testing"

	"countersign/relay/registry"
)

// TestPublicOnly: an endpoint whose URL its partner's own token gave is reached at public addresses
// only.
func TestPublicOnly(t *testing.T) {
	if !poolOptions(&registry.Endpoint{Public: true}).Public || poolOptions(&registry.Endpoint{}).Public {
		t.Error("its connections do not know")
	}
}
