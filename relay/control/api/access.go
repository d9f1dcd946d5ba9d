package api

import "time"

// Token is everything of a token but itself.
type Token struct {
	Object     string    `json:"object" enum:"token"`
	Name       string    `json:"name"`
	Scope      Scope     `json:"scope"`
	Partner    string    `json:"partner,omitempty"`
	From       string    `json:"from" enum:"config,made"`
	Status     string    `json:"status" enum:"active,expired,revoked"`
	MadeAt     time.Time `json:"made_at,omitzero"`
	MadeBy     string    `json:"made_by,omitempty"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`
	RevokedAt  time.Time `json:"revoked_at,omitzero"`
	RevokedBy  string    `json:"revoked_by,omitempty"`
	LastUsedAt time.Time `json:"last_used_at,omitzero" doc:"After a crash, up to a minute earlier than it was."`
	Token      string    `json:"token,omitempty" doc:"In the answer that made it, and never again."`
}

// Identity is whose token a call has brought.
type Identity struct {
	Object    string    `json:"object" enum:"identity"`
	Name      string    `json:"name" doc:"The token's: what the audit trail has of its calls."`
	Scope     Scope     `json:"scope"`
	Partner   string    `json:"partner,omitempty" doc:"Of scope partner: whose, by the id that it has now."`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	Mode      string    `json:"mode" enum:"sandbox,live"`
	Version   string    `json:"version" doc:"Of the gateway."`
}

// TokenAsk says what a new token may do.
type TokenAsk struct {
	Scope     Scope     `json:"scope" need:"true" enum:"admin,operator,viewer,partner"`
	Partner   string    `json:"partner,omitempty" doc:"For scope partner: the partner."`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// Revoked is a token that was ended.
type Revoked struct {
	Object  string `json:"object" enum:"token"`
	Name    string `json:"name"`
	Revoked bool   `json:"revoked"`
}
