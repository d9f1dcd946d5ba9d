package api

import "strconv"

// ReloadAsk says whether a reload is meant.
type ReloadAsk struct {
	DryRun bool `json:"dry_run,omitempty" doc:"Only say what the config would change."`
}

// ConfigProblem is a mistake in a config, or a doubt about it. It never holds a secret.
type ConfigProblem struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty" doc:"Without it, the file as a whole."`
	Key    string `json:"key,omitempty"`
	What   string `json:"what"`
	Remedy string `json:"remedy,omitempty"`
}

// Difference is what another config says otherwise. It never holds a secret.
type Difference struct {
	Key string `json:"key" doc:"As in the file, with the names of list entries."`
	Was string `json:"was,omitempty" doc:"Without it, it was not set; gone of what has come to be in no list any more."`
	Is  string `json:"is,omitempty" doc:"Without it, it is not set any more; new of what has come to be in a list."`
}

// Reloaded is what a config came to, or, of a dry run, would come to.
type Reloaded struct {
	Object      string          `json:"object" enum:"reload"`
	Config      string          `json:"config" doc:"The file that was read."`
	DryRun      bool            `json:"dry_run"`
	Applied     bool            `json:"applied"`
	Differences []Difference    `json:"differences"`
	Owed        []string        `json:"pending" doc:"What happens to pending deliveries: a sentence for each partner and endpoint that is removed."`
	Warnings    []ConfigProblem `json:"warnings" doc:"What the config probably does not mean."`
}

// String returns file:line: key: what; remedy.
func (p ConfigProblem) String() string {
	s := p.File + ": "
	if p.Line > 0 {
		s = p.File + ":" + strconv.Itoa(p.Line) + ": "
	}
	if p.Key != "" {
		s += p.Key + ": "
	}
	if p.Remedy == "" { // it stands in What
		return s + p.What
	}
	return s + p.What + "; " + p.Remedy
}
