package client

import (
	"context"
	"net/http"

	"countersign/relay/control/api"
)

// ListKeys lists the keys of an endpoint, the newest first, without what signs. They are one page.
func (c *Client) ListKeys(ctx context.Context, endpoint string) (api.List[api.EndpointKey], error) {
	return do[api.List[api.EndpointKey]](ctx, c, call{method: http.MethodGet, path: at("/v1/endpoints/{id}/keys", endpoint)})
}

// RotateKey makes a key that signs first from now on. Its secret is in this answer, and in no other.
func (c *Client) RotateKey(ctx context.Context, endpoint string, ask api.RotateAsk) (api.EndpointKey, error) {
	return do[api.EndpointKey](ctx, c, call{method: http.MethodPost, path: at("/v1/endpoints/{id}/rotate", endpoint), ask: ask})
}

// RevokeKey ends a key at once; with replace another of its kind is made in its place.
func (c *Client) RevokeKey(ctx context.Context, endpoint, key string, replace bool) (api.RevokedKey, error) {
	return do[api.RevokedKey](ctx, c, call{
		method: http.MethodPost, path: at("/v1/endpoints/{id}/keys/{key}/revoke", endpoint, key), query: Page{}.query("replace", word(replace)),
	})
}
