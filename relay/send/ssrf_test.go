package send

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var errNotLoopback = errors.New("a test connects to loopback only")

// onlyLoopback is asked before each connect(2), after the guard. It fails loudly and connects to
// nothing where an address gets that far which is not loopback.
func onlyLoopback(t *testing.T) func(address string) error {
	t.Helper()
	return func(address string) error {
		if at, err := netip.ParseAddrPort(address); err != nil || !at.Addr().IsLoopback() {
			t.Errorf("%s GOT PAST THE GUARD, as far as connect(2)", address)
			return errNotLoopback
		}
		return nil
	}
}

func mustLeaf(t *testing.T, cert tls.Certificate) *x509.Certificate {
	t.Helper()
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

// notations are the ways of writing one IPv4 address that some resolver, library or filter takes
// for it.
func notations(s string) (hosts []string) {
	a := netip.MustParseAddr(s).As4()
	n := binary.BigEndian.Uint32(a[:])
	join := func(format, sep string) string {
		parts := make([]string, 4)
		for i, b := range a {
			parts[i] = fmt.Sprintf(format, b)
		}
		return strings.Join(parts, sep)
	}
	wide := strings.NewReplacer("0", "０", "1", "１", "2", "２", "3", "３", "4", "４", "5", "５", "6", "６", "7", "７", "8", "８", "9", "９").Replace(s)
	var percent strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&percent, "%%%02x", c)
	}
	return []string{
		s, s + ".", strconv.FormatUint(uint64(n), 10), fmt.Sprintf("0x%x", n), fmt.Sprintf("0X%X", n), fmt.Sprintf("0%o", n), fmt.Sprintf("0x%032x", n),
		join("0x%x", "."), join("0%o", "."), join("%03d", "."), join("0x%02X", "."), fmt.Sprintf("0x%x.%d.0%o.%d", a[0], a[1], a[2], a[3]),
		fmt.Sprintf("%d.%d", a[0], n&0xffffff), fmt.Sprintf("%d.%d.%d", a[0], a[1], n&0xffff), fmt.Sprintf("0x%x.0x%x", a[0], n&0xffffff), fmt.Sprintf("0%o.%d", a[0], n&0xffffff),
		strconv.FormatUint(uint64(n)+1<<32, 10), // wraps around to the same in 32 bits
		wide, join("%d", "。"), join("%d", "．"), join("%d", "｡"), percent.String(), strings.ReplaceAll(s, ".", "%2e"),
		fmt.Sprintf("[::ffff:%s]", s), fmt.Sprintf("[::ffff:%x:%x]", n>>16, n&0xffff), fmt.Sprintf("[0:0:0:0:0:ffff:%s]", s), fmt.Sprintf("[0000:0000:0000:0000:0000:FFFF:%04X:%04X]", n>>16, n&0xffff),
		fmt.Sprintf("[::%s]", s), fmt.Sprintf("[::%x:%x]", n>>16, n&0xffff), fmt.Sprintf("[::ffff:0:%s]", s),
		fmt.Sprintf("[64:ff9b::%s]", s), fmt.Sprintf("[64:ff9b::%x:%x]", n>>16, n&0xffff), fmt.Sprintf("[64:ff9b:1::%s]", s),
		fmt.Sprintf("[2002:%x:%x::1]", n>>16, n&0xffff), fmt.Sprintf("[2001:0:%x:%x::]", n>>16, n&0xffff), fmt.Sprintf("[2001::%x:%x]", ^n>>16, ^n&0xffff),
		fmt.Sprintf("[fe80::5efe:%s]", s), fmt.Sprintf("[fe80::200:5efe:%x:%x]", n>>16, n&0xffff), fmt.Sprintf("[fd00::5efe:%s]", s), fmt.Sprintf("[::ffff:%s%%25lo]", s), fmt.Sprintf("[%s]", s),
	}
}

