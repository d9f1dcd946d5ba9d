package main

import (
	"context"
	"fmt"
	"log/slog"
	"syscall"

	"countersign/relay/registry"
)

// limits are the connections that may be open at once. They follow from the number of files that
// may be (ulimit -n): whatever providers and partners do, there are some left for the database, for
// the log, and for whoever asks how we are.
type limits struct {
	files     int            // that this process may have open
	callbacks int            // connections of providers; beyond them one that is idle or slow is closed for the next
	ofAddress int            // of these, those of one address
	partners  int            // connections to partners, in use or resting
	attempts  map[string]int // by endpoint: attempts in flight at most, where that is fewer than its concurrency
}

// What is kept aside.
const (
	manyCallbacks = 4096 // connections of providers, however many files there may be
	leastOfThem   = 16
	ownFiles      = 48 // the database, its lock, the log, what listens, look-ups of names, the process that checks a file, what metrics read of /proc
	controlConns  = 32
	metricsConns  = 16 // of listen.metrics, where it is configured
	apiConns      = 8  // of each source that asks its provider, or follows its stream
	kafkaConns    = 32
	spareConns    = 16 // to partners: dialled in vain, or not yet closed
	laterAttempts = 64 // at endpoints that are made while we run, before the others have to give way
)

// maxFiles is how many files this process may have open. The runtime has raised it to the hard
// limit at its start already.
func maxFiles() (int, error) {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0, fmt.Errorf("read the limit of open files: %w", err)
	}
	return int(min(l.Cur, 1<<30)), nil
}

// newLimits divides files. An error names the least there must be.
func newLimits(cfg *Config, files int) (limits, error) {
	own := ownFiles + controlConns
	for i := range cfg.Sources {
		if cfg.Sources[i].API != nil {
			own += apiConns
		}
	}
	if cfg.Kafka != nil {
		own += kafkaConns
	}
	if cfg.Listen.Metrics != "" {
		own += metricsConns
	}
	endpoints, wanted := 0, 0
	receivers := cfg.receivers()
	for i := range receivers {
		for j := range receivers[i].Endpoints {
			endpoints++
			wanted += receivers[i].Endpoints[j].Concurrency
		}
	}
	least := own + leastOfThem + withSpare(endpoints)
	if files < least {
		return limits{}, fmt.Errorf("at most %d files may be open, and this config needs %d at the least; raise it with ulimit -n, or LimitNOFILE= in a unit of systemd", files, least)
	}
	left := files - own
	l := limits{files: files, attempts: map[string]int{}}
	l.callbacks = min(manyCallbacks, max(left-withSpare(wanted+laterAttempts), left/2, leastOfThem), left-withSpare(endpoints))
	if l.ofAddress = cfg.Limits.ConnectionsPerAddress; l.ofAddress == 0 {
		l.ofAddress = max(leastOfThem, l.callbacks/4)
	}
	l.partners = left - l.callbacks
	share := l.share(endpoints, wanted)
	for i := range receivers {
		for _, e := range receivers[i].Endpoints {
			if share < 1 {
				l.attempts[e.ID] = attemptsOf(share, e.Concurrency)
			}
		}
	}
	return l, nil
}

// share is how much each of so many endpoints may have of what it wants beyond its first attempt.
func (l *limits) share(endpoints, wanted int) float64 {
	if withSpare(wanted) <= l.partners {
		return 1
	}
	return float64(l.partners-withSpare(endpoints)) / float64(withSpare(wanted)-withSpare(endpoints))
}

func attemptsOf(share float64, concurrency int) int {
	return min(concurrency, 1+int(share*float64(concurrency-1)))
}

// divide gives every endpoint its share, whenever there are other endpoints: what is made while we
// run makes the shares of the others smaller. An error: there is no room for one attempt of each.
func (l *limits) divide(ps []registry.Partner) error {
	endpoints, wanted := 0, 0
	for i := range ps {
		for j := range ps[i].Endpoints {
			endpoints++
			wanted += ps[i].Endpoints[j].Concurrency
		}
	}
	switch {
	case l.files == 0: // nobody has measured
		return nil
	case withSpare(endpoints) > l.partners:
		return fmt.Errorf("%d endpoints: %w", endpoints, registry.ErrNoRoom)
	}
	share := l.share(endpoints, wanted)
	for i := range ps {
		for j := range ps[i].Endpoints {
			e := &ps[i].Endpoints[j]
			e.Concurrency = attemptsOf(share, e.Concurrency)
		}
	}
	return nil
}

// withSpare is how many connections may be open while so many attempts are in flight: a quarter
// more rest, or were dialled in vain (relay holds each endpoint to its own part of that), and a few
// are dialled to two addresses at once, or not yet closed.
func withSpare(attempts int) int {
	if attempts == 0 {
		return 0
	}
	return attempts + attempts/4 + spareConns
}

// reduced reports whether there are fewer than there would be with more files.
func (l *limits) reduced() bool { return l.callbacks < manyCallbacks || len(l.attempts) > 0 }

// tell logs them.
func (l *limits) tell(ctx context.Context, log *slog.Logger, cfg *Config) {
	level := slog.LevelInfo
	if l.reduced() {
		level = slog.LevelWarn
	}
	bodies, _, _ := cfg.bodies(memoryLimit("/"))
	log.Log(ctx, level, "limits", "open_files", l.files, "callback_connections", l.callbacks, "callback_body_bytes", bodies, "partner_connections", l.partners,
		"endpoints_with_fewer_attempts", len(l.attempts))
}

// concurrency is how many attempts an endpoint may have in flight.
func (l *limits) concurrency(e *EndpointConfig) int {
	if n, ok := l.attempts[e.ID]; ok {
		return min(n, e.Concurrency)
	}
	return e.Concurrency
}
