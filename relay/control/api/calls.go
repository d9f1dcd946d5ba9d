package api

import "net/http"

// machineCalls are for machines: none needs a token where the listener is on a loopback address.
var machineCalls = []Call{
	{Pattern: "GET /healthz", ID: "health", Summary: "Whether the process lives, and whether it tells partners about real people", Answer: Health{}},
	{Pattern: "GET /readyz", ID: "readiness", Summary: "Whether the process should get traffic, and why not", Answer: Ready{}},
	{
		Pattern: "GET /metrics", ID: "metrics", Summary: "Metrics, for Prometheus", Media: "*/*", Answer: "",
		Params: []Param{{Name: "endpoint", Kind: "string", About: "Only the metrics of this endpoint."}}, Refuses: []Refusal{notFound},
	},
	{
		Pattern: "GET /runbooks/{alert}", ID: "runbook", Summary: "What to do about an alert, as Markdown", Media: "text/plain", Answer: "",
		Refuses: []Refusal{notFound},
	},
	{
		Pattern: "GET /v1/openapi.json", ID: "describe", Summary: "This document",
		About: "It contains no secrets. On a listener that other machines can reach it needs a token all the same, of any scope.", Answer: map[string]any{},
	},
	{
		Pattern: "GET /debug/pprof/", ID: "profiles", Summary: "Profiles of the process, for go tool pprof",
		About: "The name of a profile follows the path, such as heap; without one, they are listed.", Media: "*/*", Answer: "",
		Params: []Param{seconds}, Refuses: []Refusal{badRequest, profiling},
	},
	{Pattern: "GET /debug/pprof/cmdline", ID: "commandLine", Summary: "The command line of the process", Media: "*/*", Answer: ""},
	{Pattern: "GET /debug/pprof/symbol", ID: "symbols", Summary: "Names of program counters", Media: "*/*", Answer: ""},
	{
		Pattern: "GET /debug/pprof/profile", ID: "profile", Summary: "A profile of the CPU, 30 s if nothing is said", Media: "*/*", Answer: "",
		Params: []Param{seconds}, Refuses: []Refusal{badRequest, profiling},
	},
	{
		Pattern: "GET /debug/pprof/trace", ID: "trace", Summary: "A trace of the execution, 1 s if nothing is said", Media: "*/*", Answer: "",
		Params: []Param{seconds}, Refuses: []Refusal{badRequest, profiling},
	},
}

// Of profiles: how long they run, and that one is made at a time.
var (
	seconds   = Param{Name: "seconds", Kind: "integer", Min: 1, Max: 60, About: "How long it runs; at most a minute, and one at a time."}
	profiling = Refusal{http.StatusTooManyRequests, TypeUnavailable, "profile_running", "another profile is being made"}
)

