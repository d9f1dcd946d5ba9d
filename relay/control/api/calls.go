package api

import "net/http"

// machineCalls are for machines: none needs a token where the listener is on a loopback address.
var machineCalls = []Call{
	{Pattern: "GET /healthz", ID: "health", Summary: "Whether the process lives, and whether it tells partners about real people", Answer: Health{}},
	{Pattern: "GET /readyz", ID: "readiness", Summary: "Whether the process should get traffic, and why not", Answer: Ready{}},
	{
		Pattern: "GET /metrics", ID: "metrics", Summary: "Metrics, for Prometheus", Media: "*/*", Answer: "",
		Params: []Param{{Name: "endpoint", Kind: "string", About: "What is counted of this endpoint alone, in place of everything."}}, Refuses: []Refusal{notFound},
	},
	{
		Pattern: "GET /v1/openapi.json", ID: "describe", Summary: "This document",
		About: "It says nothing that is secret. On a listener that others than this machine's own users reach it needs a token all the same, of whichever scope.", Answer: map[string]any{},
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
		Pattern: "GET /v1/quarantine", ID: "listQuarantine", Summary: "List bodies that could not be applied; with kind=records, records that wait for their subject",
		Params: pages(Param{Name: "kind", Kind: "string", Enum: []string{"bodies", "records"}, Default: "bodies", About: "What is listed."}),
		Answer: Either{List[QuarantinedBody]{}, List[UnroutedRecord]{}},
	},
	{
		Pattern: "GET /v1/quarantine/{id}", ID: "openBody", Summary: "Show a body in clear", Reads: true, Answer: OpenedBody{}, Refuses: []Refusal{notFound},
	},
	{
		Pattern: "POST /v1/quarantine/{id}/release", ID: "release", Summary: "Translate a body again with today's adapter and config, or give a record its subject",
		Ask: ReleaseAsk{}, MayAsk: true, Answer: Released{},
		Refuses: []Refusal{notFound, otherRole, {http.StatusConflict, TypeConflict, "still_unclear", "today's adapter makes no more of the body"}, journalFull},
	},
	{
		Pattern: "POST /v1/quarantine/{id}/discard", ID: "discard", Summary: "Take a body or a record out for good",
		About: "Of a body nothing stays but the entry in the audit trail; a record is kept and never applied.", Ask: DiscardAsk{}, MayAsk: true, Answer: Discarded{}, Refuses: []Refusal{notFound, journalFull},
	},
	{
		Pattern: "POST /v1/quarantine/{id}/take-back", ID: "takeBack", Summary: "Take a record back that was released to the wrong subject; it waits again",
		Ask: Because{}, Answer: TakenBack{}, Refuses: []Refusal{notFound, otherRole, notWhole, setAside, journalFull},
	},
	{
		Pattern: "GET /v1/questions", ID: "listQuestions", Summary: "List what providers have still to be asked", Params: pages(), Answer: List[Question]{},
	},
	{
		Pattern: "POST /v1/questions/discard", ID: "discardQuestion", Summary: "Close a question that nobody will answer; what was claimed stays as it is",
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
		About: "As a flood of forged callbacks leaves them. What was claimed stays as it is.", Ask: OldAsk{}, Answer: OldQuestions{},
	},
}

