package control

import (
	"net/url"
	"slices"

	"countersign/relay/dispatch"
)

// hidden stands for what a viewer does not see of a URL.
const hidden = "…"

// masked is a URL as it is shown to those who may only look: its scheme and host. Its path and its
// query may be what lets somebody in, and its user is.
func masked(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return hidden
	}
	s := u.Scheme + "://" + u.Host + "/"
	if u.Path != "" && u.Path != "/" || u.Opaque != "" {
		s += hidden
	}
	if u.RawQuery != "" || u.ForceQuery {
		s += "?" + hidden
	}
	return s
}

// seesURLs reports whether a token is shown URLs of partners as they are: a partner's own is shown
// no others.
func (t Token) seesURLs() bool { return t.Scope == Operator || t.Scope == Admin || t.Scope == Partner }

// endpointsFor are the endpoints as the holder of a token sees them.
func endpointsFor(t Token, es []dispatch.EndpointView) []dispatch.EndpointView {
	es = slices.DeleteFunc(es, func(e dispatch.EndpointView) bool { return t.Scope == Partner && t.Partner != e.Partner })
	if t.seesURLs() {
		return es
	}
	for i := range es {
		es[i].URL = masked(es[i].URL)
	}
	return es
}
