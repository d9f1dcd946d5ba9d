package api

import "net/http"

// Refusals of what is done with single deliveries.
var (
	isDead      = Refusal{http.StatusConflict, TypeConflict, "dead_lettered", "the delivery is dead-lettered: redeliver it to send it again"}
	isDelivered = Refusal{http.StatusConflict, TypeConflict, "delivered", "its endpoint has accepted it"}
	isCancelled = Refusal{http.StatusConflict, TypeConflict, "cancelled", "it was cancelled: it is never sent"}
)

// steerCalls are about single deliveries: which there are, how each stands, and what is done with
// it.
var steerCalls = []Call{
	{
		Pattern: "GET /v1/deliveries", ID: "listDeliveries", Summary: "List deliveries by status, endpoint, person, type and time",
		About: "Pending ones come in the order in which they will be tried: the first of each person when it is due, then those that wait behind it. Ended ones come newest first. " +
			"Without a status all of them come one after the other: retrying, pending, dead_lettered, delivered with cancelled. " +
			"A page looks at 2,000 deliveries at most. Where few of them are asked for, such as those of one type, it may have fewer entries than limit, or none, and has_more says to go on. " +
			"What is tried, or ends, between two pages moves.",
		Params: pages(
			Param{Name: "status", Kind: "string", Enum: []string{"pending", "retrying", "delivered", "dead_lettered", "cancelled"}, About: "Left out: all of them."}, endpointParam,
			Param{Name: "partner", Kind: "string", Min: 1, Max: 256, About: "Of this partner's endpoints only. A partner's token needs none."},
			Param{Name: "subject", Kind: "string", Max: 256, About: "Of this person of the partner only."}, livemodeParam,
			Param{Name: "type", Kind: "string", Max: 256, About: "Of these changes only: a name, or its beginning and a *, such as kyc.status.*."},
			Param{Name: "since", Kind: "string", Max: 64, About: "From this instant or day on: when it ended or, if it is pending, when it was created."},
			Param{Name: "until", Kind: "string", Max: 64, About: "Before this instant or day."},
		),
		Answer: List[Delivery]{}, Refuses: []Refusal{notFound, otherPartner},
	},
	{
		Pattern: "GET /v1/deliveries/{id}", ID: "delivery", Summary: "Show one delivery in full, with its body", About: "The call is in the audit trail.",
		Reads: true, Answer: DeliveryDetail{}, Refuses: []Refusal{notFound},
	},
	{
		Pattern: "GET /v1/deliveries/{id}/attempts", ID: "deliveryAttempts", Summary: "Show the state of one delivery, its attempts and its endings",
		About:  "All that GET /v1/deliveries/{id} shows but the body, and the text of what the partner answered: of that its length and type.",
		Answer: DeliveryDetail{}, Refuses: []Refusal{notFound},
	},
	{
		Pattern: "POST /v1/deliveries/{id}/retry-now", ID: "retryNow", Summary: "Retry a delivery now, whatever its schedule says, or the one before it",
		About: "What it has failed so far still counts. While it is being tried nothing is changed.", Answer: Hurried{}, Refuses: []Refusal{notFound, isDead, isDelivered, isCancelled},
	},
	{
		Pattern: "POST /v1/deliveries/{id}/skip", ID: "skip", Summary: "Dead-letter the delivery that blocks its person, so that the next one is sent",
		About:  "It is kept, listed, and can be redelivered. A rejection or suspension stays withheld until it is acknowledged. What is being tried and arrives all the same counts as delivered.",
		Answer: Skipped{},
		Refuses: []Refusal{
			notFound, isDead, isDelivered, isCancelled, {http.StatusConflict, TypeConflict, "behind", "another of its person goes first, which the message names"},
		},
	},
	{
		Pattern: "POST /v1/deliveries/{id}/cancel", ID: "cancel", Summary: "Cancel a pending or failed delivery: it is never sent",
		About: "Its history says so and why, its body goes, and it cannot be redelivered or replayed. What is being tried and arrives all the same counts as delivered.",
		Ask:   CancelAsk{}, Answer: CancelledDelivery{},
		Refuses: []Refusal{
			notFound, isDelivered, {http.StatusConflict, TypeConflict, "restrictive", "it tells of a rejection or suspension; force cancels it all the same, and it stays withheld until it is acknowledged"},
		},
	},
	{
		Pattern: "POST /v1/endpoints/{id}/retry-now", ID: "retryAllNow", Summary: "Retry an endpoint's failed deliveries now, 10,000 per call",
		About: "They become due one after the other over some seconds, in the order in which they would have been; slots and rate hold as ever, and what each has failed so far still counts.", Answer: HurriedAll{}, Refuses: []Refusal{notFound},
	},
	{
		Pattern: "GET /v1/search", ID: "search", Summary: "Find what an id is, and where it is used",
		About:  "By the id of a change (webhook-id), of a delivery, of a record, or of a subject, or by a provider's ref, exactly. It looks by index only.",
		Params: []Param{{Name: "q", Kind: "string", Need: true, Min: 1, Max: 513, About: "The id or ref."}}, Answer: Search{},
	},
}
