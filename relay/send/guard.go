package send

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"

	"code.dny.dev/ssrf"
)

// ErrRefused is wrapped by the error of a Post whose address or scheme may not be used. Nothing was
// sent.
var ErrRefused = errors.New("address refused")

// azureWire is Azure's host agent: a public address by the registries, yet it answers every virtual
// machine with its secrets.
var azureWire = netip.MustParsePrefix("168.63.129.16/32")

// newGuard knows what IANA set aside for special purposes. Outside live mode this machine itself
// may be called, so that demos work.
func newGuard(live bool, allow []netip.Prefix) *ssrf.Guardian {
	var v4, v6 []netip.Prefix
	if !live {
		v4 = append(v4, netip.MustParsePrefix("127.0.0.0/8"))
		v6 = append(v6, netip.MustParsePrefix("::1/128"))
	}
	for _, p := range allow {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		if p.Addr().Is4() {
			v4 = append(v4, p)
		} else {
			v6 = append(v6, p)
		}
	}
	return ssrf.New(ssrf.WithAnyPort(), ssrf.WithDeniedV4Prefixes(azureWire), ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...))
}

// Guard is what the dialer of every connection that we open to an address from the config runs,
// once for each address tried, after the lookup and before connect(2): it fails for one that may
// not be called. It knows the same addresses for a provider's API as for a partner's endpoint.
func Guard(live bool, allow []netip.Prefix) func(context.Context, string, string, syscall.RawConn) error {
	return control(newGuard(live, allow))
}

// control runs after the lookup and before connect(2), once for every address tried.
func control(g *ssrf.Guardian) func(context.Context, string, string, syscall.RawConn) error {
	return func(_ context.Context, network, address string, conn syscall.RawConn) error {
		if err := g.Safe(network, address, conn); err != nil {
			return fmt.Errorf("%w: %w", ErrRefused, err) // also what it cannot read, such as an IPv4 address with a zone
		}
		return nil
	}
}

// URLError says what is wrong with an endpoint's URL and what to do about it. It never holds the
// URL: its query may be a secret.
type URLError struct{ Problem, Remedy string }

// Error returns both halves.
func (e *URLError) Error() string { return e.Problem + "; " + e.Remedy }

// CheckURL finds the mistakes that can be seen before the first attempt; its errors are *URLError.
// It is advice: what protects is the guard in the dialer.
func CheckURL(raw string, live bool, allow []netip.Prefix) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return &URLError{"cannot be parsed as a URL", "write it like https://hooks.example.com/kyc"}
	case u.Scheme != "http" && u.Scheme != "https" || u.Opaque != "":
		return &URLError{"is not an absolute http or https URL", "write it like https://hooks.example.com/kyc"}
	case u.User != nil:
		return &URLError{"holds a user name or password", "remove it: deliveries prove themselves by their signature, and auth gives credentials where a server wants them"}
	case u.Hostname() == "":
		return &URLError{"names no host", "write it like https://hooks.example.com/kyc"}
	case u.Fragment != "" || strings.HasSuffix(raw, "#"):
		return &URLError{"has a fragment (#…), which is never sent", "remove it"}
	case live && u.Scheme != "https":
		return &URLError{"is plain http, which live mode refuses", "use https, or set mode: sandbox"}
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return &URLError{"has no usable port", "use a port from 1 to 65535, or leave it out"}
		}
	}
	return checkHost(strings.TrimSuffix(u.Hostname(), "."), live, allow)
}

func checkHost(host string, live bool, allow []netip.Prefix) error {
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Zone() != "" || newGuard(live, allow).SafeAddr(addr.Unmap()) != nil {
			return &URLError{"points at a private or reserved address", "use a public host, or add its network to egress.allow"}
		}
		return nil
	}
	labels := strings.Split(strings.ToLower(host), ".")
	last := labels[len(labels)-1]
	if last == "localhost" && live {
		return &URLError{"points at this machine", "use a public host, or set mode: sandbox"}
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return &URLError{"has a host that is no DNS name", "use a plain name; write international ones in their xn-- form"}
		}
	}
	// What ends in a number is an address to some resolvers (2130706433, 0x7f.1, 0177.0.0.1) and a
	// name to others.
	if _, err := strconv.ParseUint(last, 0, 64); err == nil || strings.Trim(last, "0123456789") == "" {
		return &URLError{"has a host that is a number", "write the address as four decimal numbers, or use a name"}
	}
	return nil
}
