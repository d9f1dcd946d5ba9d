package control

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// known reports whether a call names this listener as its host. A page whose own name has been made
// to resolve to our address (DNS rebinding) is of the same origin as we are, to the browser that it
// runs in; but the browser still says that name. Who names no host is no browser.
func (d *Door) known(req *http.Request) bool {
	host := hostname(req.Host)
	if credulous || host == "" || host == "localhost" || d.names[host] {
		return true
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	local, _ := req.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return a.IsLoopback() || a.Unmap().WithZone("") == address(local) // a pod is probed by the address it has
}

// refuseHost says by which key the name may be let in.
func (d *Door) refuseHost(w http.ResponseWriter, req *http.Request) {
	d.o.Refusals.refuse(byHost)
	if since, ok := d.wrong.tell(network(addr(req.RemoteAddr)), d.o.Now()); ok {
		host := req.Host
		d.o.Logger.WarnContext(req.Context(), "control_host_refused", "host", host[:min(len(host), 100)], "address", req.RemoteAddr, "others_since", since)
	}
	p := &problem{http.StatusMisdirectedRequest, "invalid_request", "host", "the name in Host is not one of this listener; if it should be, add it to listen.control_hosts in the config", "Host"}
	reply(w, d.o.Logger, p.status, p.view())
}

// hostname is the name or the address of a Host header, without port, brackets and case.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// address is the IP address of a connection's end; zero: it has none.
func address(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// addr is the other end of a call.
func addr(remote string) net.Addr {
	a, err := netip.ParseAddrPort(remote)
	if err != nil {
		return nil
	}
	return net.TCPAddrFromAddrPort(a)
}

// network is what counts as one at the other end: an address, or of IPv6 the 64 bits that everybody
// has at the least.
func network(a net.Addr) netip.Addr {
	ip := address(a)
	if !ip.Is6() {
		return ip
	}
	p, _ := ip.Prefix(64) // 64 is within 128
	return p.Addr()
}
