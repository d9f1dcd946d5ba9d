package brokers

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"countersign/ingest/forward"
	"countersign/ingest/forward/kafka"
)

// trusting is TLS with an authority.
func trusting(a *authority) func(*kafka.Options) {
	return func(o *kafka.Options) { o.TLS = &kafka.TLS{CAFile: a.file} }
}

// refused is what Prepare says.
func refused(t *testing.T, brokers []string, change func(*kafka.Options), class forward.Class, words ...string) {
	t.Helper()
	k := client(t, brokers, change)
	_, err := k.Topic(kafka.TopicOptions{Name: name}).Prepare(within(t))
	trouble(t, err, class, words...)
	trouble(t, k.Probe(within(t)), class, words...)
}

// TestTLS: each way in which certificates are wrong has its own sentence, and right ones work.
func TestTLS(t *testing.T) {
	t.Parallel()
	ours, other := newAuthority(t), newAuthority(t)
	f := func(pair tls.Certificate, change func(*kafka.Options), words ...string) {
		t.Helper()
		c := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, name), kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}}))
		if len(words) > 0 {
			refused(t, c.ListenAddrs(), change, forward.BadTLS, append(words, c.ListenAddrs()[0])...)
			return
		}
		topic, _ := ready(t, client(t, c.ListenAddrs(), change))
		if errs := topic.Send(within(t), 0, []forward.Batch{{Records: records("a", 3)}}); errs[0] != nil {
			t.Error(errs)
		}
	}
	f(ours.sign(2, nil), trusting(ours))
	f(other.sign(2, nil), trusting(ours), "is not signed by an authority in kafka.tls.ca")
	f(ours.sign(2, nil), func(o *kafka.Options) { o.TLS = &kafka.TLS{} }, "this machine trusts", "set kafka.tls.ca")
	past := time.Now().AddDate(0, 0, -3)
	f(ours.sign(2, func(c *x509.Certificate) { c.NotAfter = past }), trusting(ours), "expired on "+past.UTC().Format(time.DateOnly))
	soon := time.Now().AddDate(0, 0, 3)
	f(ours.sign(2, func(c *x509.Certificate) { c.NotBefore = soon }), trusting(ours), "valid from "+soon.UTC().Format(time.DateOnly), "clock")
	f(ours.sign(2, func(c *x509.Certificate) {
		c.IPAddresses, c.DNSNames = nil, []string{"a.example", "b.example", "c.example", "d.example"}
	}), trusting(ours), "is for other names (a.example, b.example, c.example and 1 more)")
	f(ours.sign(2, nil), nil, "wants TLS: add kafka.tls")
	old := &tls.Config{Certificates: []tls.Certificate{ours.sign(2, nil)}, MaxVersion: tls.VersionTLS11}
	c := cluster(t, kfake.NumBrokers(1), kfake.TLS(old))
	refused(t, c.ListenAddrs(), trusting(ours), forward.BadTLS, "TLS")
}

// TestPlain: a broker that speaks no TLS is told from one that is not there.
func TestPlain(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, name))
	refused(t, c.ListenAddrs(), trusting(newAuthority(t)), forward.BadTLS, "speaks no TLS: remove kafka.tls", c.ListenAddrs()[0])
}

