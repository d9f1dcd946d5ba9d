package attack

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"
)

// patience is for how long a connection may be silent. The gateway cuts a request that does not
// come to its end after ten seconds.
const patience = 20 * time.Second

// exchange is what came of bytes sent over one connection.
type exchange struct {
	statuses []int // of the answers, without those of 1xx
	ended    bool  // the gateway closed the connection
	reset    bool  // before its answers were read
	rest     bool  // what followed was no HTTP
	took     time.Duration
}

// first is the first status; silence if there was none.
func (x *exchange) first() int {
	if len(x.statuses) == 0 {
		return silence
	}
	return x.statuses[0]
}

// dial opens a connection for callbacks, with TLS where the target speaks it.
func (t *Target) dial(ctx context.Context, d *net.Dialer) (net.Conn, error) {
	nc, err := d.DialContext(ctx, "tcp", t.Callbacks)
	if err != nil || t.Roots == nil {
		return nc, err
	}
	secure := tls.Client(nc, &tls.Config{RootCAs: t.Roots, ServerName: "localhost", MinVersion: tls.VersionTLS12})
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	return secure, nil
}

// say sends bytes over a connection of its own, closes its side of it, and reads to the end.
func (t *Target) say(ctx context.Context, text string) (x exchange, err error) {
	began := time.Now()
	nc, err := t.dial(ctx, &net.Dialer{Timeout: patience})
	if err != nil {
		return x, fmt.Errorf("the gateway cannot be reached: %w", err)
	}
	defer nc.Close() //nolint:errcheck // read to its end
	if err := nc.SetDeadline(began.Add(patience)); err != nil {
		return x, err
	}
	go func() {
		if _, err := io.WriteString(nc, text); err == nil {
			if half, ok := nc.(interface{ CloseWrite() error }); ok {
				half.CloseWrite() //nolint:errcheck,gosec // it may have been closed by the other side
			}
		}
	}()
	r := bufio.NewReader(nc)
	asked := &http.Request{Method: http.MethodPost}
	if strings.HasPrefix(text, "HEAD ") {
		asked.Method = http.MethodHead // its answer has no body
	}
	for {
		res, err := http.ReadResponse(r, asked)
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			x.took = time.Since(began)
			return x, nil
		case errors.Is(err, io.EOF) && r.Buffered() == 0, errors.Is(err, io.ErrUnexpectedEOF) && r.Buffered() == 0:
			x.ended, x.took = true, time.Since(began)
			return x, nil
		case errors.Is(err, net.ErrClosed), isReset(err):
			x.ended, x.reset, x.took = true, true, time.Since(began)
			return x, nil
		default:
			x.rest, x.took = true, time.Since(began)
			return x, nil
		}
		if res.StatusCode >= 200 {
			x.statuses = append(x.statuses, res.StatusCode)
		}
		_, err = io.Copy(io.Discard, res.Body)
		if err := errors.Join(err, res.Body.Close()); err != nil {
			x.reset = isReset(err)
			return x, nil
		}
	}
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// quiet is where servers log what strangers did wrong.
var quiet = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
