package api

import "time"

// EraseAsk says why somebody is erased.
type EraseAsk struct {
	Because string `json:"because" doc:"Why, without naming the person: it stays in the audit trail. At most 500 bytes."`
	DryRun  bool   `json:"dry_run,omitempty" doc:"Only say what would go."`
}

// LastDecided is what was decided last of somebody.
type LastDecided struct {
	Status   string    `json:"status"`
	At       time.Time `json:"at"`
	Sequence uint64    `json:"sequence"`
}

// Erasure is what the erasure of one person takes away, or has taken, and how far it is.
type Erasure struct {
	Object     string         `json:"object" enum:"erasure"`
	Digest     string         `json:"digest" doc:"The pseudonym of the person in the audit trail: all that is left of the name."`
	DryRun     bool           `json:"dry_run"`
	Erased     bool           `json:"erased"`
	Repeated   bool           `json:"repeated,omitempty" doc:"Nothing was left to erase: they were erased before."`
	ErasedAt   *time.Time     `json:"erased_at,omitempty"`
	Records    map[string]int `json:"records,omitempty" doc:"How many records of each bucket of the file."`
	Last       *LastDecided   `json:"last_decided,omitempty"`
	File       string         `json:"file,omitempty" enum:"waiting,scrubbed," doc:"waiting: what was deleted may still stand in free pages of the file, until it has been compacted, which has been asked for. scrubbed: it does not."`
	ScrubbedAt *time.Time     `json:"scrubbed_at,omitempty"`
	Copies     []string       `json:"copies" doc:"Copies of the file beside it, that were kept aside: they are as they were. Backups elsewhere are not known here."`
}