// TestClientCertificate: a broker that wants to know who we are says so, in the old handshake and
// in the new, and sees a certificate that was replaced while we run.
func TestClientCertificate(t *testing.T) {
	t.Parallel()
	ours, other := newAuthority(t), newAuthority(t)
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	withPair := func(o *kafka.Options) { o.TLS = &kafka.TLS{CAFile: ours.file, CertFile: cert, KeyFile: key} }
	f := func(version uint16) {
		t.Helper()
		var serial atomic.Int64
		c := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, name), kfake.TLS(&tls.Config{
			Certificates: []tls.Certificate{ours.sign(2, nil)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ours.pool(), MinVersion: version, MaxVersion: version,
			VerifyPeerCertificate: func(_ [][]byte, chains [][]*x509.Certificate) error {
				serial.Store(chains[0][0].SerialNumber.Int64())
				return nil
			},
		}))
		refused(t, c.ListenAddrs(), trusting(ours), forward.BadTLS, "wants a client certificate: set kafka.tls.cert and kafka.tls.key")
		save(t, other.sign(7, nil), cert, key)
		refused(t, c.ListenAddrs(), withPair, forward.BadTLS, "refuses our certificate", "kafka.tls.cert")
		save(t, ours.sign(11, nil), cert, key)
		k := client(t, c.ListenAddrs(), withPair)
		ready(t, k)
		if serial.Load() != 11 {
			t.Errorf("the broker saw certificate %d", serial.Load())
		}
		save(t, ours.sign(12, nil), cert, key)
		if err := k.Probe(within(t)); err != nil || serial.Load() != 12 {
			t.Errorf("the broker saw certificate %d, %v", serial.Load(), err)
		}
	}
	f(tls.VersionTLS12)
	f(tls.VersionTLS13)
}

// answering is a TCP server that is not Kafka. It says greeting as soon as something came, and
// hangs up or keeps silent.
func answering(t *testing.T, greeting string, hangUp bool) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			go func() {
				c.Read(make([]byte, 1024))
				c.Write([]byte(greeting))
				if hangUp {
					c.Close()
				}
			}()
		}
	}()
	return ln.Addr().String()
}

// TestNotKafka: what is not there, and what is not Kafka.
func TestNotKafka(t *testing.T) {
	t.Parallel()
	gone := answering(t, "", true)
	const closed = "127.0.0.1:1" // nobody is ever given this port
	silent := answering(t, "", false)
	web := answering(t, "HTTP/1.1 400 Bad Request\r\n\r\n", true)
	tlsed := trusting(newAuthority(t))
	f := func(class forward.Class, change func(*kafka.Options), brokers []string, words ...string) {
		t.Helper()
		t.Run(words[0], func(t *testing.T) {
			t.Parallel()
			refused(t, brokers, change, class, words...)
		})
	}
	f(forward.Unreachable, nil, []string{closed}, closed+" does not answer (connection refused)", "kafka.brokers")
	f(forward.Unreachable, nil, []string{"nohost.invalid:9092"}, "nohost.invalid", "kafka.brokers")
	f(forward.Unreachable, nil, []string{"127.0.0.1:99999"}, "127.0.0.1:99999 is no address")
	f(forward.Unreachable, nil, []string{gone}, gone+" takes the connection and hangs up")
	f(forward.Unreachable, tlsed, []string{gone}, gone+" hangs up in the TLS handshake")
	f(forward.TimedOut, nil, []string{silent}, silent+" did not answer in time")
	f(forward.TimedOut, tlsed, []string{silent}, silent+" says nothing in the TLS handshake")
	f(forward.NotKafka, nil, []string{web}, "something that is not Kafka answers at "+web, "HTTP")
	f(forward.BadTLS, tlsed, []string{web}, web+" speaks no TLS")
	f(forward.NotKafka, nil, []string{closed, web, gone}, web, "no other broker of kafka.brokers")
	f(forward.NotKafka, nil, []string{answering(t, "SSH", true)}, "something that is not Kafka", "SSH")
}

// TestTransportNotKafka: the transport, which knows nothing of Prepare, is kept from what is not
// Kafka as well.
func TestTransportNotKafka(t *testing.T) {
	t.Parallel()
	web := answering(t, "HTTP/1.1 400 Bad Request\r\n\r\n", true)
	_, err := client(t, []string{web}, nil).Topic(kafka.TopicOptions{Name: name}).Leaders(within(t))
	trouble(t, err, forward.NotKafka, web)
}

// TestOneOfMany: one broker that takes us is enough.
func TestOneOfMany(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, name))
	k := client(t, []string{"127.0.0.1:1", c.ListenAddrs()[0], "127.0.0.1:2"}, nil)
	if err := k.Probe(within(t)); err != nil {
		t.Error(err)
	}
	ready(t, k)
}
