// Package api is the contract of the control API: what is asked and answered, call by call, and the
// OpenAPI document that says so.
//
// It imports nothing of ours, so that whoever calls the API shares it with whoever answers:
// relay/control answers in these types, relay/control/client asks in them. Nothing here is a record
// of the disk: those may change, and these may only grow. A field whose tag says omitempty or
// omitzero is left out where it says nothing; a list is never null.
//
// The tags beside json describe a field in the document: doc is a sentence, enum the words it may
// be, min and max its bounds (of a text, its bytes), need:"true" what a request must bring.
package api

// Scope is what a token may do.
type Scope string

// The scopes. Admin includes operator, which includes viewer; partner is apart.
const (
	Viewer   Scope = "viewer"
	Operator Scope = "operator"
	Admin    Scope = "admin"
	Partner  Scope = "partner"
)

// Error is what every call answers that is not answered 200.
type Error struct {
	Error Fault `json:"error"`
}

// Fault says what was wrong.
type Fault struct {
	Type    string `json:"type" doc:"Which side is at fault, and so what to do about it; a closed list."`
	Code    string `json:"code" doc:"What it is, in one word. Of an invalid_request, mostly the name of what is wrong."`
	Message string `json:"message" doc:"A sentence for people; it may change."`
	Param   string `json:"param,omitempty" doc:"The parameter, header or field that is wrong."`

	Problems []ConfigProblem `json:"problems,omitempty" doc:"Of a config that was refused: all that is wrong with it."`
}

// List is one page of a list.
type List[T any] struct {
	Object  string `json:"object" enum:"list"`
	Data    []T    `json:"data"`
	HasMore bool   `json:"has_more"`
	Next    string `json:"next,omitempty" doc:"Where there is more: the cursor that the next page is asked for with. It says nothing to anybody but the list that gave it."`
}

// Page is a list with these entries.
func Page[T any](data []T, more bool) List[T] {
	if data == nil {
		data = []T{}
	}
	return List[T]{Object: "list", Data: data, HasMore: more}
}

// Health is answered by /healthz.
type Health struct {
	Status  string `json:"status" enum:"ok"`
	Mode    string `json:"mode" enum:"sandbox,live"`
	Phase   string `json:"phase,omitempty" enum:"starting,checking_file,repairing_file,serving,stopping" doc:"What the process is doing; left out for callers without a token on an exposed listener."`
	Percent *int64 `json:"percent,omitempty" doc:"How far it is with that, where that is known."`
}

// Ready is answered by /readyz.
type Ready struct {
	Status  string   `json:"status" enum:"ready,not_ready"`
	Phase   string   `json:"phase,omitempty" enum:"starting,checking_file,repairing_file,serving,stopping" doc:"What the process is doing; left out for callers without a token on an exposed listener."`
	Percent *int64   `json:"percent,omitempty" doc:"How far it is with that, where that is known."`
	Reasons []string `json:"reasons,omitempty" doc:"Why not; left out for callers without a token on an exposed listener."`
	Notes   []string `json:"notes,omitempty" doc:"What is worth knowing either way."`
}

// Because is a request that says why, and nothing else.
type Because struct {
	Reason string `json:"reason" need:"true" doc:"Why, for whoever must explain it later."`
}

// BackupAsk says where a backup goes.
type BackupAsk struct {
	Path string `json:"path" need:"true" doc:"An absolute path on the gateway's machine, of a file that does not exist yet."`
}

// Backup is one that was made.
type Backup struct {
	Object  string `json:"object" enum:"backup"`
	Path    string `json:"path"`
	Bytes   int64  `json:"bytes"`
	Checked bool   `json:"checked" doc:"Every record of it was read and held to its checksum."`
}