// bodyCalls are about what could not be applied, and what has still to be asked.
var bodyCalls = []Call{
	{
		Pattern: "GET /v1/quarantine", ID: "listQuarantine", Summary: "List quarantined bodies; with kind=records, records that wait for their person",
		Params: pages(Param{Name: "kind", Kind: "string", Enum: []string{"bodies", "records"}, Default: "bodies", About: "What is listed."}),
		Answer: Either{List[QuarantinedBody]{}, List[UnroutedRecord]{}},
	},
	{
		Pattern: "GET /v1/quarantine/{id}", ID: "openBody", Summary: "Show a body in clear", Reads: true, Answer: OpenedBody{}, Refuses: []Refusal{notFound},
	},
	{
		Pattern: "POST /v1/quarantine/{id}/release", ID: "release", Summary: "Translate a body again with the current adapter and config, or give a record its person",
		Ask: ReleaseAsk{}, MayAsk: true, Answer: Released{},
		Refuses: []Refusal{notFound, otherRole, {http.StatusConflict, TypeConflict, "still_unclear", "today's adapter makes no more of the body"}, journalFull},
	},
	{
		Pattern: "POST /v1/quarantine/{id}/discard", ID: "discard", Summary: "Discard a body or a record permanently",
		About: "Of a body only the entry in the audit trail is kept; a record is kept, but never applied.", Ask: DiscardAsk{}, MayAsk: true, Answer: Discarded{}, Refuses: []Refusal{notFound, journalFull},
	},
	{
		Pattern: "POST /v1/quarantine/{id}/take-back", ID: "takeBack", Summary: "Take back a record that was released to the wrong person; it waits again",
		Ask: Because{}, Answer: TakenBack{}, Refuses: []Refusal{notFound, otherRole, notWhole, setAside, journalFull},
	},
	{
		Pattern: "GET /v1/questions", ID: "listQuestions", Summary: "List open questions to providers", Params: pages(), Answer: List[Question]{},
	},
	{
		Pattern: "POST /v1/questions/discard", ID: "discardQuestion", Summary: "Close a question that nobody will answer; the unconfirmed claim stays as it is",
		Ask: QuestionAsk{}, Answer: Discarded{}, Refuses: []Refusal{notFound},
	},
	{
		Pattern: "GET /v1/questions/old", ID: "countOldQuestions", Summary: "Count what discardOldQuestions would close",
		Params: []Param{
			{Name: "source", Kind: "string", Need: true, Min: 1, Max: 1024, About: "Whose questions; it need not be in the config any more."},
			{Name: "older", Kind: "string", Need: true, Min: 1, Max: 64, About: "How long they are open at least, such as 1h."},
			{Name: "all", Kind: "boolean", Default: false, About: "Also those that proved callbacks raised."},
		},
		Answer: OldQuestions{},
	},
	{
		Pattern: "POST /v1/questions/discard-old", ID: "discardOldQuestions", Summary: "Close the questions of a source that nobody will answer any more",
		About: "For example after a flood of forged callbacks. The unconfirmed claims stay as they are.", Ask: OldAsk{}, Answer: OldQuestions{},
	},
}

