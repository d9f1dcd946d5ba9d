package attack

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// memory is the most that a process has had in RAM of its own since it began, in bytes, and what it
// has now.
func memory(pid int) (most, now int64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, fmt.Errorf("read the memory: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kib, err := strconv.ParseInt(f[1], 10, 64)
		switch {
		case err != nil:
		case f[0] == "VmHWM:":
			most = kib << 10
		case f[0] == "VmRSS:":
			now = kib << 10
		}
	}
	return most, now, nil
}

// forgetMost begins anew with the most that a process has had.
func forgetMost(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0o600)
}

// from is a dialer that calls from an address of this machine of its own.
func from(i int) *net.Dialer {
	at := netip.AddrFrom4([4]byte{127, 0, byte(1 + i/250%4), byte(1 + i%250)}) //nolint:gosec // small
	return &net.Dialer{Timeout: 3 * time.Second, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(at, 0))}
}

// crowd are open connections of strangers.
type crowd struct {
	mu    sync.Mutex // guards conns
	conns []net.Conn
}

// join opens a connection and says something; what the gateway does with it is its business.
func (c *crowd) join(ctx context.Context, t *Target, d *net.Dialer, text []byte) {
	nc, err := t.dial(ctx, d)
	if err != nil {
		return // it was not let in
	}
	c.mu.Lock()
	c.conns = append(c.conns, nc)
	c.mu.Unlock()
	nc.SetWriteDeadline(time.Now().Add(2 * time.Second)) //nolint:errcheck,gosec // what does not go out in time does not go out
	nc.Write(text)                                       //nolint:errcheck,gosec // it may have been cut
}

// open counts those that the gateway has not closed.
func (c *crowd) open() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, nc := range c.conns {
		if secure, ok := nc.(*tls.Conn); ok {
			nc = secure.NetConn()
		}
		below, ok := nc.(syscall.Conn)
		if !ok {
			continue
		}
		raw, err := below.SyscallConn()
		if err != nil {
			continue
		}
		raw.Control(func(fd uintptr) { //nolint:errcheck,gosec // a closed one is not open
			_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			if errors.Is(err, syscall.EAGAIN) {
				n++
			}
		})
	}
	return n
}

func (c *crowd) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, nc := range c.conns {
		nc.Close() //nolint:errcheck,gosec // nothing depends on it
	}
	c.conns = nil
}

// unfinished are requests that do not come to their end.
func unfinished() [][]byte {
	head := "POST /v1/callbacks/open HTTP/1.1\r\nHost: gateway\r\n"
	long := head + "Content-Length: 1048576\r\n\r\n"
	return [][]byte{
		nil, []byte("P"), []byte(head), []byte(head + strings.Repeat("X-Some: "+strings.Repeat("a", 1000)+"\r\n", 12)), []byte(long), []byte(long + "A"),
		append([]byte(long), bytes.Repeat([]byte("a"), 1<<20-1)...), []byte(head + "Transfer-Encoding: chunked\r\n\r\n" + "100000\r\n" + strings.Repeat("a", 100_000)),
	}
}
