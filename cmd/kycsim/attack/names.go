package attack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
)

// names answers look-ups as whoever owns a name may: an address that may not be called, one that
// may and then another that may not, both at once.
type names struct {
	conn net.PacketConn
	wg   sync.WaitGroup

	mu    sync.Mutex // guards asked
	asked map[string]int
}

// The one address that may be called, and names of it.
const (
	allowedAddr = "127.0.0.2"
	allowedName = "allowed.test"
)

// zone is what each name answers, round by round; a name of the form 1-2-3-4.at.test, or
// 2001-db8--1.at.test, is of that address.
var zone = map[string][][]string{
	allowedName:                {{allowedAddr}},
	"rebind.test":              {{allowedAddr}, {"127.0.0.1"}},
	"rebind-late.test":         {{allowedAddr}, {allowedAddr}, {allowedAddr}, {"169.254.169.254"}},
	"mixed.test":               {{allowedAddr, "127.0.0.1"}},
	"mixed-first.test":         {{"10.0.0.1", allowedAddr}},
	"mixed-six.test":           {{allowedAddr, "::1"}},
	"metadata.google.internal": {{"169.254.169.254"}},
	"metadata":                 {{"169.254.169.254"}},
	"instance-data":            {{"169.254.169.254"}},
	"localhost":                {{"127.0.0.1"}},
	"localtest.me":             {{"127.0.0.1"}},
	"kubernetes.default.svc":   {{"10.96.0.1"}},
	"host.docker.internal":     {{"172.17.0.1"}},
}

// alias are names that are another's.
var alias = map[string]string{"alias.test": "127-0-0-1.at.test.", "alias-allowed.test": "allowed.test.", "alias-rebind.test": "rebind.test."}

func serveNames(ctx context.Context, addr string) (*names, error) {
	conn, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp", addr)
	if err != nil {
		return nil, fmt.Errorf("serve names: %w", err)
	}
	n := &names{conn: conn, asked: map[string]int{}}
	n.wg.Go(n.serve)
	return n, nil
}

func (n *names) close() {
	n.conn.Close() //nolint:errcheck,gosec // nothing depends on it
	n.wg.Wait()
}

func (n *names) serve() {
	b := make([]byte, 4096)
	for {
		k, from, err := n.conn.ReadFrom(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		if answer, err := n.answer(b[:k]); err == nil {
			n.conn.WriteTo(answer, from) //nolint:errcheck,gosec // it will ask again
		}
	}
}

func (n *names) answer(query []byte) ([]byte, error) {
	var p dnsmessage.Parser
	h, err := p.Start(query)
	if err != nil {
		return nil, err
	}
	q, err := p.Question()
	if err != nil {
		return nil, err
	}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: h.ID, Response: true, Authoritative: true, RecursionDesired: h.RecursionDesired, RecursionAvailable: true},
		Questions: []dnsmessage.Question{q},
	}
	name := q.Name
	if to, ok := alias[plainName(name)]; ok {
		target := dnsmessage.MustNewName(to)
		m.Answers = append(m.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: name, Type: dnsmessage.TypeCNAME, Class: dnsmessage.ClassINET}, Body: &dnsmessage.CNAMEResource{CNAME: target},
		})
		name = target
	}
	addrs, known := n.addrs(plainName(name), q.Type)
	if !known {
		m.RCode = dnsmessage.RCodeNameError
	}
	for _, a := range addrs {
		rh := dnsmessage.ResourceHeader{Name: name, Type: q.Type, Class: dnsmessage.ClassINET} // with a TTL of 0
		switch {
		case a.Is4() && q.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: rh, Body: &dnsmessage.AResource{A: a.As4()}})
		case !a.Is4() && q.Type == dnsmessage.TypeAAAA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: rh, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		default:
		}
	}
	return m.Pack()
}

func plainName(n dnsmessage.Name) string { return strings.ToLower(strings.TrimSuffix(n.String(), ".")) }

// addrs are the addresses of a name this time.
func (n *names) addrs(name string, t dnsmessage.Type) (as []netip.Addr, known bool) {
	if label, ok := strings.CutSuffix(name, ".at.test"); ok {
		for _, text := range []string{strings.ReplaceAll(label, "-", "."), strings.ReplaceAll(label, "-", ":")} {
			if a, err := netip.ParseAddr(text); err == nil {
				return []netip.Addr{a}, true
			}
		}
		return nil, false
	}
	rounds, ok := zone[name]
	if !ok {
		return nil, false
	}
	n.mu.Lock()
	round := n.asked[name] / 2 // A and AAAA are asked together
	n.asked[name]++
	n.mu.Unlock()
	_ = t
	for _, text := range rounds[round%len(rounds)] {
		as = append(as, netip.MustParseAddr(text))
	}
	return as, true
}
