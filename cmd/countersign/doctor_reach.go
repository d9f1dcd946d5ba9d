package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"countersign/relay/send"
)

// target is an address of the config that is called.
type target struct {
	probe, of string
	endpoint  string // its id; "": it is none
	host      string
	port      string
	secure    bool // TLS is spoken with it
	files     send.TLSFiles
	own       bool // the operator's: its address is not judged
	plain     bool // it speaks no HTTP
}

// targets are all that a gateway with this config calls: endpoints, the APIs of providers, the
// proxy and the brokers.
func (d *doctor) targets() (ts []target) {
	cfg := d.cfg
	add := func(t target, raw string) {
		u, err := url.Parse(raw)
		if err != nil {
			return // the loader has refused it
		}
		t.secure = u.Scheme == "https"
		t.host, t.port = strings.TrimSuffix(u.Hostname(), "."), cmp.Or(u.Port(), map[bool]string{true: "443", false: "80"}[t.secure])
		ts = append(ts, t)
	}
	for _, p := range cfg.receivers() {
		for i := range p.Endpoints {
			e := &p.Endpoints[i]
			add(target{probe: "partner", of: e.ID, endpoint: e.ID, files: e.TLS}, e.URL)
		}
	}
	for _, sc := range cfg.Sources {
		if sc.API == nil {
			continue
		}
		base := sc.API.URL
		if s, ok := streamSource(sc); ok && base == "" {
			base = s.Adapter.Stream.Base(sc.Livemode)
		}
		if s, ok := apiSource(sc); ok && base == "" {
			base = s.API.Base(sc.Livemode)
		}
		add(target{probe: "provider", of: sc.Name}, base)
	}
	if p := cfg.EgressProxy; p != nil {
		host, port, _ := net.SplitHostPort(fmt.Sprint(p))
		ts = append(ts, target{probe: "proxy", of: "egress.proxy", host: host, port: port, own: true, plain: true})
	}
	if cfg.Kafka != nil {
		for _, b := range cfg.Kafka.Brokers {
			host, port, _ := net.SplitHostPort(b)
			ts = append(ts, target{probe: "broker", of: b, host: host, port: port, own: true, plain: true})
		}
	}
	return ts
}

// hosts are the names among them, each once.
func (d *doctor) hosts() (names []string) {
	for _, t := range d.targets() {
		if _, err := netip.ParseAddr(t.host); err != nil && t.host != "" && !slices.Contains(names, t.host) {
			names = append(names, t.host)
		}
	}
	return names
}

// lookups are the answers of the name server, one for each name.
type lookups struct {
	mu  sync.Mutex // guards all
	all map[string]*lookup
}

type lookup struct {
	done  chan struct{}
	addrs []netip.Addr
	took  time.Duration
	err   error
}

// find looks a name up, once for all who ask.
func (d *doctor) find(ctx context.Context, host string) *lookup {
	if a, err := netip.ParseAddr(host); err == nil {
		return &lookup{addrs: []netip.Addr{a}}
	}
	d.names.mu.Lock()
	l := d.names.all[host]
	first := l == nil
	if first {
		if d.names.all == nil {
			d.names.all = map[string]*lookup{}
		}
		l = &lookup{done: make(chan struct{})}
		d.names.all[host] = l
	}
	d.names.mu.Unlock()
	if !first {
		select {
		case <-l.done:
			return l
		case <-ctx.Done():
			return &lookup{err: ctx.Err()}
		}
	}
	defer close(l.done)
	resolver := d.resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	began := time.Now()
	l.addrs, l.err = resolver.LookupNetIP(ctx, "ip", host)
	if l.took = time.Since(began); l.err == nil && len(l.addrs) == 0 {
		l.err = errNoAddress
	}
	return l
}

// slowName is how long a look-up may take: every new connection waits for it.
const slowName = time.Second

