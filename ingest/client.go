package ingest

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"
)

// client is who sent the request: the peer, or, behind trusted proxies, the last address in
// X-Forwarded-For or Forwarded that is not one of them. Where both are there and do not say the
// same, a proxy wrote one of them and let a stranger's through in the other: then it is nobody,
// whom no allow list has.
func (now *set) client(ctx *fasthttp.RequestCtx) netip.Addr {
	at := peer(ctx.RemoteAddr())
	if !now.trusted(at) {
		return at
	}
	h := &ctx.Request.Header
	listed := h.PeekAll("X-Forwarded-For")
	by, isListed := now.behind(at, listed, hop), len(listed) > 0
	standard := h.PeekAll("Forwarded") // from here on listed is something else
	if len(standard) == 0 {
		return by
	}
	if also := now.behind(at, standard, forwardedFor); !isListed || also == by {
		return also
	}
	return netip.Addr{}
}

// behind follows the hops that proxies wrote, the last first, as far as each is one that is
// trusted. A hop that cannot be read, or hides itself, is as far as it goes.
func (now *set) behind(at netip.Addr, lines [][]byte, read func(string) (netip.Addr, bool)) netip.Addr {
	for _, line := range slices.Backward(lines) {
		for _, text := range slices.Backward(parts(string(line), ',')) {
			hop, ok := read(text)
			if !ok {
				return at
			}
			if at = hop; !now.trusted(at) {
				return at
			}
		}
	}
	return at
}

// parts divides a list at its separators, but for those in quotes.
func parts(list string, separator byte) (elements []string) {
	from, quoted := 0, false
	for i := 0; i < len(list); i++ {
		switch {
		case list[i] == '\\' && quoted:
			i++
		case list[i] == '"':
			quoted = !quoted
		case list[i] == separator && !quoted:
			elements, from = append(elements, list[from:i]), i+1
		}
	}
	return append(elements, list[from:])
}

// hop reads an address that may have a port, and brackets, and quotes around it.
func hop(text string) (netip.Addr, bool) {
	text = strings.Trim(text, " \t")
	if n := len(text); n > 1 && text[0] == '"' && text[n-1] == '"' {
		text = text[1 : n-1]
	}
	if a, err := netip.ParseAddr(text); err == nil {
		return a.Unmap(), true
	}
	if p, err := netip.ParseAddrPort(text); err == nil {
		return p.Addr().Unmap(), true
	}
	if n := len(text); n > 1 && text[0] == '[' && text[n-1] == ']' {
		a, err := netip.ParseAddr(text[1 : n-1])
		return a.Unmap(), err == nil && a.Is6()
	}
	return netip.Addr{}, false
}

// forwardedFor reads who a proxy had the request from, of one element of Forwarded (RFC 7239).
// "unknown" and names that begin with an underscore are no address.
func forwardedFor(element string) (a netip.Addr, ok bool) {
	for _, pair := range parts(element, ';') {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.EqualFold(strings.Trim(name, " \t"), "for") {
			continue
		}
		if ok { // twice: no way to tell which
			return netip.Addr{}, false
		}
		if a, ok = hop(value); !ok {
			return netip.Addr{}, false
		}
	}
	return a, ok
}