// subjectCalls are about persons and businesses, and what is asked of them.
var subjectCalls = []Call{
	{
		Pattern: "GET /v1/subjects", ID: "listSubjects", Summary: "List persons and businesses, and where they stand, by partner and id",
		About: "A page looks at 2,000 of them at most: with a filter it may have fewer entries than limit, or none, and yet have a next one.",
		Params: pages(
			Param{Name: "partner", Kind: "string", Max: 256, About: "Of this partner only. A partner's token lists its own."}, livemodeParam,
			Param{Name: "begins", Kind: "string", Max: 256, About: "Whose ids begin so; the partner has to be named."},
			Param{Name: "status", Kind: "string", Enum: []string{"not_started", "pending", "in_review", "approved", "rejected", "expired", "suspended"}, About: "Who stands so."},
			Param{Name: "held", Kind: "boolean", Default: false, About: "Only those with a sanctions or PEP match that nobody has released."},
		),
		Answer: List[ListedSubject]{}, Refuses: []Refusal{otherPartner},
	},
	{
		Pattern: "GET /v1/subjects/{partner}/{id}", ID: "subject", Summary: "Show who told us what of a person, what we made of it, and whom we told, the newest first",
		About:  "Each page says where the person stands, and what is owed of it; records and ends of deliveries are counted together. With at, all of it is as it was known and told at that instant.",
		Params: pages(livemodeParam, Param{Name: "at", Kind: "string", Format: "date-time", About: "An instant of the past."}), Answer: Subject{}, Refuses: []Refusal{notFound},
	},
	{
		Pattern: "GET /v1/subjects/{partner}/{id}/export", ID: "exportSubject", Summary: "Export everything that is kept of one person",
		About:  "Bodies are in it in clear, and so the call stands in the audit trail. It is streamed: one that ends early ends the connection.",
		Params: []Param{livemodeParam}, Reads: true, Answer: SubjectExport{}, Refuses: []Refusal{notFound},
	},
	{
		Pattern: "POST /v1/subjects/{partner}/{id}/erase", ID: "eraseSubject", Summary: "Take away everything that is kept of one person, for good",
		About:  "What is owed of them is cancelled; what is in flight may still arrive. A digest stays, with the number of the last change, and in the audit trail who asked, why, and what was decided last. It ends with a compaction of the file, which goes on after the answer. Called again, it says how far that is.",
		Params: []Param{livemodeParam}, Ask: EraseAsk{}, Answer: Erasure{},
		Refuses: []Refusal{notFound, {http.StatusServiceUnavailable, TypeUnavailable, "behind", "what was accepted before is still to be folded"}},
	},
	{
		Pattern: "GET /v1/subjects/{partner}/{id}/erasure", ID: "erasure", Summary: "How far the erasure of one person is",
		Params: []Param{livemodeParam}, Answer: Erasure{}, Refuses: []Refusal{notFound},
	},
	{
		Pattern: "POST /v1/subjects/{partner}/{id}/decisions", ID: "decide", Summary: "Decide about a subject, or see what would come of it",
		Params: []Param{livemodeParam, keyHeader}, Ask: DecisionAsk{}, Answer: Decision{}, Refuses: []Refusal{notFound, keyUsed, setAside, tooMany, journalFull},
	},
	{
		Pattern: "POST /v1/subjects/{partner}/{id}/rebuild", ID: "rebuild", Summary: "Make the state of a subject that is set aside anew",
		About:  "From its history; where that is not whole, from what is left and the status that is given.",
		Params: []Param{livemodeParam}, Ask: RebuildAsk{}, Answer: Rebuild{},
		Refuses: []Refusal{notFound, {http.StatusConflict, TypeConflict, "not_set_aside", "nothing of the subject is damaged"}, notWhole, setAside, journalFull},
	},
	{
		Pattern: "GET /v1/set-aside", ID: "listSetAside", Summary: "List the subjects of whom something is damaged", Params: pages(), Answer: List[SetAside]{},
	},
	{
		Pattern: "GET /v1/policies/{partner}", ID: "policy", Summary: "Show whom a partner's newest policy would move, and to what", Answer: Plan{}, Refuses: []Refusal{notFound},
	},
	{
		Pattern: "POST /v1/policies/{partner}/apply", ID: "applyPolicy", Summary: "Fold every subject of a partner under its newest policy", Answer: Plan{},
		Refuses: []Refusal{notFound, journalFull},
	},
	{
		Pattern: "GET /v1/users/{id}/kyc", ID: "user", Summary: "Poll where a subject stands: in BlendFi's shape, or in our own words",
		Params: []Param{
			partnerParam, livemodeParam,
			{Name: "format", Kind: "string", Enum: []string{"blendfi", "canonical"}, Default: "blendfi", About: "In which shape."},
		},
		Answer: Either{BlendFiUser{}, User{}}, Refuses: []Refusal{notFound, otherPartner, setAside},
	},
	{
		Pattern: "POST /v1/test_helpers/users/{id}/kyc", ID: "driveTest", Summary: "Drive an outcome in the sandbox, through the whole path", About: "In live mode there is no such call.",
		Params: []Param{partnerParam, keyHeader}, Ask: TestAsk{}, Answer: Tested{}, Refuses: []Refusal{notFound, otherPartner, keyUsed, setAside, tooMany, journalFull},
	},
}

