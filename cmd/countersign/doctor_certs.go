package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"strings"
	"time"
)

// ownCertificates are the probes of the files with our own certificates and authorities.
func (d *doctor) ownCertificates() (ps []probe) {
	add := func(of string, look func(context.Context) []finding) {
		ps = append(ps, probe{"certificate", of, look})
	}
	if t := d.cfg.TLS; t != nil {
		add("tls.cert", func(ctx context.Context) []finding {
			return append(certificateFile(t.CertFile, false), d.served(ctx, t)...)
		})
		if t.ClientCAFile != "" {
			add("tls.client_ca", func(context.Context) []finding { return certificateFile(t.ClientCAFile, false) })
		}
	}
	for i, p := range d.cfg.receivers() {
		for j := range p.Endpoints {
			f, key := p.Endpoints[j].TLS, d.cfg.endpointKey(i, j)
			if f.Cert != "" {
				add(key+".tls.cert", func(context.Context) []finding { return certificateFile(f.Cert, true) })
			}
			if f.CA != "" {
				add(key+".tls.ca", func(context.Context) []finding { return certificateFile(f.CA, false) })
			}
		}
	}
	if k := d.cfg.Kafka; k != nil && k.TLS != nil {
		for key, file := range map[string]string{"kafka.tls.ca": k.TLS.CAFile, "kafka.tls.cert": k.TLS.CertFile} {
			if file != "" {
				add(key, func(context.Context) []finding { return certificateFile(file, strings.HasSuffix(key, "cert")) })
			}
		}
	}
	return ps
}

// readCertificates are the certificates of a PEM file.
func readCertificates(file string) (all []*x509.Certificate, err error) {
	rest, err := os.ReadFile(file) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, err
	}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return all, nil
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return all, err
		}
		all = append(all, c)
	}
}

// certificateFile says when what is in a file ends, and of a certificate for clients whether
// servers may refuse it.
func certificateFile(file string, client bool) (found []finding) {
	all, err := readCertificates(file)
	if err != nil || len(all) == 0 {
		return []finding{bad("name a PEM file with certificates that countersign may read", "%s cannot be read, or holds no certificate", file)}
	}
	now, first := time.Now(), all[0]
	for _, c := range all {
		if c.NotAfter.Before(first.NotAfter) {
			first = c
		}
	}
	end := first.NotAfter.UTC().Format(time.RFC3339)
	whose := ""
	if len(all) > 1 {
		whose = ", the first of " + first.Subject.CommonName
	}
	names := ""
	if leaf := all[0]; len(leaf.DNSNames)+len(leaf.IPAddresses) > 0 {
		list := append([]string{}, leaf.DNSNames...)
		for _, ip := range leaf.IPAddresses {
			list = append(list, ip.String())
		}
		names = " for " + strings.Join(list, ", ")
	}
	switch {
	case now.After(first.NotAfter):
		return []finding{bad("renew it in its place: the gateway follows the file", "%s has expired, at %s%s", file, end, whose)}
	case now.Before(all[0].NotBefore):
		return []finding{bad("compare the clock of this machine, or wait", "%s is not valid before %s", file, all[0].NotBefore.UTC().Format(time.RFC3339))}
	case now.Add(expiresSoon).After(first.NotAfter):
		return []finding{doubt("renew it in its place: the gateway follows the file", "%s expires soon, at %s%s", file, end, whose)}
	}
	if what, remedy := doubtful(all[0], now); client && what != "" {
		return []finding{doubt(remedy, "%s %s", file, what)}
	}
	return []finding{fine("%s%s is valid until %s%s", file, names, end, whose)}
}

// served compares the certificate that the callback listener shows with the one in its file. Where
// nothing listens, gateway has said so.
func (d *doctor) served(ctx context.Context, t *TLSConfig) []finding {
	ours, err := readCertificates(t.CertFile)
	if err != nil || len(ours) == 0 {
		return nil
	}
	raw, err := (&net.Dialer{Timeout: dialMost}).DialContext(ctx, "tcp", reachable(d.cfg.Listen.Callbacks))
	if err != nil {
		return nil
	}
	defer raw.Close()                                                                            //nolint:errcheck // nothing is lost with it
	conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}) //nolint:gosec // it is compared below, and nothing is sent
	if conn.HandshakeContext(ctx) != nil && len(conn.ConnectionState().PeerCertificates) == 0 {
		return []finding{bad("see its log; it may be another program that listens there", "listen.callbacks does not speak TLS")}
	}
	shown := conn.ConnectionState().PeerCertificates
	if len(shown) == 0 || shown[0].Equal(ours[0]) {
		return nil
	}
	return []finding{doubt("a renewed file is served within ten seconds; else the log says certificate_not_reloaded", "listen.callbacks shows another certificate than the one in %s", t.CertFile)}
}
