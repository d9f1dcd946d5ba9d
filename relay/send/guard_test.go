package send

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// nameServer answers every query for a name with the addresses fn gives for it; n counts the A
// queries for that name from 0.
func nameServer(t *testing.T, fn func(name string, n int) []string) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	go func() {
		asked := map[string]int{}
		b := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			name, qtype, end := question(b[:n])
			addrs := fn(name, asked[name])
			if qtype == 1 {
				asked[name]++
			}
			_, _ = pc.WriteTo(reply(b[:end], qtype, addrs), from)
		}
	}()
	return resolverAt(pc.LocalAddr().String())
}

func resolverAt(addr string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", addr)
	}}
}

func question(q []byte) (name string, qtype uint16, end int) {
	var labels []string
	i := 12
	for q[i] != 0 {
		labels = append(labels, string(q[i+1:i+1+int(q[i])]))
		i += 1 + int(q[i])
	}
	return strings.Join(labels, "."), binary.BigEndian.Uint16(q[i+1:]), i + 5
}

func reply(q []byte, qtype uint16, addrs []string) []byte {
	r := slices.Clone(q)
	binary.BigEndian.PutUint16(r[2:], 0x8180)
	clear(r[6:12])
	count := uint16(0)
	for _, s := range addrs {
		a := netip.MustParseAddr(s)
		if a.Is4() != (qtype == 1) {
			continue
		}
		r = append(r, 0xc0, 12, 0, byte(qtype), 0, 1, 0, 0, 0, 0, 0, byte(a.BitLen()/8)) // TTL 0
		r = append(r, a.AsSlice()...)
		count++
	}
	binary.BigEndian.PutUint16(r[6:], count)
	if len(addrs) == 0 {
		r[3] |= 3 // no such name
	}
	return r
}

// hostile addresses: none may ever be dialled, under whatever name.
var hostile = []string{
	"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.1.2.3", "127.255.255.254",
	"168.63.129.16", "169.254.0.1", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1",
	"192.31.196.1", "192.52.193.1", "192.88.99.1", "192.168.0.1", "192.168.255.255", "192.175.48.1", "198.18.0.1", "198.19.255.255", "198.51.100.1",
	"203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
	"::", "::1", "::127.0.0.1", "::ffff:0:127.0.0.1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:168.63.129.16",
	"64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "100::1", "2001::1", "2001:2::1", "2001:10::1", "2001:db8::1", "2002:7f00:1::1",
	"2002:a00:1::1", "2620:4f:8000::1", "3fff::1", "5f00::1", "fc00::1", "fd00::1", "fd00:ec2::254", "fd20:ce::254", "fe80::1", "fe80::a9fe:a9fe",
	"fec0::1", "ff02::1", "ff0e::1",
}

// spellings of this machine and of the cloud's metadata that URL filters have been fooled with. %p
// is the port of a real listener.
var spellings = []string{
	"https://localhost:%p", "https://LOCALHOST:%p", "https://localhost.:%p", "https://a.localhost:%p", "https://127.1:%p", "https://127.0.1:%p", "https://0:%p",
	"https://2130706433:%p", "https://0x7f000001:%p", "https://0x7f.1:%p", "https://0x7f.0x0.0x0.0x1:%p", "https://017700000001:%p", "https://0177.0.0.1:%p",
	"https://0177.1:%p", "https://127.0.0.01:%p", "https://127.0.0.1.:%p", "https://127.0.0.1%%00:%p", "https://127。0。0。1:%p", "https://１２７.0.0.1:%p", "https://①②⑦.0.0.1:%p",
	"https://[::1]:%p", "https://[::]:%p", "https://[0:0:0:0:0:0:0:1]:%p", "https://[0000::1]:%p", "https://[::ffff:127.0.0.1]:%p", "https://[::ffff:7f00:1]:%p",
	"https://[::1%%25lo]:%p", "https://[fe80::1%%25eth0]:%p", "https://[::127.0.0.1]:%p", "https://[127.0.0.1]:%p", "https://[localhost]:%p",
	"https://example.com@127.0.0.1:%p", "https://127.0.0.1:%p@127.0.0.1:%p", "https://example.com#@127.0.0.1:%p", "https://example.com\\@127.0.0.1:%p", "https:\\\\127.0.0.1:%p",
	"https:/127.0.0.1:%p", "https:127.0.0.1:%p", "https:///127.0.0.1:%p", "//127.0.0.1:%p", " https://127.0.0.1:%p", "https://127.0.0.1:%p ", "https://127.0.0.1\t:%p", "https://127.0.0.1\n:%p",
	"https://127.0.0.1:%p%%2f", "https://%%31%%32%%37.0.0.1:%p", "HTTPS://127.0.0.1:%p", "http://127.0.0.1:%p", "gopher://127.0.0.1:%p/_x", "file:///etc/passwd", "unix:///run/docker.sock",
	"https://127.0.0.1.nip.io:%p", "https://metadata.google.internal:%p", "https://rebind.example:%p", "https://a.b.c.d.example:%p", "https://xn--n3h.example:%p",
}