// dns says what a name leads to.
func (d *doctor) dns(ctx context.Context, host string) (found []finding) {
	l := d.find(ctx, host)
	if l.err != nil {
		return []finding{bad("correct the name in the config, or what the name server says (getent hosts "+host+")", "does not resolve after %s: %s", millis(l.took), whyNoName(l.err))}
	}
	var texts, refused []string
	judge := send.Judge(d.cfg.Live(), d.cfg.EgressAllow)
	judged := slices.ContainsFunc(d.targets(), func(t target) bool { return t.host == host && !t.own })
	for _, a := range l.addrs {
		texts = append(texts, a.Unmap().String())
		if judged && judge(a) != nil {
			refused = append(refused, a.Unmap().String())
		}
	}
	what := fmt.Sprintf("leads to %s, found in %s", strings.Join(texts, ", "), millis(l.took))
	switch {
	case len(refused) == len(texts):
		return []finding{bad("correct the name, or add its network to egress.allow if it is yours", "%s: every address is refused, as private or reserved", what)}
	case len(refused) > 0:
		return []finding{doubt("correct the name, or add its network to egress.allow if it is yours", "%s; refused, as private or reserved: %s", what, strings.Join(refused, ", "))}
	case l.took > slowName:
		return []finding{doubt("look at the name servers in /etc/resolv.conf: one of them may not answer", "%s, which is long", what)}
	}
	return []finding{fine("%s", what)}
}

// whyNoName is an error of a look-up without the name, and without the server's address.
func whyNoName(err error) string {
	if de, ok := errors.AsType[*net.DNSError](err); ok {
		switch {
		case de.IsNotFound:
			return "no such host"
		case de.IsTimeout:
			return "the name server does not answer"
		}
		return de.Err
	}
	return err.Error()
}

// What a way to somebody may take.
const (
	slowConnect = time.Second
	dialMost    = 5 * time.Second
	headMost    = 3 * time.Second
)

// reach connects to a target as a delivery would, and sends nothing but HEAD /, for the time that
// it says it is.
func (d *doctor) reach(ctx context.Context, t *target) (found []finding) {
	if d.cfg.EgressProxy != nil && !t.own && t.probe == "partner" {
		return []finding{fine("is reached through the proxy; --ping tries it")}
	}
	l := d.find(ctx, t.host)
	if l.err != nil {
		return []finding{bad("see dns", "cannot be reached: %s does not resolve", t.host)}
	}
	conn, took, err := d.dial(ctx, t, l.addrs)
	if err != nil {
		remedy := "see whether it runs, and what lies between (firewall, route)"
		if errors.Is(err, send.ErrRefused) {
			remedy = "add its network to egress.allow if it is yours"
		}
		return []finding{bad(remedy, "cannot be reached at port %s: %s", t.port, whyNoConnection(err))}
	}
	defer conn.Close() //nolint:errcheck // nothing is lost with it
	what := "connected in " + millis(took)
	if took > slowConnect {
		found = append(found, doubt("see what lies between: every new connection waits for that", "%s, which is long", what))
	}
	if t.secure {
		var tlsTook time.Duration
		var more []finding
		if conn, tlsTook, more = handshake(ctx, conn, t); worst(more) {
			return append(found, more...)
		}
		what += ", TLS in " + millis(tlsTook)
		found = append(found, more...)
	}
	if !t.plain {
		what += d.head(ctx, conn, t)
	}
	if len(found) > 0 {
		return found
	}
	return []finding{fine("%s", what)}
}

// dial connects to the first of some addresses that takes us.
func (d *doctor) dial(ctx context.Context, t *target, addrs []netip.Addr) (conn net.Conn, took time.Duration, err error) {
	dialer := net.Dialer{Timeout: dialMost}
	if !t.own {
		dialer.ControlContext = send.Guard(d.cfg.Live(), d.cfg.EgressAllow)
	}
	for _, a := range addrs[:min(len(addrs), 4)] {
		began := time.Now()
		if conn, err = dialer.DialContext(ctx, "tcp", net.JoinHostPort(a.Unmap().String(), t.port)); err == nil {
			return conn, time.Since(began), nil
		}
	}
	return nil, 0, err
}

func whyNoConnection(err error) string {
	var oe *net.OpError
	switch {
	case errors.Is(err, send.ErrRefused):
		return "its address is refused, as private or reserved"
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.As(err, &oe) && oe.Timeout():
		return "no answer in time"
	case errors.As(err, &oe):
		return oe.Err.Error()
	}
	return err.Error()
}

