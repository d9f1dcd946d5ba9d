package registry

import (
	"fmt"
	"net/http"
)

func headerName(endpoint, header string) string { return "endpoint-header/" + endpoint + "/" + header }

// open is what the headers of an endpoint hold, in clear.
func (r *Registry) open(e *StoredEndpoint) (map[string]string, error) {
	clear := map[string]string{}
	for name, sealed := range e.Headers {
		value, err := r.o.Sealer.Unseal(headerName(e.ID, name), sealed)
		if err != nil {
			return nil, fmt.Errorf("header %s of endpoint %s: %w", name, e.ID, err)
		}
		clear[name] = string(value)
	}
	return clear, nil
}

// SetHeaders adds headers to those that an endpoint has, in the place of those of the same name;
// one without a value goes.
func (d *EndpointDraft) SetHeaders(hs map[string]*string) error {
	seen := map[string]bool{}
	for name, value := range hs {
		canonical := http.CanonicalHeaderKey(name)
		if seen[canonical] {
			return &ValueError{"headers", "have one twice, in another case", "keep one of them"}
		}
		seen[canonical] = true
		if d.Clear == nil {
			d.Clear = map[string]string{}
		}
		if delete(d.Clear, canonical); value != nil {
			d.Clear[canonical] = *value
		}
	}
	return nil
}
