package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// bigConfig writes a config of n sources, with n/10 key files, and n/10 partners with an endpoint each, and says how many bytes it has.
func bigConfig(tb testing.TB, n int) (path string, size int64) {
	tb.Helper()
	dir := tb.TempDir()
	var b strings.Builder
	partners := max(n/10, 1)
	fmt.Fprintf(&b, "mode: sandbox\ndata: %s/data\nsources:\n", dir)
	for i := range n {
		key := fmt.Sprintf("%07d.key", i%partners)
		if i < partners {
			if err := os.WriteFile(filepath.Join(dir, key), []byte("sumsub-secret-canary-"+key), 0o600); err != nil {
				tb.Fatal(err)
			}
		}
		fmt.Fprintf(&b, "  - {name: source-%07d, provider: sumsub, keys: [file:%s], partner: partner-%d, evidence: signed, rate: 100}\n", i, key, i%partners)
	}
	b.WriteString("partners:\n")
	for i := range partners {
		fmt.Fprintf(&b, "  - {id: partner-%d, endpoints: [{id: acme-%07d, url: \"http://127.0.0.1:8490/%d\", keys: [env:ACME_KEY]}]}\n", i, i, i)
	}
	path = filepath.Join(dir, "countersign.yaml")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path, int64(b.Len())
}

func bigEnv(name string) (string, bool) { return acmeKey, name == "ACME_KEY" }

func BenchmarkLoadConfig(b *testing.B) {
	for _, n := range []int{10_000, 20_000, 80_000} {
		b.Run(fmt.Sprintf("sources=%d", n), func(b *testing.B) {
			path, size := bigConfig(b, n)
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				if _, problems := loadConfig(path, bigEnv, knownNames()); len(problems) > 0 {
					b.Fatal(problems[0])
				}
			}
		})
	}
}
