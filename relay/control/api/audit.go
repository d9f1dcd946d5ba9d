package api

import "time"

// AuditEntry is one call that changed something, or showed what is sealed. Every text in it is
// bounded, and no person is named: whoever it was about stands there as a keyed digest. Entries are
// a chain: each hash covers what the entry says and the hash of the one before it.
type AuditEntry struct {
	Object    string       `json:"object" enum:"audit_entry"`
	ID        string       `json:"id" doc:"The number, in 16 hex digits."`
	Number    uint64       `json:"number"`
	Kind      string       `json:"kind" enum:"begun,done,failed,refused," doc:"begun: it changed something, and unless it is completed no entry says yet what came of it. Empty: it is damaged."`
	At        time.Time    `json:"at"`
	Actor     string       `json:"actor" doc:"The token's name; SIGHUP of what a signal asked for."`
	Scope     Scope        `json:"scope"`
	Call      string       `json:"call" doc:"Method and path, as this document has them."`
	Path      string       `json:"path" doc:"What it was called on; ids of persons, and what may hold one, are digests in it."`
	OK        bool         `json:"ok"`
	Status    int          `json:"status,omitempty" doc:"Of the answer, unless it was 200."`
	Error     string       `json:"error,omitempty" doc:"The code of the answer's error."`
	Key       string       `json:"key,omitempty" doc:"The id of the endpoint's key that it made."`
	Changed   bool         `json:"changed,omitempty" doc:"It was refused, and has had an effect all the same."`
	Persons   []string     `json:"persons,omitempty" doc:"Digests of whom it was about: person:HEX."`
	Refs      []string     `json:"refs,omitempty" doc:"Digests of providers' refs that it was about: ref:HEX."`
	Endpoints []string     `json:"endpoints,omitempty" doc:"Ids of the endpoints that it was about."`
	Set       []Setting    `json:"set,omitempty" doc:"What it changed of how endpoints are configured; at most 100."`
	Because   string       `json:"because,omitempty" doc:"Why, of a call that says so: of an erasure, a release from quarantine, a discard."`
	Last      *LastDecided `json:"last_decided,omitempty" doc:"Of an erasure: what was decided last of the person."`
	Begun     uint64       `json:"begun,omitempty" doc:"The number of the entry of kind begun that this one completes."`
	Completed bool         `json:"completed,omitempty" doc:"Of kind begun: another entry says what came of it."`
	Reduced   bool         `json:"reduced,omitempty" doc:"What it said has had its time."`
	Damaged   bool         `json:"damaged,omitempty" doc:"It cannot be read: only its number is known."`
	Hash      string       `json:"hash,omitempty" doc:"Of the chain up to it, in hex."`
}

// Setting is what was changed of how an endpoint is configured. It never holds a secret.
type Setting struct {
	Endpoint string `json:"endpoint"`
	Key      string `json:"key" doc:"As in the config. Empty: the endpoint as a whole."`
	Was      string `json:"was,omitempty" doc:"Without it, it was not set. Of a URL only its scheme and host, of a header nothing."`
	Is       string `json:"is,omitempty" doc:"Without it, it is not set any more."`
}

// AuditList is a page of the audit trail.
type AuditList struct {
	Object  string       `json:"object" enum:"list"`
	Data    []AuditEntry `json:"data"`
	HasMore bool         `json:"has_more" doc:"There may be more: with a filter, a page may be short, or empty, and yet not the last."`
	Next    string       `json:"next,omitempty" doc:"Where there may be more: the cursor that the next page is asked for with."`
	Head    AuditHead    `json:"head"`
}

// AuditHead is an entry of the audit trail by its number, with the hash of the chain up to it.
type AuditHead struct {
	Object string    `json:"object" enum:"audit_head"`
	Head   string    `json:"head" doc:"NUMBER:HASH, as an auditor notes it; the number is 0 if the trail is empty."`
	Number uint64    `json:"number"`
	Hash   string    `json:"hash"`
	At     time.Time `json:"at,omitzero"`
}

// AuditFault is what is wrong with one entry.
type AuditFault struct {
	Number uint64 `json:"number"`
	Fault  string `json:"fault" enum:"damaged,changed,removed,inserted,moved,reduced"`
	Text   string `json:"text"`
}

// AuditVerification is what a walk of the chain has found out.
type AuditVerification struct {
	Object  string       `json:"object" enum:"audit_verification"`
	OK      bool         `json:"ok" doc:"All that was looked at is as it was written, and the head that was given is none that the chain lacks."`
	Entries int64        `json:"entries" doc:"That were looked at by this call."`
	Reduced int64        `json:"reduced" doc:"Of them, those of which only the hash is kept after the retention time."`
	Damaged int64        `json:"damaged" doc:"Of them, those that cannot be read."`
	Faults  int64        `json:"faults" doc:"All that were found, the damaged ones too."`
	Found   []AuditFault `json:"found" doc:"The first 100 of them, in the order of the chain."`
	First   AuditHead    `json:"first" doc:"The first entry that is kept; its hash is left out."`
	Head    AuditHead    `json:"head" doc:"The last one, as far as the walk has come."`
	Left    *AuditLeft   `json:"left,omitempty" doc:"Up to which entry the trail has had its time and has left."`
	Noted   string       `json:"noted" enum:"proved,not_in_it,too_early," doc:"What became of the head that was given: it is a part of the chain, it is none, or it has left with the front. Empty: none was given, or the walk has not come so far."`
	HasMore bool         `json:"has_more"`
	Next    string       `json:"next,omitempty" doc:"Where there is more: the cursor that the next call is made with."`
}

// AuditLeft is up to which entry the front of the trail has left.
type AuditLeft struct {
	AuditHead
	LeftAt time.Time `json:"left_at"`
}