// subjectCalls are about persons and businesses, and what is asked of them.
var subjectCalls = []Call{
	{
		Pattern: "GET /v1/subjects", ID: "listSubjects", Summary: "List persons and businesses with their status, by partner and id",
		About: "A page looks at 2,000 of them at most: with a filter it may have fewer entries than limit, or none, and still have a next page.",
		Params: pages(
			Param{Name: "partner", Kind: "string", Max: 256, About: "Of this partner only. A partner's token lists its own."}, livemodeParam,
			Param{Name: "begins", Kind: "string", Max: 256, About: "Only ids that begin with this; partner is required."},
			Param{Name: "status", Kind: "string", Enum: []string{"not_started", "pending", "in_review", "approved", "rejected", "expired", "suspended"}, About: "With this status only."},
			Param{Name: "held", Kind: "boolean", Default: false, About: "Only those with a sanctions or PEP match that nobody has released."},
		),
		Answer: List[ListedSubject]{}, Refuses: []Refusal{otherPartner},
	},
	{
		Pattern: "GET /v1/subjects/{partner}/{id}", ID: "subject", Summary: "Show what providers said about a person, what was concluded, and who was told, newest first",
		About:  "Each page has the person's status and pending deliveries; records and ended deliveries are counted together. With at, everything is as it was known and sent at that time.",
		Params: pages(livemodeParam, Param{Name: "at", Kind: "string", Format: "date-time", About: "An instant of the past."}), Answer: Subject{}, Refuses: []Refusal{notFound},
	},
	{
		Pattern: "GET /v1/subjects/{partner}/{id}/export", ID: "exportSubject", Summary: "Export everything that is kept about a person",
		About:  "It contains bodies in clear, so the call is recorded in the audit trail. It is streamed: if it fails, the connection is closed early.",
		Params: []Param{livemodeParam}, Reads: true, Answer: SubjectExport{}, Refuses: []Refusal{notFound},
	},
	{
		Pattern: "POST /v1/subjects/{partner}/{id}/erase", ID: "eraseSubject", Summary: "Erase everything that is kept about a person, permanently",
		About:  "Pending deliveries about the person are cancelled; one in flight may still arrive. A digest is kept, with the number of the last change, and the audit trail has who asked, why, and what was decided last. It ends with a compaction of the file, which continues after the answer. Called again, it shows the progress.",
		Params: []Param{livemodeParam}, Ask: EraseAsk{}, Answer: Erasure{},
		Refuses: []Refusal{notFound, {http.StatusServiceUnavailable, TypeUnavailable, "behind", "what was accepted before is still to be folded"}},
	},
	{
		Pattern: "GET /v1/subjects/{partner}/{id}/erasure", ID: "erasure", Summary: "Show the progress of an erasure",
		Params: []Param{livemodeParam}, Answer: Erasure{}, Refuses: []Refusal{notFound},
	},
	{
		Pattern: "POST /v1/subjects/{partner}/{id}/decisions", ID: "decide", Summary: "Decide about a person, or preview the effect",
		Params: []Param{livemodeParam, keyHeader}, Ask: DecisionAsk{}, Answer: Decision{}, Refuses: []Refusal{notFound, keyUsed, setAside, tooMany, journalFull},
	},
	{
		Pattern: "POST /v1/subjects/{partner}/{id}/rebuild", ID: "rebuild", Summary: "Rebuild the state of a person with damaged records",
		About:  "From the history; if that is incomplete, from what is left and the status that is given.",
		Params: []Param{livemodeParam}, Ask: RebuildAsk{}, Answer: Rebuild{},
		Refuses: []Refusal{notFound, {http.StatusConflict, TypeConflict, "not_set_aside", "nothing of the subject is damaged"}, notWhole, setAside, journalFull},
	},
	{
		Pattern: "GET /v1/set-aside", ID: "listSetAside", Summary: "List persons with damaged records", Params: pages(), Answer: List[SetAside]{},
	},
	{
		Pattern: "GET /v1/policies/{partner}", ID: "policy", Summary: "Show whose status a partner's newest policy would change, and to what", Answer: Plan{}, Refuses: []Refusal{notFound},
	},
	{
		Pattern: "POST /v1/policies/{partner}/apply", ID: "applyPolicy", Summary: "Evaluate every person of a partner under its newest policy", Answer: Plan{},
		Refuses: []Refusal{notFound, journalFull},
	},
	{
		Pattern: "GET /v1/users/{id}/kyc", ID: "user", Summary: "Poll the status of a person, in BlendFi's format or our own",
		Params: []Param{
			partnerParam, livemodeParam,
			{Name: "format", Kind: "string", Enum: []string{"blendfi", "canonical"}, Default: "blendfi", About: "In which shape."},
		},
		Answer: Either{BlendFiUser{}, User{}}, Refuses: []Refusal{notFound, otherPartner, setAside},
	},
	{
		Pattern: "POST /v1/test_helpers/users/{id}/kyc", ID: "driveTest", Summary: "Simulate an outcome in the sandbox, through the whole path", About: "In live mode there is no such call.",
		Params: []Param{partnerParam, keyHeader}, Ask: TestAsk{}, Answer: Tested{}, Refuses: []Refusal{notFound, otherPartner, keyUsed, setAside, tooMany, journalFull},
	},
}

// refCalls are about whose a provider's ref is.
var refCalls = []Call{
	{
		Pattern: "POST /v1/submissions", ID: "submit", Summary: "Register which person a provider's ref belongs to", Ask: SubmissionAsk{}, Answer: Submission{},
		About: "Repeating the call changes nothing, and gets the same answer.",
		Refuses: []Refusal{
			{http.StatusNotFound, TypeNotFound, "source", "to a partner: there is no such source for it"}, notFound, otherPartner, refTaken, setAside, tooMany, journalFull,
		},
	},
	{
		Pattern: "GET /v1/refs/conflicts", ID: "listConflicts", Summary: "List the refs that more than one person claims; what arrives for them is held", Params: pages(),
		Answer: List[ContestedRef]{},
	},
	{
		Pattern: "POST /v1/refs/settle", ID: "settle", Summary: "Decide which person a ref belongs to; what was held for it is applied", Ask: SettleAsk{}, Answer: Settled{},
		Refuses: []Refusal{notFound, refTaken, setAside, tooMany, journalFull},
	},
}

