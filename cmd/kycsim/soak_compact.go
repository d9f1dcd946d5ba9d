package main

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// compactions are what came of asking a gateway for one after the other, over its kills.
type compactions struct {
	Begun    int     `json:"begun"`
	Done     int     `json:"done"`   // that were seen to end well; others met a kill
	Failed   int     `json:"failed"` // the file stayed as it was
	PauseMax float64 `json:"pause_max_ms"`
	Why      string  `json:"why,omitempty"` // the last one failed
}

// compact has the gateway compact its database over and over until ctx ends. One that is down, or
// busy with one, is asked again.
func (c *compactions) compact(ctx context.Context, g *gateway) {
	began := ""
	for pause(ctx, 20*time.Millisecond) == nil {
		state, err := compaction(ctx, g, http.MethodGet, "")
		if err != nil {
			continue // it is down
		}
		switch {
		case state.Ended != "" && state.Started == began:
			began = ""
			_ = pause(ctx, 300*time.Millisecond) // the loop ends with ctx
			if c.PauseMax = max(c.PauseMax, state.Pause); state.State == "done" {
				c.Done++
			} else {
				c.Failed, c.Why = c.Failed+1, state.Failure
			}
		case state.Started == "" || state.Ended != "":
			if state, err = compaction(ctx, g, http.MethodPost, "{}"); err == nil {
				c.Begun++
				began = state.Started
			}
		}
	}
}

// compactionState is as the gateway says it.
type compactionState struct {
	State   string  `json:"state"`
	Started string  `json:"started_at"`
	Ended   string  `json:"ended_at"`
	Pause   float64 `json:"pause_ms"`
	Failure string  `json:"error"`
}

// compaction makes one call.
func compaction(ctx context.Context, g *gateway, method, body string) (v compactionState, err error) {
	return v, g.call(ctx, method, "/v1/compact", body, &v)
}

// figures are what it comes to, for people.
func (c *compactions) figures() []figure {
	return []figure{
		count("compactions begun", c.Begun), count("of them done", c.Done), count("of them failed", c.Failed),
		{"they held up the writer for, at most", fmt.Sprintf("%.1f ms", c.PauseMax)},
	}
}
