package api

import (
	"net/http"
	"time"
)

// ReplayAsk is what is to be told again, and to whom.
type ReplayAsk struct {
	Kind     string    `json:"kind" enum:"dead_lettered,range,current" doc:"dead_lettered: the endpoint's dead-lettered deliveries. range: what it received from since until until, and what followed for the same persons. current: the current status of each person of its partner that it has not received."`
	Endpoint string    `json:"endpoint,omitempty" doc:"The endpoint whose deliveries are replayed; it may be an orphaned one. For kind current, leave it out and give to."`
	To       string    `json:"to,omitempty" doc:"The endpoint that receives it; default: the same endpoint. Another one must be of the same partner, and receives what its events, filter and format take."`
	Since    time.Time `json:"since,omitzero" doc:"Of a range: from this instant on."`
	Until    time.Time `json:"until,omitzero" doc:"Of a range: before this instant."`
	Force    bool      `json:"force,omitempty" doc:"For dead-lettered ones: also those of persons for whom a later change has been accepted since."`
	Rate     float64   `json:"rate,omitempty" doc:"Deliveries a second at most, up to 10,000; without it 100."`
	DryRun   bool      `json:"dry_run,omitempty" doc:"Count what would be sent, and send nothing."`
	Because  string    `json:"because,omitempty" doc:"Why, for whoever must explain it later: up to 500 bytes."`
}

// Replay is a job that tells again.
type Replay struct {
	Object   string           `json:"object" enum:"replay"`
	ID       string           `json:"id"`
	Kind     string           `json:"kind" enum:"dead_lettered,range,current"`
	Endpoint string           `json:"endpoint"`
	To       string           `json:"to"`
	Since    time.Time        `json:"since,omitzero"`
	Until    time.Time        `json:"until,omitzero"`
	Force    bool             `json:"force,omitempty"`
	Rate     float64          `json:"rate" doc:"Deliveries a second at most."`
	DryRun   bool             `json:"dry_run,omitempty"`
	Because  string           `json:"because,omitempty"`
	By       string           `json:"by" doc:"The name of the token that started it."`
	State    string           `json:"state" enum:"counting,running,paused,cancelled,done,failed"`
	Created  time.Time        `json:"created_at"`
	Counted  time.Time        `json:"counted_at,omitzero" doc:"When total and persons were known."`
	Ended    time.Time        `json:"ended_at,omitzero"`
	Total    int64            `json:"total" doc:"How many deliveries there were to order when it was counted."`
	Persons  int64            `json:"persons" doc:"Of so many persons."`
	Ordered  int64            `json:"ordered" doc:"How many are ordered so far: each is in the journal, and is sent like any other."`
	Skipped  map[string]int64 `json:"skipped" doc:"How many were skipped, by reason: overtaken, not_kept, not_wanted, told, set_aside, damaged, no_person, too_long, cancelled."`
	Error    string           `json:"error,omitempty" doc:"Why it failed, or what it waits for."`
}

var replayEnded = Refusal{http.StatusConflict, TypeConflict, "replay_ended", "the replay has ended"}

// replayCalls are about what is told again.
var replayCalls = []Call{
	{Pattern: "GET /v1/replays", ID: "listReplays", Summary: "List replays, newest first", Params: pages(), Answer: List[Replay]{}},
	{
		Pattern: "POST /v1/replays", ID: "createReplay", Summary: "Replay to an endpoint: dead-lettered deliveries, a time range, or the current status of each person",
		About:  "A job that goes on over restarts. Each person is told in the order of their changes, and the last one sent is never older than the one before.",
		Params: []Param{keyHeader}, Ask: ReplayAsk{}, Answer: Replay{}, Refuses: []Refusal{keyUsed, tooMany},
	},
	{Pattern: "GET /v1/replays/{id}", ID: "replay", Summary: "Show the progress of a replay", Answer: Replay{}, Refuses: []Refusal{notFound}},
	{
		Pattern: "POST /v1/replays/{id}/pause", ID: "pauseReplay", Summary: "Pause a replay", Answer: Replay{},
		Refuses: []Refusal{notFound, replayEnded},
	},
	{Pattern: "POST /v1/replays/{id}/resume", ID: "resumeReplay", Summary: "Resume a paused replay", Answer: Replay{}, Refuses: []Refusal{notFound, replayEnded}},
	{
		Pattern: "POST /v1/replays/{id}/cancel", ID: "cancelReplay", Summary: "Stop a replay", About: "What it has ordered is sent.", Answer: Replay{},
		Refuses: []Refusal{notFound, replayEnded},
	},
}
