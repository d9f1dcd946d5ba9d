package provider

import (
	"countersign/kyc"
	"countersign/signing"
)

// Meaning is what an adapter makes of one callback, as `countersign translate` prints it.
type Meaning struct {
	Disposition string       `json:"disposition"`     // that of the Result, or unreadable
	Error       string       `json:"error,omitempty"` // why it is unreadable, in fixed words
	Fetch       []Fetch      `json:"fetch,omitempty"`
	Hold        Hold         `json:"hold,omitempty"`
	Ignored     string       `json:"ignored,omitempty"`
	Updates     []kyc.Update `json:"updates,omitempty"`
}

// Meaning translates one callback for a person who wants to see what it says. Nothing that only a
// source knows is in it. The error is Translate's.
func (a Adapter) Meaning(h signing.Header, body []byte, o Options) (Meaning, error) {
	r, err := a.Translate(h, body, o)
	if err != nil {
		return Meaning{Disposition: "unreadable", Error: err.Error()}, err
	}
	for i := range r.Updates {
		u := &r.Updates[i]
		u.SchemaVersion, u.Kind, u.Provider, u.AdapterVersion = 1, kyc.Observation, a.Name, a.Version
		if r.Livemode != nil {
			u.Livemode = *r.Livemode
		}
	}
	return Meaning{Disposition: r.Disposition(), Fetch: r.Fetch, Hold: r.Hold, Ignored: r.Ignored, Updates: r.Updates}, nil
}