// written are further forms, of which %p is the port of a listener on every loopback address. A
// name is looked up, and every look-up leads to a refused address.
var written = append(slices.Clone(spellings), []string{
	"https://localhost", "https://localhost.:%p", "https://localhost..:%p", "https://LocalHost:%p", "https://x.localhost:%p", "https://x.localhost.:%p", "https://localhost.localdomain:%p", "https://localhost6:%p",
	"https://ip6-localhost:%p", "https://ip6-loopback:%p", "https://metadata:%p", "https://metadata.google.internal.:%p", "https://METADATA.google.internal:%p", "https://instance-data:%p", "https://instance-data.ec2.internal:%p",
	"https://metadata.azure.internal:%p", "https://metadata.packet.net:%p", "https://rancher-metadata:%p", "https://kubernetes.default.svc:%p", "https://kubernetes.default.svc.cluster.local:%p", "https://host.docker.internal:%p",
	"https://gateway.docker.internal:%p", "https://consul.service.consul:%p", "https://vault.service.consul:%p", "https://localtest.me:%p", "https://lvh.me:%p", "https://127.0.0.1.sslip.io:%p", "https://169-254-169-254.sslip.io:%p",
	"https://spoofed.burpcollaborator.net:%p", "https://hooks.example:%p", "https://hooks.example.:%p", "https://_hooks.example:%p", "https://xn--fsqu00a.example:%p",
	"https://127.0.0.1:0", "https://127.0.0.1:65536", "https://127.0.0.1:65537", "https://127.0.0.1:-1", "https://127.0.0.1:+%p", "https://127.0.0.1:0x50", "https://127.0.0.1:%p:80", "https://127.0.0.1:%p%%23", "https://hooks.example:0",
	"https://hooks.example:65536", "https://:%p", "https://", "https:///", "https://?", "https://#", "https://.", "https://..", "https://.hooks.example:%p", "https://hooks..example:%p", "https://-:%p", "https://[]:%p", "https://[:%p", "https://]:%p",
	"https://[::1", "https://::1:%p", "https://0000:0:0:0:0:0:0:1:%p", "https://[::1].hooks.example:%p", "https://[::1]hooks.example:%p", "https://[::%%31]:%p", "https://[fe80::1%%eth0]:%p", "https://[fe80::1%%25]:%p", "https://[::1%%25]:%p",
	"https://[::1]%%2e:%p", "https://[0:0:0:0:0:0:0:0]:%p", "https://[::]", "https://0", "https://0.0.0.0:%p", "https://00000000:%p", "https://0x0:%p", "https://[::ffff:0:0]:%p", "https://[ff02::1%%25lo]:%p", "https://[fec0::1]:%p", "https://[v1.::1]:%p",
	"https://user@127.0.0.1:%p", "https://user:pass@127.0.0.1:%p", "https://hooks.example:443@127.0.0.1:%p", "https://@127.0.0.1:%p", "https://:@127.0.0.1:%p", "https://hooks.example%%40127.0.0.1:%p", "https://127.0.0.1%%40hooks.example:%p",
	"https://hooks.example&@127.0.0.1:%p", "https://127.0.0.1:%p#@hooks.example/", "https://127.0.0.1:%p?@hooks.example/", "https://hooks.example;@127.0.0.1:%p", "https://a@b@127.0.0.1:%p", "https://127.0.0.1\\@hooks.example:%p",
	"https://hooks.example\\.127.0.0.1:%p", "https:\\127.0.0.1:%p", "https:/\\127.0.0.1:%p", "https://\\127.0.0.1:%p", "\\\\127.0.0.1\\share", "https://127.0.0.1\\:%p", "/\\127.0.0.1:%p",
	"https://127.0.0.1 :%p", "https:// 127.0.0.1:%p", "https://127.0.0.1%%20:%p", "https://127.0.0.1%%09:%p", "https://127.0.0.1%%0d%%0a:%p", "https://127.0.0.1\r\n:%p", "https://127.0.0.1\x00:%p", "https://127.0\t.0.1:%p", "ht\ntps://127.0.0.1:%p",
	"\thttps://127.0.0.1:%p", "https://127.0.0.1\u200b:%p", "https://\u00ad127.0.0.1:%p", "https://127.0.0.1\ufeff:%p", "https://lo\u00adcalhost:%p", "https://ⓛocalhost:%p", "https://ｌｏｃａｌｈｏｓｔ:%p", "https://lоcalhost:%p", "https://localhoſt:%p", "https://ℓocalhost:%p",
	"https://①②⑦.⓪.⓪.①:%p", "https://١٢٧.٠.٠.١:%p", "https://localhost%%2e:%p", "https://%%6c%%6f%%63%%61%%6c%%68%%6f%%73%%74:%p", "https://%%5b::1%%5d:%p", "https://hooks%%2eexample:%p",
	"hTTpS://127.0.0.1:%p", "HTTP://127.0.0.1:%p", "http://hooks.example:%p", "http://localhost:%p", "ftp://127.0.0.1:%p", "gopher://127.0.0.1:%p/_", "dict://127.0.0.1:%p/", "ldap://127.0.0.1:%p", "file:///etc/passwd", "file://127.0.0.1/etc/passwd", "jar:https://127.0.0.1:%p!/",
	"data:text/plain,x", "javascript:alert(1)", "ws://127.0.0.1:%p", "wss://127.0.0.1:%p", "h2c://127.0.0.1:%p", "url:https://127.0.0.1:%p", "https+unix://%%2frun%%2fdocker.sock", "netdoc:///etc/passwd", "127.0.0.1:%p", "localhost:%p", "//localhost:%p", "?https://127.0.0.1:%p",
	"", " ", "https", "https:", "://127.0.0.1:%p", "https://127.0.0.1:%p/../..//@hooks.example",
}...)

