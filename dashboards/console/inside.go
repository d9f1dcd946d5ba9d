package console

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
)

// inside is the way to the API without a socket: it hands a request to the handler and gives back
// what that answers as it comes, a stream too. The API sees the address of the browser that asks,
// so that wrong tokens are slowed down as they are everywhere.
type inside struct {
	api  http.Handler
	from string // address and port of the browser
}

// RoundTrip implements http.RoundTripper. The handler ends when it has answered, or soon after the
// request's context does or the body of the answer is closed.
func (i inside) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	asked := req.Clone(ctx)
	asked.RequestURI, asked.RemoteAddr, asked.Host = req.URL.RequestURI(), i.from, "localhost"
	if asked.Body == nil {
		asked.Body = http.NoBody
	}
	body, out := io.Pipe()
	w := &answering{header: http.Header{}, out: out, begun: make(chan struct{})}
	go func() {
		defer asked.Body.Close() //nolint:errcheck // it is read
		defer func() {
			err := io.EOF
			if caught := recover(); caught != nil { // as net/http does: the answer is cut off, and the process goes on
				err = io.ErrUnexpectedEOF
			}
			w.begin(http.StatusOK)
			out.CloseWithError(err) //nolint:gosec // it never fails
		}()
		i.api.ServeHTTP(w, asked)
	}()
	select {
	case <-w.begun:
	case <-ctx.Done():
		body.CloseWithError(ctx.Err()) //nolint:gosec // as above
		cancel()
		return nil, ctx.Err()
	}
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: w.sent, ContentLength: -1, Request: req,
		Body: &answered{PipeReader: body, cancel: cancel},
	}, nil
}

// answered is the body of an answer. Closing it ends the call.
type answered struct {
	*io.PipeReader
	cancel context.CancelFunc
}

// Close implements io.Closer.
func (a *answered) Close() error {
	a.cancel()
	return a.CloseWithError(errors.New("nobody reads the answer any more"))
}

// answering is the http.ResponseWriter of a call: what is written is read at once.
type answering struct {
	header http.Header
	out    *io.PipeWriter
	once   sync.Once
	begun  chan struct{} // closed when status and sent are set
	status int
	sent   http.Header
}

// Header implements http.ResponseWriter.
func (a *answering) Header() http.Header { return a.header }

func (a *answering) begin(status int) {
	a.once.Do(func() {
		a.status, a.sent = status, a.header.Clone()
		close(a.begun)
	})
}

// WriteHeader implements http.ResponseWriter.
func (a *answering) WriteHeader(status int) { a.begin(status) }

// Write implements io.Writer.
func (a *answering) Write(b []byte) (int, error) {
	a.begin(http.StatusOK)
	return a.out.Write(b)
}
