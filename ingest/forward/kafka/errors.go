package kafka

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/produce"

	"countersign/ingest/forward"
)

// because is a Trouble with its sentence.
func because(class forward.Class, err error, format string, args ...any) *forward.Trouble {
	return &forward.Trouble{Class: class, Text: fmt.Sprintf(format, args...), Err: err}
}

// explain says what an error means that kept a request from being answered. at is the broker. What
// brokers say in words is never quoted: a word may be a person's.
func (c *Client) explain(err error, at string) *forward.Trouble {
	var trouble *forward.Trouble
	var open *openError
	var foreign *foreignError
	var code kafkago.Error
	var unrouted *produce.Error
	switch {
	case errors.As(err, &trouble):
		return trouble
	case errors.As(err, &open) && open.stage == stageTLS:
		return c.explainTLS(open)
	case errors.As(err, &open):
		return c.explainDial(open)
	case errors.As(err, &foreign) && bytes.HasPrefix(foreign.head, []byte{0x15, 0x03}): // an alert
		return because(forward.BadTLS, err, "%s wants TLS: add kafka.tls", foreign.addr)
	case errors.As(err, &foreign):
		return because(forward.NotKafka, err, "something that is not Kafka answers at %s: it begins with %q", foreign.addr, foreign.head)
	case remoteAlert(err) != "":
		return c.explainAlert(err, at)
	case errors.Is(err, errCharacters), errors.Is(err, errConversation):
		return because(forward.BadAuth, err, "%s: %v (%s, %s)", at, err, c.who(), c.sasl.o.Mechanism)
	case errors.As(err, &code):
		return c.refused(code, "", at)
	case errors.As(err, &unrouted), errors.Is(err, protocol.ErrNoTopic), errors.Is(err, protocol.ErrNoPartition), errors.Is(err, protocol.ErrNoLeader):
		return because(forward.NoLeader, err, "%s does not lead the partitions any more, or a partition has no leader: is another broker down?", at)
	case errors.Is(err, context.Canceled):
		return because(forward.OtherClass, err, "given up while %s was being asked", at)
	case errors.Is(err, errClosed):
		return because(forward.OtherClass, err, "%v", err)
	case hungUp(err):
		return because(forward.Unreachable, err, "%s takes the connection and hangs up: is it a Kafka broker, and is it well?", at)
	case silent(err):
		return because(forward.TimedOut, err, "%s did not answer in time: is it a Kafka broker, and is it well?", at)
	default:
		return because(forward.OtherClass, err, "%s: %v", at, err)
	}
}

// hungUp reports whether the other side ended the connection.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}

// explainDial says why a TCP connection failed.
func (c *Client) explainDial(e *openError) *forward.Trouble {
	hint := "is kafka.brokers right?"
	if !slices.Contains(c.brokers, e.addr) { // learnt from a broker
		hint = "is advertised.listeners of that broker right?"
	}
	var dns *net.DNSError
	var why string
	switch {
	case errors.As(e.err, &dns) && dns.IsNotFound:
		return because(forward.Unreachable, e, "there is no host %s: %s", dns.Name, hint)
	case errors.As(e.err, &dns):
		return because(forward.Unreachable, e, "the host name %s cannot be looked up (%s): does DNS work, and %s", dns.Name, dns.Err, hint)
	case errors.Is(e.err, syscall.ECONNREFUSED):
		why = "connection refused"
	case errors.Is(e.err, context.Canceled):
		return because(forward.OtherClass, e, "given up while connecting to %s", e.addr)
	case silent(e.err):
		why = "timed out"
	default:
		why = "no connection"
		for _, no := range []syscall.Errno{syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EACCES, syscall.EADDRNOTAVAIL, syscall.EMFILE} {
			if errors.Is(e.err, no) {
				why = no.Error()
			}
		}
		if addr, ok := errors.AsType[*net.AddrError](e.err); ok {
			return because(forward.Unreachable, e, "%s is no address (%s): %s", e.addr, addr.Err, hint)
		}
	}
	return because(forward.Unreachable, e, "%s does not answer (%s): is a broker there, and %s", e.addr, why, hint)
}