// forms are all of it: each refused address plainly, six of them in every notation, and what else
// has fooled somebody.
func forms(port string) (urls []string) {
	for _, a := range hostile {
		urls = append(urls, "https://"+net.JoinHostPort(a, port)+"/")
	}
	for _, a := range []string{"127.0.0.1", "169.254.169.254", "168.63.129.16", "10.0.0.1", "100.100.100.200", "192.0.0.192", "198.18.0.1", "255.255.255.255", "0.0.0.0"} {
		for _, host := range notations(a) {
			urls = append(urls, "https://"+host+":"+port+"/latest/meta-data/")
		}
	}
	for _, form := range written {
		urls = append(urls, strings.ReplaceAll(strings.ReplaceAll(form, "%p", port), "%%", "%"))
	}
	slices.Sort(urls)
	return slices.Compact(urls)
}

// TestSSRF: no form of a URL reaches anything in live mode, whatever names lead to, with a proxy
// and without one: no connect(2), and no CONNECT. CheckURL refuses each that is not a plain name
// over https.
func TestSSRF(t *testing.T) {
	port, reached := anyListener(t)
	var lead atomic.Pointer[[]string]
	resolver := nameServer(t, func(string, int) []string { return *lead.Load() })
	e := newEgress(t, nil, nil)
	var connects atomic.Int64
	count := func(address string) error {
		connects.Add(1)
		return onlyLoopback(t)(address)
	}
	o := Options{LiveMode: true, Resolver: resolver, DialTimeout: 10 * time.Second, connecting: count}
	direct := client(t, o)
	o.Proxy = proxyAt(t, "http://"+e.addr, "")
	proxied := client(t, o)
	leads := [][]string{{"127.0.0.1"}, {"::1"}, {"169.254.169.254", "fd00:ec2::254"}, {"10.0.0.1", "::ffff:7f00:1", "64:ff9b::7f00:1"}}
	urls, names := forms(port), 0
	for _, url := range urls {
		name := CheckURL(url, true, nil) == nil
		if name {
			names++
		}
		for _, addrs := range leads {
			lead.Store(&addrs)
			for what, p := range map[string]*Pool{"direct": direct, "proxied": proxied} {
				_, err := post(t, p, url, soon)
				if !slices.Contains([]string{RefusedAddress, Other, DNS, Connect}, Classify(err)) || name && Classify(err) != RefusedAddress {
					t.Errorf("%s %q, names lead to %v: %v", what, url, addrs, err)
				}
			}
			if !name {
				break // nothing of it is looked up that could lead elsewhere, or it is refused before; once is enough
			}
		}
		if n := connects.Swap(0); n != 0 {
			t.Errorf("%q: %d times as far as connect(2)", url, n)
		}
	}
	asked, _ := e.seen()
	if len(asked) != 0 || reached.Load() != 0 {
		t.Errorf("the proxy was asked %q; a listener was reached %d times", asked, reached.Load())
	}
	if len(urls) < 150 || names < 20 {
		t.Errorf("%d forms, %d of them names", len(urls), names)
	}
	t.Logf("%d forms of URLs, %d of them names that lead to 4 sets of refused addresses, each with a proxy and without: 0 connects, 0 CONNECTs", len(urls), names)
}

