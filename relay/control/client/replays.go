package client

import (
	"context"
	"net/http"

	"countersign/relay/control/api"
)

// ListReplays lists the replays, the newest first.
func (c *Client) ListReplays(ctx context.Context, p Page) (api.List[api.Replay], error) {
	return do[api.List[api.Replay]](ctx, c, call{method: http.MethodGet, path: "/v1/replays", query: p.query()})
}

// CreateReplay begins one; under a key (an Idempotency-Key) once, however often it is called.
func (c *Client) CreateReplay(ctx context.Context, key string, ask api.ReplayAsk) (api.Replay, error) {
	return do[api.Replay](ctx, c, call{method: http.MethodPost, path: "/v1/replays", key: key, ask: ask})
}

// Replay shows one.
func (c *Client) Replay(ctx context.Context, id string) (api.Replay, error) {
	return do[api.Replay](ctx, c, call{method: http.MethodGet, path: at("/v1/replays/{id}", id)})
}

// PauseReplay has a replay order nothing more for now.
func (c *Client) PauseReplay(ctx context.Context, id string) (api.Replay, error) {
	return do[api.Replay](ctx, c, call{method: http.MethodPost, path: at("/v1/replays/{id}/pause", id)})
}

// ResumeReplay goes on with one that is paused.
func (c *Client) ResumeReplay(ctx context.Context, id string) (api.Replay, error) {
	return do[api.Replay](ctx, c, call{method: http.MethodPost, path: at("/v1/replays/{id}/resume", id)})
}

// CancelReplay ends one. What it has ordered is sent.
func (c *Client) CancelReplay(ctx context.Context, id string) (api.Replay, error) {
	return do[api.Replay](ctx, c, call{method: http.MethodPost, path: at("/v1/replays/{id}/cancel", id)})
}