// deliveryCalls are about endpoints, and what they are owed.
var deliveryCalls = []Call{
	{Pattern: "GET /v1/endpoints", ID: "listEndpoints", Summary: "List the endpoints, by id", Params: pages(), Answer: List[Endpoint]{}},
	{
		Pattern: "POST /v1/endpoints/{id}/pause", ID: "pause", Summary: "Pause an endpoint; its deliveries stay pending", Answer: Paused{}, Refuses: []Refusal{notFound},
	},
	{
		Pattern: "POST /v1/endpoints/{id}/resume", ID: "resume", Summary: "Re-enable a disabled or paused endpoint; its pending deliveries are sent now", Answer: Resumed{},
		Refuses: []Refusal{notFound, {http.StatusConflict, TypeConflict, "paused", "to a partner: whoever runs the gateway has paused it"}},
	},
	{
		Pattern: "POST /v1/endpoints/{id}/ping", ID: "ping", Summary: "Send a test webhook about no person, and show the response", Answer: Ping{},
		About: "It is signed like every other webhook, tried once, not stored, and also sent to a disabled or paused endpoint.", Refuses: []Refusal{notFound, tooMany},
	},
	{
		Pattern: "POST /v1/endpoints/{id}/give-up", ID: "giveUp", Summary: "Dead-letter all pending deliveries of an endpoint that is orphaned or disabled",
		About: "Reason given_up, 10,000 deliveries per call: they are kept, listed, and can be redelivered if the endpoint returns. Rejections stay listed as withheld until they are acknowledged.",
		Ask:   GiveUpAsk{}, Answer: GaveUp{},
		Refuses: []Refusal{notFound, {http.StatusConflict, TypeConflict, "endpoint_served", "the endpoint is in the config and enabled: its deliveries are sent"}},
	},
	{
		Pattern: "POST /v1/deliveries/{id}/redeliver", ID: "redeliver", Summary: "Retry a failed delivery, or send a delivered one again, or to another endpoint of the partner",
		About: "A dead-lettered one goes to its own endpoint as it is; any other is rendered again under the same webhook-id.",
		Params: []Param{
			{Name: "force", Kind: "boolean", Default: false, About: "Even if a later change of this person has been delivered since."},
			{Name: "to", Kind: "string", Max: 1024, About: "Another endpoint of the same partner; without it, its own."},
		},
		Answer: Redelivery{},
		Refuses: []Refusal{
			notFound,
			{http.StatusConflict, TypeConflict, "overtaken", "a later change of this person has been delivered since; force sends it anyway"},
			{http.StatusConflict, TypeConflict, "owed", "it is owed, and will be sent"},
			isCancelled, journalFull,
		},
	},
	{
		Pattern: "GET /v1/withheld", ID: "listWithheld", Summary: "List rejections and suspensions that an endpoint has not received",
		Params: pages(endpointParam, Param{Name: "acknowledged", Kind: "boolean", Default: false, About: "List acknowledged ones instead."}),
		Answer: List[Withheld]{},
	},
	{
		Pattern: "POST /v1/withheld/{id}/acknowledge", ID: "acknowledge", Summary: "Acknowledge one: its partner knows, so it needs no alert", About: "Nobody is told anything by that.",
		Ask: Because{}, Answer: Acknowledged{}, Refuses: []Refusal{notFound},
	},
}

