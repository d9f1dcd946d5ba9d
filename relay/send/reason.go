package send

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"code.dny.dev/ssrf"
)

// The reasons why an attempt had no answer.
const (
	Timeout        = "timeout"         // the deadline, or the shorter ones for connecting and for the TLS handshake
	RefusedAddress = "refused_address" // refused by us: a private or reserved address, or plain http in live mode
	DNS            = "dns"
	Connect        = "connect"
	TLS            = "tls"
	Reset          = "reset"         // the connection ended before the answer did
	Protocol       = "protocol"      // the answer is not HTTP, or its headers are too large
	ProxyAuth      = "proxy_auth"    // the egress proxy wants other credentials; the partner was not asked
	ProxyRefused   = "proxy_refused" // the egress proxy does not let us there; the same
	ProxyFailed    = "proxy_failed"  // the egress proxy cannot be reached, or could not connect; the same
	Canceled       = "canceled"      // by us, on shutdown
	Other          = "other"
)

// Reasons lists everything Classify returns, for label sets.
var Reasons = []string{Timeout, RefusedAddress, DNS, Connect, TLS, Reset, Protocol, ProxyAuth, ProxyRefused, ProxyFailed, Canceled, Other}

// failure is the only error Post returns. Its text is ours: errors of net/http quote the answer,
// and an answer may echo the request with its query.
type failure struct {
	reason, text string
	is           error // a sentinel without text of its own, or nil
}

func (f *failure) Error() string { return f.reason + ": " + f.text }
func (f *failure) Unwrap() error { return f.is }

// Classify returns one of Reasons for an error of Post, and "" for none.
func Classify(err error) string {
	if err == nil {
		return ""
	}
	return reason(context.Background(), err)
}

// reason names the cause of err; ctx is the attempt's, whose end may show as any error of the
// connection it tore down.
func reason(ctx context.Context, err error) string {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.reason
	}
	var (
		dns *net.DNSError
		op  *net.OpError
		ne  net.Error
	)
	switch {
	case errors.Is(err, ssrf.ErrProhibitedIP), errors.Is(err, ssrf.ErrProhibitedNetwork), errors.Is(err, ErrRefused):
		return RefusedAddress
	case errors.As(err, &dns) && ctx.Err() == nil: // also when the name server was too slow
		return DNS
	case errors.Is(err, context.DeadlineExceeded), errors.Is(ctx.Err(), context.DeadlineExceeded):
		return Timeout
	case errors.Is(err, context.Canceled), ctx.Err() != nil:
		return Canceled
	case errors.As(err, &ne) && ne.Timeout():
		return Timeout
	case isTLS(err):
		return TLS
	case isReset(err): // before "dial": a handshake may be reset too
		return Reset
	case errors.As(err, &op) && op.Op == "dial":
		return Connect
	case isProtocol(err):
		return Protocol
	default:
		return Other
	}
}

func isTLS(err error) bool {
	var (
		cert   *tls.CertificateVerificationError
		record tls.RecordHeaderError
	)
	// Most errors of crypto/tls have no type, only this prefix. An alert is wrapped in words where
	// it met a request that was being written.
	return errors.As(err, &cert) || errors.As(err, &record) ||
		strings.HasPrefix(err.Error(), "tls: ") || strings.Contains(err.Error(), "remote error: tls: ") || strings.Contains(err.Error(), "local error: tls: ")
}

func isReset(err error) bool {
	text := err.Error()
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || strings.HasSuffix(text, "server closed idle connection") ||
		isStreamError(err) || strings.HasPrefix(text, "http2: client conn") || strings.Contains(text, "sent GOAWAY")
}

func isProtocol(err error) bool {
	text := err.Error()
	return strings.HasPrefix(text, "net/http: ") || strings.HasPrefix(text, "http: ") || strings.HasPrefix(text, "http2: ") ||
		strings.HasPrefix(text, "malformed ") || strings.HasPrefix(text, "connection error: ") || strings.HasPrefix(text, "invalid byte in chunk length")
}

// isStreamError reports whether the other side has reset one stream of HTTP/2, and not the
// connection.
func isStreamError(err error) bool { return strings.HasPrefix(err.Error(), "stream error: ") }

// explain turns an error of the transport into one that may be stored, logged and shown.
func explain(ctx context.Context, err error, t *trace) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	f := &failure{reason: reason(ctx, err)}
	switch f.reason {
	case Timeout:
		f.text, f.is = "no answer in time, "+t.stage(), context.DeadlineExceeded
	case RefusedAddress:
		f.text, f.is = refusedText(err), ErrRefused
	case DNS:
		f.text = dnsText(err)
	case Connect:
		f.text = connectText(err)
	case TLS:
		f.text = tlsText(err)
	case Reset:
		f.text = "the connection ended before the answer, " + t.stage()
	case Protocol:
		f.text = "the answer is not HTTP, or its headers exceed 64 KiB"
	case Canceled:
		f.text, f.is = "given up, "+t.stage(), context.Canceled
	default:
		f.text = fmt.Sprintf("the request failed (%T)", innermost(err))
	}
	return f
}

func innermost(err error) error {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err
}

func refusedText(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Addr != nil {
		return op.Addr.String() + " is a private or reserved address; if it is yours, add its network to egress.allow"
	}
	return "a private or reserved address; if it is yours, add its network to egress.allow"
}

func dnsText(err error) string {
	var dns *net.DNSError
	switch errors.As(err, &dns); {
	case dns == nil:
		return "the lookup failed"
	case dns.IsNotFound:
		return "no such host"
	case dns.IsTimeout:
		return "the name server did not answer"
	default:
		return "the lookup failed"
	}
}

func connectText(err error) string {
	if no, ok := errors.AsType[syscall.Errno](err); ok {
		return no.Error()
	}
	return "could not connect"
}

func tlsText(err error) string {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
		op      *net.OpError
	)
	switch {
	case errors.As(err, &unknown):
		return "the certificate is signed by an authority we do not know"
	case errors.As(err, &name):
		return "the certificate is for another name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate has expired or is not yet valid"
	case errors.As(err, &invalid):
		return "the certificate may not be used for this"
	case errors.As(err, &record):
		return "the server does not speak TLS"
	case errors.As(err, &op) && op.Op == "remote error": // an alert: one byte, which crypto/tls turns into words
		return "the server refused the handshake: " + strings.TrimPrefix(op.Err.Error(), "tls: ")
	default:
		return "the handshake failed"
	}
}
