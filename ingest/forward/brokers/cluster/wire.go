package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"time"
)

const askWithin = 2 * time.Second

// ask sends ApiVersions, the smallest request there is, to the listener of the brokers, which is
// plain whatever the clients' is, and dials that of the clients.
func (n *node) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	client, err := new(net.Dialer).DialContext(ctx, "tcp", n.client)
	if err != nil {
		return err
	}
	defer client.Close() //nolint:errcheck // nothing was written
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", n.broker)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // what was asked for was read, or there is an error already
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	// Length, key 18, version 0, correlation 7, no client id.
	if _, err := conn.Write([]byte{0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff}); err != nil {
		return err
	}
	var head [10]byte // length, correlation, error code
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	if binary.BigEndian.Uint32(head[4:]) != 7 {
		return errors.New("the answer is not Kafka's")
	}
	if code := binary.BigEndian.Uint16(head[8:]); code != 0 {
		return fmt.Errorf("the answer is error %d", code)
	}
	return nil
}

// FreeAddrs are n addresses nobody listens on now. They lie below the ports that outgoing
// connections are given: a client that keeps dialling a node which is down would sooner or later be
// given the node's own port, and hold it.
func FreeAddrs(ctx context.Context, n int) (addrs []string, err error) {
	var open []net.Listener
	defer func() {
		for _, ln := range open {
			err = errors.Join(err, ln.Close())
		}
	}()
	var last error
	for tries := 0; len(addrs) < n; tries++ {
		if tries > 100*n {
			return nil, fmt.Errorf("find free ports: %w", last)
		}
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(12000+rand.IntN(18000))) //nolint:gosec // any will do
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
		if err != nil {
			last = err
			continue
		}
		open, addrs = append(open, ln), append(addrs, addr) // held until all are found, so that no two are the same
	}
	return addrs, nil
}