// TestSSRFInTheSandbox: this machine may be called, and nothing else.
func TestSSRFInTheSandbox(t *testing.T) {
	port, reached := anyListener(t)
	resolver := nameServer(t, func(string, int) []string { return []string{"10.0.0.1", "fd00::1", "169.254.169.254"} })
	p := client(t, Options{Resolver: resolver, connecting: onlyLoopback(t)})
	for _, url := range forms(port) {
		_, _ = post(t, p, url, soon)
	}
	if reached.Load() == 0 {
		t.Error("nothing reached this machine: the listener counts nothing")
	}
}

// anyListener has a port on every address of this machine and counts who comes.
func anyListener(t *testing.T) (port string, reached *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	reached = new(atomic.Int64)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			reached.Add(1)
			c.Close()
		}
	}()
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port, reached
}

// TestSSRFControl is the negative control: where the guard lets an address through, it is seen as
// far as connect(2), and as far as the proxy.
func TestSSRFControl(t *testing.T) {
	var got []string
	note := func(address string) error {
		got = append(got, address)
		return errNotLoopback
	}
	all := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	o := Options{LiveMode: true, Allow: all, connecting: note}
	for _, host := range []string{"10.0.0.1", "169.254.169.254", "[fd00::1]"} {
		got = nil
		_, _ = post(t, client(t, o), "https://"+host+":9/", soon)
		if !slices.Equal(got, []string{host + ":9"}) {
			t.Errorf("%s: as far as connect(2): %q", host, got)
		}
	}
	e := newEgress(t, nil, func(string) string { return "HTTP/1.1 403 Forbidden\r\n\r\n" })
	o.Proxy, o.connecting = proxyAt(t, "http://"+e.addr, ""), onlyLoopback(t)
	if _, err := post(t, client(t, o), "https://10.0.0.1:9/", soon); Classify(err) != ProxyRefused {
		t.Error(err)
	}
	if asked, _ := e.seen(); !slices.Equal(asked, []string{"CONNECT 10.0.0.1:9 host 10.0.0.1:9"}) {
		t.Errorf("the proxy was asked %q", asked)
	}
}

