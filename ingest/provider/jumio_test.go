package provider

import "testing"

// TestJumioTokens: credentials go to the host of the account's own region.
func TestJumioTokens(t *testing.T) {
	f := func(base, want string) {
		t.Helper()
		if got := jumioTokens(base); got != want {
			t.Errorf("jumioTokens(%q) = %q, want %q", base, got, want)
		}
	}
	f(jumioAPI.Live, "https://auth.amer-1.jumio.ai/oauth2/token")
	f("https://retrieval.emea-1.jumio.ai", "https://auth.emea-1.jumio.ai/oauth2/token")
	f("https://account.apac-1.jumio.ai", "https://auth.apac-1.jumio.ai/oauth2/token")
	f("http://127.0.0.1:8080", "http://127.0.0.1:8080/oauth2/token")
	f("https://proxy.example/jumio", "https://proxy.example/jumio/oauth2/token")
}
