package api

import (
	"net/http"
	"time"
)

// EndpointKey is everything of a signing key of an endpoint but what signs.
type EndpointKey struct {
	Object    string    `json:"object" enum:"endpoint_key"`
	Endpoint  string    `json:"endpoint"`
	ID        string    `json:"id,omitempty" doc:"Absent for a key of the config."`
	Kind      string    `json:"kind" enum:"hmac,ed25519"`
	From      string    `json:"from" enum:"config,made"`
	Status    string    `json:"status" enum:"signs,ended"`
	PublicKey string    `json:"public_key,omitempty" doc:"Of an ed25519 key: what the partner verifies with."`
	MadeAt    time.Time `json:"made_at,omitzero"`
	Until     time.Time `json:"until,omitzero" doc:"When it stops signing; without it, it signs for good."`
	Secret    string    `json:"secret,omitempty" doc:"Of an hmac key, in the answer that made it, and never again."`
}

// RotateAsk says which key is made.
type RotateAsk struct {
	Kind    string `json:"kind,omitempty" enum:"hmac,ed25519" doc:"Without it, the kind of the newest key."`
	Overlap string `json:"overlap,omitempty" doc:"How long the previous key keeps signing, 0 to 7 days; default 24h."`
}

// RevokedKey is a key that was ended.
type RevokedKey struct {
	Object      string       `json:"object" enum:"endpoint_key"`
	Endpoint    string       `json:"endpoint"`
	ID          string       `json:"id"`
	Revoked     bool         `json:"revoked"`
	Replacement *EndpointKey `json:"replacement,omitempty" doc:"The key that was made in its place."`
}

// keysInConfig is why a key that stands in the config is neither rotated nor revoked.
var keysInConfig = Refusal{http.StatusConflict, TypeConflict, "keys_in_config", "the endpoint's keys are in the config, and are changed there"}

// keyCalls are about what endpoints sign with.
var keyCalls = []Call{
	{
		Pattern: "GET /v1/endpoints/{id}/keys", ID: "listKeys", Summary: "List the keys of an endpoint, newest first, without their secrets",
		About: "There are so few that they are one page.", Answer: List[EndpointKey]{}, Refuses: []Refusal{notFound},
	},
	{
		Pattern: "POST /v1/endpoints/{id}/rotate", ID: "rotateKey", Summary: "Create a signing key, and show its secret once",
		About:  "The key before signs on until the overlap has ended, so whoever knows that verifies every delivery meanwhile. Of an ed25519 key the public half is shown; the private one is given to nobody.",
		Params: []Param{keyHeader}, Ask: RotateAsk{}, MayAsk: true, Answer: EndpointKey{},
		Refuses: []Refusal{notFound, keysInConfig, {http.StatusConflict, TypeConflict, "too_many_keys", "ten older keys still sign"}, keyUsed, keyInUse, tooMany},
	},
	{
		Pattern: "POST /v1/endpoints/{id}/keys/{key}/revoke", ID: "revokeKey", Summary: "Revoke a key immediately: it signs nothing after the answer",
		Params: []Param{keyHeader, {Name: "replace", Kind: "boolean", Default: false, About: "Make another of its kind in the same step: the last key that signs is revoked only so."}},
		Answer: RevokedKey{}, Refuses: []Refusal{notFound, keysInConfig, {http.StatusConflict, TypeConflict, "last_key", "no other key signs"}, keyUsed, keyInUse, tooMany},
	},
}