// tokenCalls are about who may do what, and who has done what.
var tokenCalls = []Call{
	{Pattern: "GET /v1/whoami", ID: "whoami", Summary: "Show whose token this is, and what it may do", Answer: Identity{}},
	{Pattern: "GET /v1/tokens", ID: "listTokens", Summary: "List all tokens, including expired ones; never their secrets", Params: pages(), Answer: List[Token]{}},
	{
		Pattern: "POST /v1/tokens/{name}", ID: "makeToken", Summary: "Create a token, and show it once", Params: []Param{keyHeader}, Ask: TokenAsk{}, Answer: Token{},
		Refuses: []Refusal{
			otherRole, keyUsed, keyInUse, tooMany, {http.StatusConflict, TypeConflict, "name_taken", "there is a token of this name"}, {http.StatusConflict, TypeConflict, "too_many_tokens", "1,000 tokens are active"},
		},
	},
	{
		Pattern: "POST /v1/tokens/{name}/revoke", ID: "revokeToken", Summary: "Revoke a token immediately", Answer: Revoked{},
		Refuses: []Refusal{notFound, {http.StatusConflict, TypeConflict, "token_in_config", "the token stands in the config or in the data directory"}},
	},
	{
		Pattern: "GET /v1/audit", ID: "listAudit", Summary: "List who changed what, newest first; as a stream all of it, oldest first",
		Params: pages(
			Param{Name: "since", Kind: "string", Max: 64, About: "From this instant or day on."}, Param{Name: "until", Kind: "string", Max: 64, About: "Before this instant or day."},
			Param{Name: "actor", Kind: "string", Max: 1024, About: "Of the token with this name only."},
			Param{Name: "subject", Kind: "string", Max: 1024, About: "About this person only, as PARTNER/ID."},
			Param{Name: "endpoint", Kind: "string", Max: 1024, About: "About this endpoint only: changes of it, of its keys and of its config, and what was done with it. Not with subject."},
			Param{Name: "call", Kind: "string", Max: 1024, About: "Of calls whose pattern has this in it, in whichever case."},
			Param{Name: "ok", Kind: "boolean", About: "Only those that were done, or those that were not."},
			Param{Name: "all", Kind: "boolean", Default: false, About: "Also the entries of kind begun that another one completes."},
			Param{Name: "format", Kind: "string", Enum: []string{"json", "ndjson"}, Default: "json", About: "ndjson streams one entry a line, and so does Accept: application/x-ndjson."},
		),
		Answer: AuditList{},
	},
	{
		Pattern: "GET /v1/audit/verify", ID: "verifyAudit", Summary: "Verify the audit trail, one part per call",
		About: "Where there is more, the next call goes on with next as its cursor; the trail is sound if every answer is ok. head is one that was noted earlier: it proves that nobody has written " +
			"the whole chain anew since.",
		Params: []Param{
			{Name: "head", Kind: "string", Max: 128, About: "A head that was noted, as NUMBER:HASH."},
			{Name: "cursor", Kind: "string", Max: 1024, About: "The next of the answer before."},
		},
		Answer: AuditVerification{},
	},
	{
		Pattern: "POST /v1/reload", ID: "reload", Summary: "Reload the config that the process was started with, all of it or nothing",
		About: "With dry_run nothing is changed, and the answer shows what would change. The caller sends no part of the config.", Ask: ReloadAsk{}, Answer: Reloaded{},
		Refuses: []Refusal{
			{http.StatusUnprocessableEntity, TypeRequest, "config_refused", "the config has a mistake, or changes what needs a restart; problems lists all of them, and nothing was changed"},
			{http.StatusConflict, TypeConflict, "no_config", "the process was started without a config file"},
			{http.StatusServiceUnavailable, TypeUnavailable, "not_now", "the gateway is starting or stopping, or another reload is running"},
		},
	},
	{
		Pattern: "GET /v1/compact", ID: "compaction", Summary: "Show the progress or result of a compaction, and what one would achieve", Answer: Compaction{},
	},
	{
		Pattern: "POST /v1/compact", ID: "compact", Summary: "Start a compaction of the database file: free pages go back to the disk, and no deleted data is left in it",
		About: "It continues after the answer; GET /v1/compact shows its progress. With dry_run nothing is started.", Ask: CompactAsk{}, Answer: Compaction{},
		Refuses: []Refusal{
			{http.StatusConflict, TypeConflict, "not_compacted", "a compaction or a backup is running, or the disk has not enough room"},
			{http.StatusServiceUnavailable, TypeUnavailable, "not_now", "the gateway is starting or stopping"},
		},
	},
	{
		Pattern: "POST /v1/backup", ID: "backup", Summary: "Write a checked backup to a file on the gateway's machine", Ask: BackupAsk{}, Answer: Backup{},
		Refuses: []Refusal{{http.StatusConflict, TypeConflict, "backup_failed", "the file is there already, or cannot be written"}},
	},
}
