package api

import "time"

// CompactAsk says whether a compaction is meant.
type CompactAsk struct {
	DryRun bool `json:"dry_run,omitempty" doc:"Only say what it would come to."`
}

// Compaction is how the compaction of the database file stands, or how the last one ended, and what
// one would come to now.
type Compaction struct {
	Object        string     `json:"object" enum:"compaction"`
	DryRun        bool       `json:"dry_run"`
	State         string     `json:"state" enum:"idle,copying,checking,catching_up,switching,done,failed" doc:"idle: there was none since the start."`
	FileBytes     int64      `json:"file_bytes" doc:"Size of the file now."`
	FreeBytes     int64      `json:"free_bytes" doc:"Of it, pages that hold nothing, or what was deleted."`
	ExpectedBytes int64      `json:"expected_bytes" doc:"What a compacted file would take, at most."`
	NeededBytes   int64      `json:"needed_bytes" doc:"What has to be free on the disk for it."`
	DiskFreeBytes int64      `json:"disk_free_bytes"`
	Refused       string     `json:"refused,omitempty" doc:"Why none can begin now."`
	DoneBytes     int64      `json:"done_bytes,omitempty" doc:"How far the state is."`
	TotalBytes    int64      `json:"total_bytes,omitempty"`
	StartedAt     *time.Time `json:"started_at,omitempty"`
	EndedAt       *time.Time `json:"ended_at,omitempty"`
	BeforeBytes   int64      `json:"before_bytes,omitempty" doc:"Size of the file when it began."`
	AfterBytes    int64      `json:"after_bytes,omitempty" doc:"Size of the new file."`
	PauseMS       float64    `json:"pause_ms,omitempty" doc:"For how long it held up the writer."`
	Error         string     `json:"error,omitempty" doc:"Why it failed: the file is as it was."`
}

// Running reports whether it is under way.
func (c *Compaction) Running() bool {
	switch c.State {
	case "copying", "checking", "catching_up", "switching":
		return true
	default:
		return false
	}
}