// refCalls are about whose a provider's ref is.
var refCalls = []Call{
	{
		Pattern: "POST /v1/submissions", ID: "submit", Summary: "Register whose a provider's ref is", Ask: SubmissionAsk{}, Answer: Submission{},
		About: "The same again changes nothing, and is answered as the first time.",
		Refuses: []Refusal{
			{http.StatusNotFound, TypeNotFound, "source", "to a partner: there is no such source for it"}, notFound, otherPartner, refTaken, setAside, tooMany, journalFull,
		},
	},
	{
		Pattern: "GET /v1/refs/conflicts", ID: "listConflicts", Summary: "List the refs that several were said to have; what comes for them is held", Params: pages(),
		Answer: List[ContestedRef]{},
	},
	{
		Pattern: "POST /v1/refs/settle", ID: "settle", Summary: "Say whose a ref is, whoever else has claimed it; what was held for it is applied", Ask: SettleAsk{}, Answer: Settled{},
		Refuses: []Refusal{notFound, refTaken, setAside, tooMany, journalFull},
	},
}

// deliveryCalls are about endpoints, and what they are owed.
var deliveryCalls = []Call{
	{Pattern: "GET /v1/endpoints", ID: "listEndpoints", Summary: "List the endpoints, by id", Params: pages(), Answer: List[Endpoint]{}},
	{
		Pattern: "POST /v1/endpoints/{id}/pause", ID: "pause", Summary: "Send an endpoint nothing for now; what it is owed stays owed", Answer: Paused{}, Refuses: []Refusal{notFound},
	},
	{
		Pattern: "POST /v1/endpoints/{id}/resume", ID: "resume", Summary: "Take a disabled or paused endpoint up again; what it is owed goes out now", Answer: Resumed{},
		Refuses: []Refusal{notFound, {http.StatusConflict, TypeConflict, "paused", "to a partner: whoever runs the gateway has paused it"}},
	},
	{
		Pattern: "POST /v1/endpoints/{id}/ping", ID: "ping", Summary: "Post a test webhook that tells of nobody, and say what it was answered", Answer: Ping{},
		About: "It is signed like every other, tried once, kept nowhere, and reaches a disabled or paused endpoint too.", Refuses: []Refusal{notFound, tooMany},
	},
	{
		Pattern: "POST /v1/endpoints/{id}/give-up", ID: "giveUp", Summary: "Give up what is owed to an endpoint that is orphaned or disabled",
		About: "It is dead as given_up, 10,000 deliveries a call: kept, listed, and redeliverable should the endpoint come back. Rejections stay withheld until they are acknowledged.",
		Ask:   GiveUpAsk{}, Answer: GaveUp{},
		Refuses: []Refusal{notFound, {http.StatusConflict, TypeConflict, "endpoint_served", "the endpoint is in the config and enabled: what it owes is sent"}},
	},
	{
		Pattern: "POST /v1/deliveries/{id}/redeliver", ID: "redeliver", Summary: "Owe a delivery again that is dead, or was accepted; or owe it to another endpoint of its partner",
		About: "A dead one goes to its own endpoint as it is, any other is rendered anew under the same webhook-id.",
		Params: []Param{
			{Name: "force", Kind: "boolean", Default: false, About: "Even if a later change of the subject has been delivered since."},
			{Name: "to", Kind: "string", Max: 1024, About: "Another endpoint of the same partner; without it, its own."},
		},
		Answer: Redelivery{},
		Refuses: []Refusal{
			notFound,
			{http.StatusConflict, TypeConflict, "overtaken", "a later change of the subject has been delivered since; force sends it all the same"},
			{http.StatusConflict, TypeConflict, "owed", "it is owed, and will be sent"},
			isCancelled, journalFull,
		},
	},
	{
		Pattern: "GET /v1/withheld", ID: "listWithheld", Summary: "List rejections and suspensions that an endpoint has not been told of",
		Params: pages(endpointParam, Param{Name: "acknowledged", Kind: "boolean", Default: false, About: "Those that somebody has acknowledged, in place of those that nobody has."}),
		Answer: List[Withheld]{},
	},
	{
		Pattern: "POST /v1/withheld/{id}/acknowledge", ID: "acknowledge", Summary: "Say that nobody need be alarmed about one any more", About: "Nobody is told anything by that.",
		Ask: Because{}, Answer: Acknowledged{}, Refuses: []Refusal{notFound},
	},
}

