package client

import (
	"context"
	"net/http"

	"countersign/relay/control/api"
)

// ListPartners lists the partners, by id; to a partner its own.
func (c *Client) ListPartners(ctx context.Context, p Page) (api.List[api.PartnerDetail], error) {
	return do[api.List[api.PartnerDetail]](ctx, c, call{method: http.MethodGet, path: "/v1/partners", query: p.query()})
}

// CreatePartner makes a partner; under a key (an Idempotency-Key) once, however often it is called.
// ask is an api.PartnerAsk or api.Fields.
func (c *Client) CreatePartner(ctx context.Context, key string, ask any) (api.PartnerDetail, error) {
	return do[api.PartnerDetail](ctx, c, call{method: http.MethodPost, path: "/v1/partners", key: key, ask: ask})
}

// Partner shows a partner.
func (c *Client) Partner(ctx context.Context, id string) (api.PartnerDetail, error) {
	return do[api.PartnerDetail](ctx, c, call{method: http.MethodGet, path: at("/v1/partners/{id}", id)})
}

// UpdatePartner changes a partner. match is the ETag of what is changed; "": whatever it is. ask is
// an api.PartnerAsk, or api.Fields where something is to become empty.
func (c *Client) UpdatePartner(ctx context.Context, id, match string, ask any) (api.PartnerDetail, error) {
	return do[api.PartnerDetail](ctx, c, call{method: http.MethodPatch, path: at("/v1/partners/{id}", id), match: match, ask: ask})
}

// RemovePartner takes a partner away with its endpoints. dry: it only says what would stay owed.
func (c *Client) RemovePartner(ctx context.Context, id, match string, dry bool) (api.Removed, error) {
	return do[api.Removed](ctx, c, call{method: http.MethodDelete, path: at("/v1/partners/{id}", id), match: match, query: Page{}.query("dry_run", word(dry))})
}

// ListEndpointsOf lists the endpoints of a partner, by id.
func (c *Client) ListEndpointsOf(ctx context.Context, p Page, partner string) (api.List[api.EndpointDetail], error) {
	return do[api.List[api.EndpointDetail]](ctx, c, call{method: http.MethodGet, path: at("/v1/partners/{id}/endpoints", partner), query: p.query()})
}

// CreateEndpoint makes an endpoint; under a key (an Idempotency-Key) once, however often it is
// called. What it signs with is in this answer, and in no other. ask is an api.EndpointAsk or
// api.Fields.
func (c *Client) CreateEndpoint(ctx context.Context, partner, key string, ask any) (api.EndpointDetail, error) {
	return do[api.EndpointDetail](ctx, c, call{method: http.MethodPost, path: at("/v1/partners/{id}/endpoints", partner), key: key, ask: ask})
}

// Endpoint shows an endpoint.
func (c *Client) Endpoint(ctx context.Context, id string) (api.EndpointDetail, error) {
	return do[api.EndpointDetail](ctx, c, call{method: http.MethodGet, path: at("/v1/endpoints/{id}", id)})
}

// UpdateEndpoint changes an endpoint. match is the ETag of what is changed; "": whatever it is. ask
// is an api.EndpointAsk, or api.Fields where something is to become empty.
func (c *Client) UpdateEndpoint(ctx context.Context, id, match string, ask any) (api.EndpointDetail, error) {
	return do[api.EndpointDetail](ctx, c, call{method: http.MethodPatch, path: at("/v1/endpoints/{id}", id), match: match, ask: ask})
}

// RemoveEndpoint takes an endpoint away. dry: it only says what would stay owed.
func (c *Client) RemoveEndpoint(ctx context.Context, id, match string, dry bool) (api.Removed, error) {
	return do[api.Removed](ctx, c, call{method: http.MethodDelete, path: at("/v1/endpoints/{id}", id), match: match, query: Page{}.query("dry_run", word(dry))})
}
