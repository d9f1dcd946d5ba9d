package control

import (
	"context"
	"net/http"
	"time"

	"countersign/outbox/store"
	"countersign/relay/control/api"
)

// compacted is how a compaction stands.
type compacted struct{ *api.Compaction }

// idle: what a dry run says stands in no trail.
func (c compacted) idle() bool { return c.DryRun }

// beginWait is how long a call waits for the compaction to begin that it asked for.
const beginWait = 2 * time.Second

// compaction says how it stands.
func (s *Server) compaction(*http.Request, Token) (any, error) {
	return s.stands(), nil
}

func (s *Server) stands() *api.Compaction {
	c := s.o.Store.Compaction()
	return ViewCompaction(&c)
}

// compact has one begin.
func (s *Server) compact(req *http.Request, _ Token) (any, error) {
	var ask api.CompactAsk
	if err := read(req, &ask); err != nil {
		return compacted{&api.Compaction{DryRun: ask.DryRun}}, err
	}
	v := s.stands()
	v.DryRun = ask.DryRun
	if ask.DryRun {
		return compacted{v}, nil
	}
	if v.Refused != "" {
		return compacted{v}, &problem{http.StatusConflict, "conflict", "not_compacted", v.Refused, ""}
	}
	wait, cancel := context.WithTimeout(req.Context(), beginWait)
	defer cancel()
	began := make(chan error, 1)
	select {
	case s.compactions <- began:
	case <-wait.Done():
		return compacted{v}, ErrNotNow
	}
	if err := <-began; err != nil {
		return compacted{v}, err
	}
	return compacted{s.stands()}, nil
}

// ViewCompaction is a compaction as the API shows it.
func ViewCompaction(c *store.Compaction) *api.Compaction {
	v := &api.Compaction{
		Object: "compaction", State: string(c.Phase), FileBytes: c.File, FreeBytes: c.Free, ExpectedBytes: c.Expected, NeededBytes: c.Needed, DiskFreeBytes: c.DiskFree,
		Refused: c.Refused, BeforeBytes: c.Before, AfterBytes: c.After, PauseMS: float64(c.Pause.Microseconds()) / 1000,
	}
	if c.Phase.Running() {
		v.DoneBytes, v.TotalBytes = c.Done, c.Total
	}
	for _, t := range []struct {
		at time.Time
		to **time.Time
	}{{c.Began, &v.StartedAt}, {c.Ended, &v.EndedAt}} {
		if !t.at.IsZero() {
			at := t.at.UTC().Truncate(time.Millisecond)
			*t.to = &at
		}
	}
	if c.Err != nil {
		v.Error = c.Err.Error()
	}
	return v
}