// tokenCalls are about who may do what, and who has done what.
var tokenCalls = []Call{
	{Pattern: "GET /v1/whoami", ID: "whoami", Summary: "Say whose token this is, and what it may do", Answer: Identity{}},
	{Pattern: "GET /v1/tokens", ID: "listTokens", Summary: "List all tokens, those that have ended too; never themselves", Params: pages(), Answer: List[Token]{}},
	{
		Pattern: "POST /v1/tokens/{name}", ID: "makeToken", Summary: "Make a token, and show it this once", Params: []Param{keyHeader}, Ask: TokenAsk{}, Answer: Token{},
		Refuses: []Refusal{
			otherRole, keyUsed, keyInUse, tooMany, {http.StatusConflict, TypeConflict, "name_taken", "there is a token of this name"}, {http.StatusConflict, TypeConflict, "too_many_tokens", "1,000 tokens are active"},
		},
	},
	{
		Pattern: "POST /v1/tokens/{name}/revoke", ID: "revokeToken", Summary: "End a token at once", Answer: Revoked{},
		Refuses: []Refusal{notFound, {http.StatusConflict, TypeConflict, "token_in_config", "the token stands in the config or in the data directory"}},
	},
	{
		Pattern: "GET /v1/audit", ID: "listAudit", Summary: "List who changed what, the newest first; as a stream all of it, the oldest first",
		Params: pages(
			Param{Name: "since", Kind: "string", Max: 64, About: "From this instant or day on."}, Param{Name: "until", Kind: "string", Max: 64, About: "Before this instant or day."},
			Param{Name: "actor", Kind: "string", Max: 1024, About: "Of the token with this name only."},
			Param{Name: "subject", Kind: "string", Max: 1024, About: "About this person only, as PARTNER/ID."},
			Param{Name: "call", Kind: "string", Max: 1024, About: "Of calls whose pattern has this in it, in whichever case."},
			Param{Name: "ok", Kind: "boolean", About: "Only those that were done, or those that were not."},
			Param{Name: "all", Kind: "boolean", Default: false, About: "Also the entries of kind begun that another one completes."},
			Param{Name: "format", Kind: "string", Enum: []string{"json", "ndjson"}, Default: "json", About: "ndjson streams one entry a line, and so does Accept: application/x-ndjson."},
		),
		Answer: AuditList{},
	},
	{
		Pattern: "GET /v1/audit/verify", ID: "verifyAudit", Summary: "Verify the chain of the audit trail, as far as one call does",
		About: "Where there is more, the next call goes on with next as its cursor; the trail is sound if every answer is ok. head is one that was noted earlier: it proves that nobody has written " +
			"the whole chain anew since.",
		Params: []Param{
			{Name: "head", Kind: "string", Max: 128, About: "A head that was noted, as NUMBER:HASH."},
			{Name: "cursor", Kind: "string", Max: 1024, About: "The next of the answer before."},
		},
		Answer: AuditVerification{},
	},
	{
		Pattern: "POST /v1/reload", ID: "reload", Summary: "Read the config again that the process was started with, and make it count, all of it or nothing",
		About: "With dry_run nothing is changed, and the answer says what would be. Nothing of the config comes from the caller.", Ask: ReloadAsk{}, Answer: Reloaded{},
		Refuses: []Refusal{
			{http.StatusUnprocessableEntity, TypeRequest, "config_refused", "the config has a mistake, or changes what takes a restart; problems lists all, and nothing was changed"},
			{http.StatusConflict, TypeConflict, "no_config", "the process was started without a config that could be read again"},
			{http.StatusServiceUnavailable, TypeUnavailable, "not_now", "the gateway is starting or stopping, or another reload takes long"},
		},
	},
	{
		Pattern: "GET /v1/compact", ID: "compaction", Summary: "How the compaction of the database file stands, or ended, and what one would come to", Answer: Compaction{},
	},
	{
		Pattern: "POST /v1/compact", ID: "compact", Summary: "Begin to compact the database file: free pages are given back to the disk, and nothing that was deleted before is left in it",
		About: "It goes on after the answer; GET /v1/compact says how far it is. With dry_run nothing is begun.", Ask: CompactAsk{}, Answer: Compaction{},
		Refuses: []Refusal{
			{http.StatusConflict, TypeConflict, "not_compacted", "one is under way, or a backup, or there is not enough room on the disk"},
			{http.StatusServiceUnavailable, TypeUnavailable, "not_now", "the gateway is starting or stopping"},
		},
	},
	{
		Pattern: "POST /v1/backup", ID: "backup", Summary: "Make a checked backup in a file on the gateway's machine", Ask: BackupAsk{}, Answer: Backup{},
		Refuses: []Refusal{{http.StatusConflict, TypeConflict, "backup_failed", "the file is there already, or cannot be written"}},
	},
}
