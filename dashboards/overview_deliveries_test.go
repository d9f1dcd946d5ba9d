package dashboards

func deliveriesRow() row {
	return row{"Deliveries", []view{
		{
			title: "Attempts by result", unit: "ops", stack: true, alert: "CountersignManyEndpointsFailing",
			description: "http_2xx: accepted. http_410: the endpoint is disabled. exhausted, refused: dead-lettered. Everything else is retried. For one endpoint: /metrics?endpoint=ID.",
			queries:     []query{{`sum by (reason) (rate(countersign_relay_attempt_reasons_total[$__rate_interval])) > 0`, "{{reason}}"}},
		},
		{
			title: "Failed attempts by endpoint", unit: "percentunit", max: 1, line: 0.5, alert: "CountersignEndpointFailing",
			description: "Part of each endpoint's attempts that failed.",
			queries:     []query{{`sum by (endpoint) (rate(countersign_relay_attempts_total{endpoint=~"$endpoint",outcome!="done"}[$__rate_interval])) / sum by (endpoint) (rate(countersign_relay_attempts_total{endpoint=~"$endpoint"}[$__rate_interval]))`, "{{endpoint}}"}},
		},
		{
			title: "Repeated requests", unit: "ops",
			description: "Requests sent a second time within one attempt, because a reused connection was closed before the answer. Many of them: the partner closes idle connections early.",
			queries:     []query{{`sum by (instance) (rate(countersign_relay_repeated_requests_total[$__rate_interval]))`, "{{instance}}"}},
		},
		{
			title: "Outcomes by format", unit: "ops", stack: true,
			description: "done: accepted. retry: will be tried again. dead_lettered: not tried again.",
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
			description: "From the receipt of a callback to the partner's 2xx, with retries, outages and redeliveries.",
			queries: []query{
				{quantile("0.5", "countersign_relay_end_to_end_seconds"), "p50"},
				{quantile("0.99", "countersign_relay_end_to_end_seconds"), "p99"},
			},
		},
		{
			title: "Pending deliveries", unit: "none",
			description: "Deliveries that are not accepted yet.",
			queries:     []query{{`countersign_outbox_pending_deliveries{endpoint=~"$endpoint"}`, "{{endpoint}}"}},
		},
		{
			title: "Pending, as part of max_owed", unit: "percentunit", max: 1, line: 0.5, alert: "CountersignPendingHigh",
			description: "At 100 % a delivery is dead-lettered (overflow) for each that is added, with its id only.",
			queries:     []query{{`countersign_outbox_pending_deliveries{endpoint=~"$endpoint"} / (countersign_outbox_max_pending_deliveries{endpoint=~"$endpoint"} > 0)`, "{{endpoint}}"}},
		},
		{
			title: "Oldest due delivery", unit: "s", line: 300, alert: "CountersignDeliveryOldestDue",
			description: "How long the first due delivery has been due. A delivery that waits for its retry is not due.",
			queries:     []query{{`countersign_outbox_oldest_due_seconds{endpoint=~"$endpoint"}`, "{{endpoint}}"}},
		},
		{
			title: "Oldest pending delivery", unit: "s", line: 21600, alert: "CountersignDeliveryPendingLong",
			description: "Age of the oldest pending delivery, due or not: also one that waits for its retry, or whose endpoint is down, paused or disabled.",
			queries:     []query{{`countersign_outbox_oldest_pending_seconds{endpoint=~"$endpoint"}`, "{{endpoint}}"}},
		},
		{
			title: "Oldest undelivered rejection", unit: "s", line: 900, alert: "CountersignRejectionWithheld",
			description: "Age of the oldest rejection or suspension that the partner has not accepted and no operator has acknowledged, pending or dead-lettered. The partner still treats that person as before. Shows all endpoints, also those that are not in the config any more.",
			queries:     []query{{`countersign_outbox_oldest_withheld_rejection_seconds`, "{{endpoint}}"}},
		},
		{
			title: "Expiry", unit: "s", alert: "CountersignCertificateExpiresSoon",
			description: "Time until the callback listener's certificate, the client certificates for endpoints and endpoint keys with an end expire. Below zero: expired.",
			queries: []query{
				{`(countersign_ingest_certificate_expires_timestamp_seconds > 0) - time()`, "certificate"},
				{`(countersign_relay_client_certificate_expires_timestamp_seconds{endpoint=~"$endpoint"} > 0) - time()`, "client certificate for {{endpoint}}"},
				{`(countersign_relay_key_expires_timestamp_seconds{endpoint=~"$endpoint"} > 0) - time()`, "key of {{endpoint}}"},
			},
		},
		{
			title: "Dead-lettered", unit: "none", alert: "CountersignDeadLettered",
			description: "Deliveries that ended without a 2xx. They are kept until they are redelivered.",
			queries:     []query{{`countersign_outbox_dead_lettered_deliveries{endpoint=~"$endpoint"}`, "{{endpoint}}"}},
		},
		{
			title: "Dead-lettered without an attempt", unit: "ops", stack: true,
			description: "overflow: the endpoint had too many pending deliveries. overtaken: a later change was delivered before. removed: the endpoint is not in the config. damaged: the record failed its checksum. given_up, skipped: by an operator.",
			queries:     []query{{`sum by (reason) (rate(countersign_outbox_dead_lettered_total[$__rate_interval])) > 0`, "{{reason}}"}},
		},
		{
			title: "Breaker", unit: "none", max: 2, alert: "CountersignEndpointBreakerOpen",
			description: "Circuit breaker. 0: closed. 2: open; the endpoint fails, only probes are sent, and its deliveries wait. 1: half-open; it answers again and gets more and more requests.",
			queries:     []query{{`countersign_relay_endpoint_breaker{endpoint=~"$endpoint"}`, "{{endpoint}}"}},
		},
		{
			title: "Replays", unit: "none",
			description: "Replays by state, and how many deliveries they queue per second.",
			queries: []query{
				{`sum by (state) (countersign_relay_replays)`, "{{state}}"},
				{`sum(rate(countersign_relay_replayed_total[$__rate_interval]))`, "ordered a second"},
			},
		},
		{
			title: "Operational webhooks", unit: "ops", stack: true,
			description: "Webhooks about operation, to the operator's endpoints and to partners that ask for them: endpoint disabled or recovered, deliveries dead-lettered, key about to end.",
			queries:     []query{{`sum by (type) (rate(countersign_relay_notices_total[$__rate_interval]))`, "{{type}}"}},
		},
		{
			title: "Disabled or paused", unit: "none", max: 1, alert: "CountersignEndpointDisabled",
			description: "disabled: the partner answered 410 Gone or failed for days. paused: by an operator. Nothing is sent until the endpoint is re-enabled or resumed.",
			queries: []query{
				{`countersign_relay_endpoint_disabled{endpoint=~"$endpoint"}`, "{{endpoint}} disabled"},
				{`countersign_relay_endpoint_paused{endpoint=~"$endpoint"}`, "{{endpoint}} paused"},
			},
		},
	}}
}