// explainTLS says why a TLS handshake failed.
func (c *Client) explainTLS(e *openError) *forward.Trouble {
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	var header tls.RecordHeaderError
	var untrusted *tls.CertificateVerificationError
	var file *os.PathError
	var text string
	switch {
	case errors.As(e.err, &authority) && c.o.TLS.CAFile == "":
		text = fmt.Sprintf("the certificate of %s is not signed by an authority that this machine trusts: set kafka.tls.ca", e.addr)
	case errors.As(e.err, &authority):
		text = fmt.Sprintf("the certificate of %s is not signed by an authority in kafka.tls.ca", e.addr)
	case errors.As(e.err, &name):
		text = fmt.Sprintf("the certificate of %s is for other names (%s): name the broker as its certificate does", e.addr, namesOf(name.Certificate))
	case errors.As(e.err, &invalid) && invalid.Reason == x509.Expired && time.Now().Before(invalid.Cert.NotBefore):
		text = fmt.Sprintf("a certificate of %s is valid from %s on: is the clock of this machine right?", e.addr, invalid.Cert.NotBefore.UTC().Format(time.DateOnly))
	case errors.As(e.err, &invalid) && invalid.Reason == x509.Expired:
		text = fmt.Sprintf("a certificate of %s expired on %s: the broker needs a new one", e.addr, invalid.Cert.NotAfter.UTC().Format(time.DateOnly))
	case errors.As(e.err, &untrusted):
		text = fmt.Sprintf("the certificate of %s is refused: %v", e.addr, untrusted.Err)
	case e.asked && errors.As(e.err, &file):
		text = fmt.Sprintf("our certificate for %s cannot be read (kafka.tls.cert, kafka.tls.key): %v", e.addr, file)
	case remoteAlert(e.err) != "":
		return c.explainAlert(e, e.addr)
	case errors.As(e.err, &header):
		text = e.addr + " speaks no TLS: remove kafka.tls, or name the port that does"
	case hungUp(e.err):
		return because(forward.Unreachable, e, "%s hangs up in the TLS handshake: is it a Kafka broker, does that port speak TLS, and is it well?", e.addr)
	case silent(e.err):
		return because(forward.TimedOut, e, "%s says nothing in the TLS handshake: is it a Kafka broker, does that port speak TLS, and is it well?", e.addr)
	default:
		text = fmt.Sprintf("the TLS handshake with %s failed: %v", e.addr, e.err)
	}
	return because(forward.BadTLS, e, "%s", text)
}

// namesOf are some of the names a certificate is for.
func namesOf(cert *x509.Certificate) string {
	names := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	switch n := len(names); {
	case n == 0:
		return "none at all"
	case n > 3:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), n-3)
	default:
		return strings.Join(names, ", ")
	}
}

// remoteAlert is what a broker says in a TLS alert; empty: it said none.
func remoteAlert(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" { // crypto/tls has no type for it
		return strings.TrimPrefix(op.Err.Error(), "tls: ")
	}
	return ""
}

// explainAlert says what a TLS alert of the broker means.
func (c *Client) explainAlert(err error, at string) *forward.Trouble {
	said := remoteAlert(err)
	var open *openError
	asked := errors.As(err, &open) && open.asked
	switch {
	case said == "certificate required", asked && !c.dialer.withPair: // before TLS 1.3 brokers say it in one of several ways
		return wantsCertificate(err, at)
	case c.dialer.withPair && strings.Contains(said, "certificate"):
		return because(forward.BadTLS, err, "%s refuses our certificate (%s): is kafka.tls.cert valid, and does the broker trust who signed it?", at, said)
	default:
		return because(forward.BadTLS, err, "%s ends the TLS handshake (%s): does it allow TLS 1.2 or newer?", at, said)
	}
}

func wantsCertificate(err error, at string) *forward.Trouble {
	return because(forward.BadTLS, err, "%s wants a client certificate: set kafka.tls.cert and kafka.tls.key", at)
}
