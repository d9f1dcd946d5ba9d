package client

import (
	"context"
	"net/http"

	"countersign/relay/control/api"
)

// ListKeys lists the keys of an endpoint, the newest first, without what signs.
func (c *Client) ListKeys(ctx context.Context, endpoint string) (api.List[api.EndpointKey], error) {
	return do[api.List[api.EndpointKey]](ctx, c, call{method: http.MethodGet, path: at("/v1/endpoints/{id}/keys", endpoint)})
}

// RotateKey makes a key, which signs first from then on. Under a key (an Idempotency-Key) it does
// so once, however often it is called. The secret is in this answer, and in no other.
func (c *Client) RotateKey(ctx context.Context, endpoint, key string, ask api.RotateAsk) (api.EndpointKey, error) {
	return do[api.EndpointKey](ctx, c, call{method: http.MethodPost, path: at("/v1/endpoints/{id}/rotate", endpoint), key: key, ask: ask})
}

// RevokeKey ends a key at once. replace: another of its kind is made in the same step. once is an
// Idempotency-Key, as of RotateKey.
func (c *Client) RevokeKey(ctx context.Context, endpoint, key, once string, replace bool) (api.RevokedKey, error) {
	return do[api.RevokedKey](ctx, c, call{
		method: http.MethodPost, path: at("/v1/endpoints/{id}/keys/{key}/revoke", endpoint, key), query: Page{}.query("replace", word(replace)), key: once,
	})
}

// GiveUp gives up what is owed to an endpoint that is orphaned or disabled, some at a time: call it
// again until nothing is owed. dry: it only says what that would be.
func (c *Client) GiveUp(ctx context.Context, endpoint string, dry bool) (api.GaveUp, error) {
	return do[api.GaveUp](ctx, c, call{method: http.MethodPost, path: at("/v1/endpoints/{id}/give-up", endpoint), ask: api.GiveUpAsk{DryRun: dry}})
}