// TestNoHostileAddressIsEverReached has a listener on every loopback address and a name server that
// sends every name there: only the guard is in the way.
func TestNoHostileAddressIsEverReached(t *testing.T) {
	var reached atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	s.Listener.Close()
	s.Listener = l
	s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			reached.Add(1)
		}
	}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	defer s.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	target := atomic.Pointer[string]{}
	resolver := nameServer(t, func(string, int) []string { return []string{*target.Load()} })
	live := client(t, Options{LiveMode: true, Resolver: resolver, DialTimeout: time.Second})
	f := func(url, addr string, want ...string) {
		t.Helper()
		target.Store(&addr)
		_, err := post(t, live, url, soon)
		if n := reached.Load(); err == nil || n != 0 || !slices.Contains(want, Classify(err)) {
			t.Errorf("%q (names lead to %s): %v, reached %d times", url, addr, err, n)
		}
	}
	for _, a := range hostile {
		host := net.JoinHostPort(a, port)
		f("https://"+host, "127.0.0.1", RefusedAddress)
		if !netip.MustParseAddr(a).Is4In6() { // an AAAA record cannot tell it from IPv4
			f("https://hooks.example:"+port, a, RefusedAddress)
		}
	}
	for _, url := range spellings {
		url = strings.ReplaceAll(strings.ReplaceAll(url, "%p", port), "%%", "%")
		f(url, "127.0.0.1", RefusedAddress, Other, DNS)
		f(url, "::1", RefusedAddress, Other, DNS)
	}
	addr := "127.0.0.1" // and the listener does count, where it may be reached
	target.Store(&addr)
	if _, err := post(t, client(t, Options{Resolver: resolver}), "https://hooks.example:"+port, soon); Classify(err) != TLS || reached.Load() != 1 {
		t.Errorf("sandbox: %v, reached %d times", err, reached.Load())
	}
}

// samePort listens on one port of two loopback addresses. Another program may hold it on one of
// them, so it tries a few.
func samePort(t *testing.T) (public, inside net.Listener, port string) {
	t.Helper()
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.2:0")
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		if inside, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			return l, inside, port
		}
		l.Close()
	}
	t.Fatal("no port is free on both addresses")
	return nil, nil, ""
}

func TestRebindingIsJudgedWhenDialling(t *testing.T) {
	now := time.Now()
	cert, roots := certificate(t, "hooks.example", now.Add(-time.Hour), now.Add(time.Hour))
	var mu sync.Mutex
	hits := map[string]int{}
	l, inside, port := samePort(t)
	for name, l := range map[string]net.Listener{"public": l, "inside": inside} {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			hits[name]++
			w.Header().Set("Connection", "close")
		}))
		s.Listener.Close()
		s.Listener = l
		s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		s.StartTLS()
		defer s.Close()
	}
	resolver := nameServer(t, func(_ string, n int) []string {
		if n == 0 {
			return []string{"127.0.0.2"} // stands for a public address: it is in the allow list
		}
		return []string{"127.0.0.1"}
	})
	c := client(t, Options{LiveMode: true, RootCAs: roots, Resolver: resolver, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}})
	if a, err := post(t, c, "https://hooks.example:"+port, soon); err != nil || a.Code != http.StatusOK {
		t.Fatalf("first: %+v, %v", a, err)
	}
	for range 3 {
		_, err := post(t, c, "https://hooks.example:"+port, soon)
		if Classify(err) != RefusedAddress || !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "127.0.0.1:"+port) {
			t.Errorf("after rebinding: %v", err)
		}
	}
	if mu.Lock(); hits["public"] != 1 || hits["inside"] != 0 {
		t.Errorf("hits %v", hits)
	}
	mu.Unlock()
}

