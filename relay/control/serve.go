package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Run serves until ctx ends. When it returns, calls under way have ended, or were cut off after two
// seconds.
func (s *Server) Run(ctx context.Context) error {
	server := s.door.Server(s.handler())
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if server.Shutdown(end) != nil {
			server.Close() //nolint:errcheck,gosec // it was asked politely
		}
	})
	defer stop()
	if err := server.Serve(s.door); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control listener: %w", err)
	}
	<-stopped // Serve returns as soon as the stop begins
	return nil
}

// handler is everything that stands behind the door.
func (s *Server) handler() http.Handler {
	origins := http.NewCrossOriginProtection()
	origins.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.fail(w, &problem{http.StatusForbidden, "authorization", "cross_origin", "pages of other sites may not make changes", ""})
	}))
	calls := origins.Handler(bounds(http.HandlerFunc(s.serve)))
	if s.site == nil {
		return calls
	}
	site := bounds(s.site)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/" || req.URL.Path == "/console" || strings.HasPrefix(req.URL.Path, "/console/") {
			site.ServeHTTP(w, req)
			return
		}
		calls.ServeHTTP(w, req)
	})
}

// bounds cuts off bodies that are longer than anything that is asked here.
func bounds(h http.Handler) http.Handler { return http.MaxBytesHandler(h, 1<<20) }

// serve hands a call to its route. What the mux refuses itself gets the shape of every other error.
func (s *Server) serve(w http.ResponseWriter, req *http.Request) {
	req = verbatim(req)
	h, pattern := s.mux.Handler(req)
	if pattern != "" {
		s.mux.ServeHTTP(w, req)
		return
	}
	refusal := &refusal{ResponseWriter: w}
	if h.ServeHTTP(refusal, req); refusal.status == http.StatusMethodNotAllowed {
		s.fail(w, &problem{http.StatusMethodNotAllowed, "invalid_request", "method", "this call takes " + w.Header().Get("Allow"), ""})
		return
	}
	s.fail(w, &problem{http.StatusNotFound, "not_found", "no_such_call", "there is no such call", ""})
}

// refusal keeps the status and the headers of an answer, and drops its text.
type refusal struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (r *refusal) WriteHeader(status int) { r.status = status }

// Write implements http.ResponseWriter.
func (r *refusal) Write(b []byte) (int, error) { return len(b), nil }
