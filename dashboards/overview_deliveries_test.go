package dashboards

func deliveriesRow() row {
	return row{"Deliveries", []view{
		{
			title: "Attempts by result", unit: "ops", stack: true, alert: "CountersignManyEndpointsFailing",
			description: "http_2xx is accepted; everything else is tried again, except http_410, which disables the endpoint. exhausted and refused are dead-lettered. Those of one endpoint are at /metrics?endpoint=ID.",
			queries:     []query{{`sum by (reason) (rate(countersign_relay_attempt_reasons_total[$__rate_interval])) > 0`, "{{reason}}"}},
		},
		{
			title: "Failed attempts by endpoint", unit: "percentunit", max: 1, line: 0.5, alert: "CountersignEndpointFailing",
			description: "Of each endpoint's attempts, the part that was not accepted.",
			queries:     []query{{`sum by (endpoint) (rate(countersign_relay_attempts_total{endpoint=~"$endpoint",outcome!="done"}[$__rate_interval])) / sum by (endpoint) (rate(countersign_relay_attempts_total{endpoint=~"$endpoint"}[$__rate_interval]))`, "{{endpoint}}"}},
		},
		{
			title: "Repeated requests", unit: "ops",
			description: "Written once more at once, within one attempt: a connection that had been used before ended in place of an answer. Many of them: the partner closes idle connections soon, or resets.",
			queries:     []query{{`sum by (instance) (rate(countersign_relay_repeated_requests_total[$__rate_interval]))`, "{{instance}}"}},
		},
		{
			title: "Outcomes by format", unit: "ops", stack: true,
			description: "done: accepted. retry: will be tried again. dead: given up, and dead-lettered.",
			queries:     []query{{`sum by (format, outcome) (rate(countersign_relay_deliveries_total[$__rate_interval])) > 0`, "{{format}} {{outcome}}"}},
		},
		{
			title: "Attempt latency", unit: "s",
			description: "One request to a partner, failures and time-outs included.",
			queries: []query{
				{quantile("0.5", "countersign_relay_attempt_seconds"), "p50 of all"},
				{quantile("0.99", "countersign_relay_attempt_seconds"), "p99 of all"},
				{`rate(countersign_relay_endpoint_attempt_seconds_sum{endpoint=~"$endpoint"}[$__rate_interval]) / rate(countersign_relay_endpoint_attempt_seconds_count{endpoint=~"$endpoint"}[$__rate_interval])`, "mean of {{endpoint}}"},
			},
		},
		{
			title: "Callback to partner", unit: "s",
			description: "From the receipt of a callback to the partner's 2xx, whatever lay between: retries, outages, redeliveries.",
			queries: []query{
				{quantile("0.5", "countersign_relay_end_to_end_seconds"), "p50"},
				{quantile("0.99", "countersign_relay_end_to_end_seconds"), "p99"},
			},
		},
		{
			title: "Pending deliveries", unit: "none",
			description: "Deliveries that have been decided and not yet accepted.",
			queries:     []query{{`countersign_outbox_owed_deliveries{endpoint=~"$endpoint"}`, "{{endpoint}}"}},
		},
		{
			title: "Pending, as part of max_owed", unit: "percentunit", max: 1, line: 0.5, alert: "CountersignOwedHigh",
			description: "At 100 % a delivery is dead-lettered (overflow) for each that is added, with its id only.",
			queries:     []query{{`countersign_outbox_owed_deliveries{endpoint=~"$endpoint"} / (countersign_outbox_max_owed_deliveries{endpoint=~"$endpoint"} > 0)`, "{{endpoint}}"}},
		},
		{
			title: "Oldest due delivery", unit: "s", line: 300, alert: "CountersignDeliveryOldestDue",
			description: "For how long the earliest due delivery has been due. What waits for its retry is not due.",
			queries:     []query{{`countersign_outbox_oldest_due_seconds{endpoint=~"$endpoint"}`, "{{endpoint}}"}},
		},
		{
			title: "Oldest pending delivery", unit: "s", line: 21600, alert: "CountersignDeliveryPendingLong",
			description: "For how long the oldest delivery that has not been accepted has waited, due or not: also one that waits for its retry, or whose endpoint is down, paused or disabled.",
			queries:     []query{{`countersign_outbox_oldest_pending_seconds{endpoint=~"$endpoint"}`, "{{endpoint}}"}},
		},
		{
			title: "Oldest withheld rejection", unit: "s", line: 900, alert: "CountersignRejectionWithheld",
			description: "For how long a rejection or suspension has not been told, be it pending or dead-lettered, or its endpoint gone, and nobody has acknowledged it. The partner still treats that person as before. It shows all endpoints, whatever is chosen above: also those that have left the config.",
			queries:     []query{{`countersign_outbox_oldest_withheld_rejection_seconds`, "{{endpoint}}"}},
		},
		{
			title: "Expiry", unit: "s", alert: "CountersignCertificateExpiresSoon",
			description: "How long the callback listener's certificate, the client certificates shown to endpoints, and endpoint keys that have an end, still hold. The line of what has ended stands below zero.",
			queries: []query{
				{`(countersign_ingest_certificate_expires_timestamp_seconds > 0) - time()`, "certificate"},
				{`(countersign_relay_client_certificate_expires_timestamp_seconds{endpoint=~"$endpoint"} > 0) - time()`, "client certificate for {{endpoint}}"},
				{`(countersign_relay_key_expires_timestamp_seconds{endpoint=~"$endpoint"} > 0) - time()`, "key of {{endpoint}}"},
			},
		},
		{
			title: "Dead-lettered", unit: "none", alert: "CountersignDeadDeliveries",
			description: "Deliveries that ended without a 2xx and are kept until they are redelivered.",
			queries:     []query{{`countersign_outbox_dead_deliveries{endpoint=~"$endpoint"}`, "{{endpoint}}"}},
		},
		{
			title: "Dead-lettered without an attempt", unit: "ops", stack: true,
			description: "overflow: too many pending, and this gave way. overtaken: a later change has been delivered. removed: the endpoint is no longer in the config. damaged: the record fails its checksum.",
			queries:     []query{{`sum by (reason) (rate(countersign_outbox_put_down_total[$__rate_interval])) > 0`, "{{reason}}"}},
		},
		{
			title: "Breaker", unit: "none", max: 2, alert: "CountersignEndpointBreakerOpen",
			description: "2: the endpoint fails for everybody, is probed only, and its deliveries wait. 1: it is back, and gets more and more at once. 0: closed.",
			queries:     []query{{`countersign_relay_endpoint_breaker{endpoint=~"$endpoint"}`, "{{endpoint}}"}},
		},
		{
			title: "Replays", unit: "none",
			description: "Jobs that send an endpoint again what was dead-lettered, or what it was sent, by their state, and how many deliveries they order a second.",
			queries: []query{
				{`sum by (state) (countersign_relay_replays)`, "{{state}}"},
				{`sum(rate(countersign_relay_replayed_total[$__rate_interval]))`, "ordered a second"},
			},
		},
		{
			title: "Operational webhooks", unit: "ops", stack: true,
			description: "What the operator's endpoints, and partners that ask for it, are told: endpoints disabled and recovered, deliveries that were dead-lettered, keys that end.",
			queries:     []query{{`sum by (type) (rate(countersign_relay_notices_total[$__rate_interval]))`, "{{type}}"}},
		},
		{
			title: "Disabled or paused", unit: "none", max: 1, alert: "CountersignEndpointDisabled",
			description: "1: the partner answered 410 Gone or failed for days, or an operator has paused the endpoint: it gets nothing until it is resumed.",
			queries: []query{
				{`countersign_relay_endpoint_disabled{endpoint=~"$endpoint"}`, "{{endpoint}} disabled"},
				{`countersign_relay_endpoint_paused{endpoint=~"$endpoint"}`, "{{endpoint}} paused"},
			},
		},
	}}
}
