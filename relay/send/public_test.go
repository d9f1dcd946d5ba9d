package send

import (
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

// TestPublic: for connections that may reach public addresses only, the exceptions that others have
// do not count, whether the address is written out or a name leads to it.
func TestPublic(t *testing.T) {
	var hits atomic.Int64
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	o := Options{
		LiveMode: true, RootCAs: roots, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
		Resolver: nameServer(t, func(string, int) []string { return []string{"127.0.0.1"} }),
	}
	c := New(o)
	t.Cleanup(c.Close)
	all, public := c.Pool(PoolOptions{Name: "all"}), c.Pool(PoolOptions{Name: "public", Public: true})
	named := strings.Replace(s.URL, "127.0.0.1", "example.com", 1)
	for _, url := range []string{s.URL, named} {
		if a, err := post(t, all, url, soon); err != nil || a.Code != http.StatusOK {
			t.Errorf("%s, allowed: %+v, %v", url, a, err)
		}
		if _, err := post(t, public, url, soon); Classify(err) != RefusedAddress || !errors.Is(err, ErrRefused) {
			t.Errorf("%s, public only: %v", url, err)
		}
	}
	if n := hits.Load(); n != 2 {
		t.Errorf("%d hits, want 2", n)
	}
	if (PoolOptions{Public: true}).Same(PoolOptions{}) {
		t.Error("a pool that reaches everything serves as well as one that does not")
	}
}