// TestDNSRebinds: a name server of our own, over UDP and with a TTL of 0, whose answers change from
// one look-up to the next. With a proxy and without one.
func TestDNSRebinds(t *testing.T) {
	now := time.Now()
	cert, roots := certificate(t, "hooks.example", now.Add(-time.Hour), now.Add(time.Hour))
	f := func(what string, answers func(n int) []string, cname string, want ...string) {
		t.Helper()
		for _, through := range []bool{false, true} {
			var hits [2]atomic.Int64
			public, inside, port := samePort(t)
			for i, l := range []net.Listener{public, inside} {
				s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					hits[i].Add(1)
					w.Header().Set("Connection", "close") // so that each post looks the name up
				}))
				s.Listener.Close()
				s.Listener, s.TLS = l, tlsWith(cert)
				s.StartTLS()
				defer s.Close()
			}
			var lookups atomic.Int64
			resolver := aliasServer(t, cname, func(n int) []string {
				lookups.Store(int64(n + 1))
				return answers(n)
			})
			o := Options{LiveMode: true, Allow: standIn, RootCAs: roots, Resolver: resolver, connecting: onlyLoopback(t)}
			e := newEgress(t, nil, nil)
			if through {
				o.Proxy = proxyAt(t, "http://"+e.addr, "")
			}
			p, ok := client(t, o), 0
			for i, w := range want {
				_, err := post(t, p, "https://hooks.example:"+port, soon)
				if Classify(err) != w {
					t.Errorf("%s, proxy %v, post %d: %v, want %q", what, through, i+1, err, w)
				}
				if w == "" {
					ok++
				}
			}
			asked, _ := e.seen()
			if hits[0].Load() != int64(ok) || hits[1].Load() != 0 || through && len(asked) != ok || lookups.Load() < int64(len(want)) {
				t.Errorf("%s, proxy %v: %d hits and %d inside, want %d and 0; the proxy was asked %q; %d look-ups", what, through, hits[0].Load(), hits[1].Load(), ok, asked, lookups.Load())
			}
		}
	}
	always := func(addrs ...string) func(int) []string { return func(int) []string { return addrs } }
	f("allowed", always("127.0.0.2"), "", "", "")
	f("first allowed, then not", func(n int) []string { return []string{[]string{"127.0.0.2", "127.0.0.1"}[min(n, 1)]} }, "", "", RefusedAddress, RefusedAddress)
	f("in turn", func(n int) []string { return []string{[]string{"127.0.0.2", "127.0.0.1"}[n%2]} }, "", "", RefusedAddress, "", RefusedAddress)
	f("AAAA and A, some allowed", always("::1", "fd00::1", "127.0.0.1", "10.0.0.1", "127.0.0.2"), "", "", "")
	f("AAAA and A, none allowed", always("::1", "fe80::1", "127.0.0.1", "169.254.169.254"), "", RefusedAddress)
	f("an alias of localhost", always("127.0.0.1", "::1"), "localhost", RefusedAddress)
	f("an alias of the metadata", always("169.254.169.254"), "metadata.google.internal", RefusedAddress)
	f("an alias of what is allowed", always("127.0.0.2"), "elsewhere.example", "", "")
	f("no such name", always(), "", DNS)
}

// aliasServer is nameServer for names that are an alias of cname; "": of nothing.
func aliasServer(t *testing.T, cname string, fn func(n int) []string) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	go func() {
		b, asked := make([]byte, 1500), 0
		for {
			n, from, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			_, qtype, end := question(b[:n])
			r := reply(b[:end], qtype, fn(asked))
			if qtype == 1 {
				asked++
			}
			if cname != "" && r[3]&3 == 0 {
				r = aliased(r, end, cname)
			}
			_, _ = pc.WriteTo(r, from)
		}
	}()
	return resolverAt(pc.LocalAddr().String())
}

// aliased puts a CNAME before the records of an answer, and makes these the other name's.
func aliased(r []byte, end int, cname string) []byte {
	var target []byte
	for label := range strings.SplitSeq(cname, ".") {
		target = append(append(target, byte(len(label))), label...)
	}
	target = append(target, 0)
	out := slices.Clone(r[:end])
	binary.BigEndian.PutUint16(out[6:], binary.BigEndian.Uint16(r[6:])+1)
	out = append(out, 0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 0, 0, byte(len(target)))
	at := len(out) // where the name begins that the records are of
	out = append(out, target...)
	rest := slices.Clone(r[end:])
	for i := 0; i+12 <= len(rest); i += 12 + int(binary.BigEndian.Uint16(rest[i+10:])) {
		binary.BigEndian.PutUint16(rest[i:], 0xc000|uint16(at))
	}
	return append(out, rest...)
}
