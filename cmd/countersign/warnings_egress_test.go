package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"
)

// pair makes the files of a certificate, cert.pem and key.pem in dir.
func pair(t *testing.T, dir string, from, to time.Time, usage ...x509.ExtKeyUsage) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: to, ExtKeyUsage: usage}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, dir, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
}

// TestWarningsOfEgress: what works today and may not tomorrow is a warning of check, by name.
func TestWarningsOfEgress(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	env := map[string]string{"AUTH": "user:canary", "KEY": acmeKey, "ONE": "secret-canary-one"}
	f := func(egress string, want ...string) {
		t.Helper()
		config := write(t, dir, "c.yaml", `
sources: [{name: a, provider: sumsub, partner: acme, keys: [env:ONE]}]
partners: [{id: acme, endpoints: [{id: main, url: "https://hooks.example/", keys: [env:KEY], tls: {cert: file:cert.pem, key: file:key.pem}}]}]
egress: {`+egress+`}
`)
		code, out, errs := cli(t, env, "check", "--config-only", "--config", config)
		if code != exitYes || strings.Count(out, "warning: ") != len(want) || strings.Contains(out+errs, "canary") {
			t.Errorf("exit %d, want %d warnings:\n%s%s", code, len(want), out, errs)
		}
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("no %q in\n%s", w, out)
			}
		}
	}
	year := 365 * 24 * time.Hour
	pair(t, dir, now.Add(-time.Hour), now.Add(year), x509.ExtKeyUsageClientAuth)
	f("")
	f("proxy: http://proxy.example:3128")
	f("proxy: https://proxy.example:3128, proxy_auth: env:AUTH")
	f("proxy: http://proxy.example:3128, proxy_auth: env:AUTH", "egress.proxy_auth: travels in clear")
	pair(t, dir, now.Add(-time.Hour), now.Add(year))
	f("")
	const cert = "partners[0].endpoints[0].tls.cert: "
	pair(t, dir, now.Add(-time.Hour), now.Add(year), x509.ExtKeyUsageServerAuth)
	f("", cert+"is not made for clients")
	pair(t, dir, now.Add(-time.Hour), now.Add(time.Hour), x509.ExtKeyUsageClientAuth)
	f("", cert+"expires soon, at ")
	pair(t, dir, now.Add(-year), now.Add(-time.Hour))
	f("", cert+"has expired, at ")
	pair(t, dir, now.Add(time.Hour), now.Add(year))
	f("", cert+"is not valid before ")
}
