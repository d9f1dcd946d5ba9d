package relay

import (
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/relay/send"
)

// TestHangingEndpointAtASharedHost: of two endpoints at one host and port one hangs, with everything it may have in flight; what the other is owed arrives all the same, over
// HTTP/1 and over HTTP/2 (I6). Its own headers go to each.
func TestHangingEndpointAtASharedHost(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		released := make(chan struct{})
		var stuck, well, strange atomic.Int64
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if r.Header.Get("X-Path") != r.URL.Path || (r.ProtoMajor == 2) != http2 {
				strange.Add(1)
			}
			if r.URL.Path == "/hangs" {
				stuck.Add(1)
				<-released
				return
			}
			well.Add(1)
		}))
		s.EnableHTTP2 = http2
		s.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 4}
		s.StartTLS()
		roots := x509.NewCertPool()
		roots.AddCert(s.Certificate())
		endpoint := func(id string) Endpoint {
			return Endpoint{
				ID: id, URL: s.URL + "/" + id, Format: standard, Keys: []Key{{Key: mainKey}}, Events: []string{"kyc.status.*"}, Concurrency: 8, Timeout: time.Minute, MaxOwed: 1000,
				Retry: Schedule{First: time.Hour, Factor: 1, Max: time.Hour, Attempts: 3}, Headers: []send.Header{send.NewHeader("X-Path", "/"+id)},
			}
		}
		g := newRig(t)
		g.grace = time.Millisecond
		g.partners = []Partner{acme(endpoint("hangs"), endpoint("well"))}
		g.close()
		g.roots = roots
		g.open()
		g.run()
		for i := range 40 {
			g.tell(said("user-"+string(rune('a'+i%26))+string(rune('a'+i/26)), 1, kyc.Rejected))
		}
		eventually(t, "the healthy endpoint has everything", func() bool { return well.Load() == 40 && g.outbox.Owed("well") == 0 })
		eventually(t, "the sick one hangs with all it may have", func() bool { return stuck.Load() == 8 })
		if strange.Load() != 0 || g.outbox.Owed("hangs") != 40 {
			t.Errorf("http2 %v: %d requests in another protocol, or without their header; %d owed to the sick one", http2, strange.Load(), g.outbox.Owed("hangs"))
		}
		g.close()
		close(released)
		s.Close()
	}
}
