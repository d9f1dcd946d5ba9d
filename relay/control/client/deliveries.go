package client

import (
	"context"
	"net/http"
	"strconv"

	"countersign/relay/control/api"
)

// Deliveries is which deliveries are asked for; what is empty has no bound.
type Deliveries struct {
	Status           string // pending, retrying, delivered, dead_lettered or cancelled
	Endpoint         string
	Partner, Subject string // of one person; a partner's token needs no Partner
	Livemode         *bool  // of the person; nil: as the gateway's mode
	Type             string // of a change, such as kyc.status.rejected or kyc.status.*
	Since, Until     string // an instant in RFC 3339, or a day: when it ended or, of what is owed, came to be owed
}

// ListDeliveries lists deliveries. A page may have fewer entries than its limit, or none, and go on.
func (c *Client) ListDeliveries(ctx context.Context, p Page, d Deliveries) (api.List[api.Delivery], error) {
	live := ""
	if d.Livemode != nil {
		live = strconv.FormatBool(*d.Livemode)
	}
	q := p.query("status", d.Status, "endpoint", d.Endpoint, "partner", d.Partner, "subject", d.Subject, "livemode", live, "type", d.Type, "since", d.Since, "until", d.Until)
	return do[api.List[api.Delivery]](ctx, c, call{method: http.MethodGet, path: "/v1/deliveries", query: q})
}

// Delivery shows all of one delivery, with its body; that stands in the audit trail.
func (c *Client) Delivery(ctx context.Context, id string) (api.DeliveryDetail, error) {
	return do[api.DeliveryDetail](ctx, c, call{method: http.MethodGet, path: at("/v1/deliveries/{id}", id)})
}

// DeliveryAttempts shows one delivery with its attempts, without its body and the text of what the
// partner answered.
func (c *Client) DeliveryAttempts(ctx context.Context, id string) (api.DeliveryDetail, error) {
	return do[api.DeliveryDetail](ctx, c, call{method: http.MethodGet, path: at("/v1/deliveries/{id}/attempts", id)})
}

// RetryNow has a delivery tried now, or what goes before it.
func (c *Client) RetryNow(ctx context.Context, id string) (api.Hurried, error) {
	return do[api.Hurried](ctx, c, call{method: http.MethodPost, path: at("/v1/deliveries/{id}/retry-now", id)})
}

// Skip puts the delivery down as dead that holds its person up.
func (c *Client) Skip(ctx context.Context, id string) (api.Skipped, error) {
	return do[api.Skipped](ctx, c, call{method: http.MethodPost, path: at("/v1/deliveries/{id}/skip", id)})
}

// Cancel takes a delivery out for good.
func (c *Client) Cancel(ctx context.Context, id string, ask api.CancelAsk) (api.CancelledDelivery, error) {
	return do[api.CancelledDelivery](ctx, c, call{method: http.MethodPost, path: at("/v1/deliveries/{id}/cancel", id), ask: ask})
}

// RetryAllNow has what an endpoint waits to try again tried now, 10,000 deliveries a call.
func (c *Client) RetryAllNow(ctx context.Context, endpoint string) (api.HurriedAll, error) {
	return do[api.HurriedAll](ctx, c, call{method: http.MethodPost, path: at("/v1/endpoints/{id}/retry-now", endpoint)})
}

// Search says what an id or a ref is, and where.
func (c *Client) Search(ctx context.Context, word string) (api.Search, error) {
	return do[api.Search](ctx, c, call{method: http.MethodGet, path: "/v1/search", query: Page{}.query("q", word)})
}