func TestGuard(t *testing.T) {
	f := func(live bool, allow, addr string, want bool) {
		t.Helper()
		var ps []netip.Prefix
		if allow != "" {
			ps = append(ps, netip.MustParsePrefix(allow))
		}
		if got := newGuard(live, ps).SafeAddr(netip.MustParseAddr(addr)) == nil; got != want {
			t.Errorf("guard(live %v, allow %q) lets %s through: %v", live, allow, addr, got)
		}
	}
	f(true, "", "93.184.216.34", true)
	f(true, "", "2606:4700::1111", true)
	f(true, "", "127.0.0.1", false)
	f(false, "", "127.0.0.1", true)
	f(false, "", "::1", true)
	f(false, "", "10.0.0.1", false) // sandbox is this machine, not its network
	f(false, "", "169.254.169.254", false)
	f(true, "10.0.0.0/8", "10.0.0.1", true)
	f(true, "10.0.0.0/8", "11.0.0.1", true)
	f(true, "10.0.0.0/8", "172.16.0.1", false)
	f(true, "::ffff:10.0.0.0/104", "10.0.0.1", true)
	f(true, "fd00::/8", "fd12::1", true)
	f(true, "fd00::/8", "fc00::1", false)
	f(true, "168.63.129.16/32", "168.63.129.16", true)
}

func TestCheckURL(t *testing.T) {
	f := func(raw string, live bool, allow, want string) {
		t.Helper()
		var ps []netip.Prefix
		if allow != "" {
			ps = append(ps, netip.MustParsePrefix(allow))
		}
		err := CheckURL(raw, live, ps)
		var got string
		if ue := (*URLError)(nil); errors.As(err, &ue) {
			got = ue.Problem
			if ue.Remedy == "" || strings.Contains(err.Error(), "canary") {
				t.Errorf("CheckURL(%q): %v", raw, err)
			}
		}
		if got != want {
			t.Errorf("CheckURL(%q, live %v, allow %q) = %q, want %q", raw, live, allow, got, want)
		}
	}
	const (
		private = "points at a private or reserved address"
		number  = "has a host that is a number"
		noName  = "has a host that is no DNS name"
		notURL  = "is not an absolute http or https URL"
		unread  = "cannot be parsed as a URL"
		port    = "has no usable port"
	)
	for _, live := range []bool{true, false} {
		f("https://hooks.acme.example/kyc?token=canary", live, "", "")
		f("https://hooks.acme.example.:8443/", live, "", "")
		f("https://hooks_1.xn--n3h.example", live, "", "")
		f("https://93.184.216.34/kyc", live, "", "")
		f("https://10.1.2.3/kyc", live, "10.0.0.0/8", "")
		f("https://[fd00::1]/kyc", live, "fd00::/8", "")
		f("https://10.1.2.3/kyc?canary", live, "", private)
		f("https://[::ffff:10.0.0.1]/", live, "", private)
		f("https://[64:ff9b::a00:1]/", live, "", private)
		f("https://[fe80::1%25canary]/", live, "", private)
		f("https://168.63.129.16/", live, "", private)
		f("https://2130706433/", live, "", number)
		f("https://0x7f.1/", live, "", number)
		f("https://0177.0.0.1/", live, "", number)
		f("https://127.0.0.1.2/", live, "", number)
		f("https://127。0。0。1/", live, "", noName)
		f("https://a..b/", live, "", noName)
		f("https://"+strings.Repeat("a", 64)+".example/", live, "", noName)
		f("https://canary:pw@hooks.example/", live, "", "holds a user name or password")
		f("https:///kyc", live, "", "names no host")
		f("https://:8443/kyc", live, "", "names no host")
		f("https://hooks.example/#canary", live, "", "has a fragment (#…), which is never sent")
		f("https://hooks.example:0/", live, "", port)
		f("https://hooks.example:65536/", live, "", port)
		f("https://hooks.example:/", live, "", port)
		f("https://hooks.example:canary/", live, "", unread)
		f("https://hooks example/canary", live, "", unread)
		f("hooks.example/canary", live, "", notURL)
		f("//hooks.example/", live, "", notURL)
		f("ftp://hooks.example/", live, "", notURL)
		f("https:hooks.example", live, "", notURL)
		f("", live, "", notURL)
	}
	f("http://hooks.example/", true, "", "is plain http, which live mode refuses")
	f("http://hooks.example/", false, "", "")
	f("https://localhost/", true, "", "points at this machine")
	f("https://hooks.LOCALHOST./", true, "", "points at this machine")
	f("https://127.0.0.1/", true, "", private)
	f("http://localhost:3000/hook", false, "", "")
	f("http://127.0.0.1:3000/hook", false, "", "")
	f("http://[::1]:3000/hook", false, "", "")
}
