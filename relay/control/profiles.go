package control

import (
	"net/http"
	"net/http/pprof"
	"strconv"
	"time"
)

const longestProfile = 60 * time.Second

// profiles are /debug/pprof. What runs for a time (a profile of the CPU, a trace, the difference of
// two heaps) is bounded: one at once, and no longer than longestProfile.
func (s *Server) profiles() []machinePage {
	of := func(pattern string, h http.HandlerFunc) machinePage {
		return machinePage{pattern, Operator, false, true, s.machines(Operator, h)}
	}
	return []machinePage{
		of("GET /debug/pprof/", s.timed(http.HandlerFunc(pprof.Index), 0)),
		of("GET /debug/pprof/cmdline", pprof.Cmdline),
		of("GET /debug/pprof/symbol", pprof.Symbol),
		of("GET /debug/pprof/profile", s.timed(http.HandlerFunc(pprof.Profile), 30*time.Second)),
		of("GET /debug/pprof/trace", s.timed(http.HandlerFunc(pprof.Trace), time.Second)),
	}
}

// timed bounds what runs for as many seconds as the call says; usual is how long it runs if it says
// nothing, 0: it is a picture of the moment.
func (s *Server) timed(h http.Handler, usual time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		long := usual
		if text := req.URL.Query().Get("seconds"); text != "" {
			n, err := strconv.ParseUint(text, 10, 16)
			if long = time.Duration(n) * time.Second; err != nil || n == 0 || long > longestProfile {
				s.fail(w, bad("seconds", "seconds is a whole number from 1 to 60"))
				return
			}
		}
		if long > 0 {
			if !s.profiling.CompareAndSwap(false, true) {
				w.Header().Set("Retry-After", "10")
				s.fail(w, &problem{http.StatusTooManyRequests, "unavailable", "profile_running", "a profile is being made; one is made at a time", ""})
				return
			}
			defer s.profiling.Store(false)
		}
		answerWithin(w, long+s.door.takes) // it is written as it comes
		h.ServeHTTP(w, req)
	}
}
