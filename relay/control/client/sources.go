package client

import (
	"context"
	"net/http"

	"countersign/relay/control/api"
)

// ListSources lists the sources of callbacks.
func (c *Client) ListSources(ctx context.Context, p Page) (api.List[api.Source], error) {
	return do[api.List[api.Source]](ctx, c, call{method: http.MethodGet, path: "/v1/sources", query: p.query()})
}

// Explain says step by step what a source would make of a callback. Nothing of it is kept.
func (c *Client) Explain(ctx context.Context, source string, ask api.ExplainAsk) (api.Explanation, error) {
	return do[api.Explanation](ctx, c, call{method: http.MethodPost, path: at("/v1/sources/{name}/explain", source), ask: ask})
}

// TranslateBody says what a release of a body would come to; that it was asked stands in the audit
// trail.
func (c *Client) TranslateBody(ctx context.Context, id string) (api.BodyTranslation, error) {
	return do[api.BodyTranslation](ctx, c, call{method: http.MethodGet, path: at("/v1/quarantine/{id}/translation", id)})
}