// handshake speaks TLS, and judges the certificate afterwards, so that it can say what is wrong
// with it.
func handshake(ctx context.Context, raw net.Conn, t *target) (net.Conn, time.Duration, []finding) {
	conf, err := t.files.Config()
	if err != nil {
		return raw, 0, []finding{bad("correct tls of the endpoint", "%v", err)}
	}
	roots := conf.RootCAs
	conf.ServerName, conf.NextProtos = t.host, []string{"http/1.1"}
	conf.InsecureSkipVerify = true // judged below, and nothing is sent to one that does not pass
	conn := tls.Client(raw, conf)
	ctx, cancel := context.WithTimeout(ctx, dialMost)
	defer cancel()
	began := time.Now()
	if err := conn.HandshakeContext(ctx); err != nil {
		return raw, 0, []finding{bad("see whether it speaks TLS at this port, and whether it wants a client certificate (tls of the endpoint)", "no TLS: %s", whyNoConnection(err))}
	}
	took := time.Since(began)
	return conn, took, judgeChain(conn.ConnectionState().PeerCertificates, t.host, roots, time.Now())
}

// judgeChain says what a client would refuse, or will soon, of a server's certificates.
func judgeChain(chain []*x509.Certificate, host string, roots *x509.CertPool, now time.Time) []finding {
	if len(chain) == 0 {
		return []finding{bad("have the server show one", "shows no certificate")}
	}
	leaf, o := chain[0], x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: x509.NewCertPool(), CurrentTime: now}
	for _, c := range chain[1:] {
		o.Intermediates.AddCert(c)
	}
	const told = "have it renewed; until then pending deliveries wait"
	end := leaf.NotAfter.UTC().Format(time.RFC3339)
	_, err := leaf.Verify(o)
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case now.After(leaf.NotAfter):
		return []finding{bad(told, "its certificate has expired, at %s", end)}
	case now.Before(leaf.NotBefore):
		return []finding{bad("compare the clocks", "its certificate is not valid before %s", leaf.NotBefore.UTC().Format(time.RFC3339))}
	case errors.As(err, &name):
		return []finding{bad("have it show a certificate of that name", "its certificate is not for %s", host)}
	case errors.As(err, &unknown):
		return []finding{bad("have it send its whole chain; or, if the authority is its own, name it in tls.ca of the endpoint", "its certificate is of an authority that is not known here")}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return []finding{bad(told, "a certificate that its own rests on has expired")}
	case err != nil:
		return []finding{bad("have it show another", "its certificate is refused: %v", err)}
	case now.Add(expiresSoon).After(leaf.NotAfter):
		return []finding{doubt("have it renewed", "its certificate expires soon, at %s", end)}
	}
	return nil
}

// head asks what time it is there. Nobody has to answer.
func (d *doctor) head(ctx context.Context, conn net.Conn, t *target) (what string) {
	deadline := time.Now().Add(headMost)
	if at, ok := ctx.Deadline(); ok && at.Before(deadline) {
		deadline = at
	}
	host := t.host
	if t.port != map[bool]string{true: "443", false: "80"}[t.secure] {
		host = net.JoinHostPort(host, t.port)
	}
	asked := time.Now()
	if conn.SetDeadline(deadline) != nil {
		return ""
	}
	req := &http.Request{Method: http.MethodHead, URL: &url.URL{Path: "/"}, Host: host, Header: http.Header{"User-Agent": {"countersign-doctor/" + version()}}, Close: true}
	if req.Write(conn) != nil {
		return ""
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return ", but HEAD / is not answered"
	}
	defer resp.Body.Close() //nolint:errcheck // it has none
	answered := time.Now()
	d.dates.note(t.host, resp.Header.Get("Date"), asked, answered)
	return fmt.Sprintf(", HEAD / answered %d in %s", resp.StatusCode, millis(answered.Sub(asked)))
}

// kafka asks the cluster as check does.
func (d *doctor) kafka(ctx context.Context) (found []finding) {
	var said []string
	for _, text := range kafkaProblems(ctx, d.cfg.Kafka, func(format string, args ...any) { said = append(said, strings.TrimSpace(fmt.Sprintf(format, args...))) }) {
		found = append(found, bad("compare with kafka in the config, and with the brokers' log", "%s", text))
	}
	for _, line := range said {
		if text, ok := strings.CutPrefix(line, "warning: "); ok {
			found = append(found, doubt("compare with kafka in the config", "%s", text))
		}
	}
	if len(found) == 0 {
		found = append(found, fine("a broker takes us: %s", strings.Join(said, "; ")))
	}
	return found
}
