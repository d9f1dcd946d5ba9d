package main

import (
	"strings"

	"countersign/ingest/provider"
)

// configKey explains one key of the config: for docs/CONFIGURATION.md and for `countersign check
// --explain`.
type configKey struct {
	Key     string // sources[].name: an item of a list is []
	Default string // as it would stand in the file; "" where there is none
	Meaning string
}

// configReference lists every key there is, in the order of the example. Tests hold it to the
// loader's tables and to the loader's defaults.
func configReference() []configKey {
	return append(append([]configKey{
		{"mode", "sandbox", "sandbox, or live: https endpoints only, no test helpers. COUNTERSIGN_MODE overrides it"},
		{"data", "./data", "directory of the database and the key file, relative to the working directory. COUNTERSIGN_DATA overrides it"},
		{"listen", "", "the addresses served"},
		{"listen.callbacks", "127.0.0.1:8480", "where providers post, unless a socket of that name is passed. COUNTERSIGN_LISTEN_CALLBACKS overrides it"},
		{"listen.control", "127.0.0.1:8481", "metrics, health, API and console, unless a socket of that name is passed: keep it private. COUNTERSIGN_LISTEN_CONTROL overrides it"},
		{"listen.control_hosts", "[]", "names that callers of it may say in Host, beside its own address, localhost and the address they reach it at: that of a service, or of a proxy. Others are answered 421"},
		{"listen.metrics", "", "a loopback or private address for /metrics, /healthz and /readyz alone, without a token; without it, they are on listen.control only. COUNTERSIGN_LISTEN_METRICS overrides it"},
		{"listen.idle_timeout", "75s", "how long a provider's connection may rest between two callbacks; longer than whatever load balancer is in front keeps it, 1s to 1h"},
		{"limits", "", "what strangers can make the callbacks' listener hold; see Limits"},
		{"limits.bodies", "", "memory for all bodies that are on their way; without it, a quarter of what the process may have, at most 48MiB, and at least the largest max_body"},
		{"limits.bodies_per_source", "", "of these, bodies to one source; without it, half, and at least the largest max_body"},
		{"limits.bodies_per_address", "", "of these, bodies of one client address (of IPv6, a /64); without it, a quarter, and at least the largest max_body"},
		{"limits.connections_per_address", "", "open connections of one address, unless it is in trusted_proxies; without it, a quarter of all there may be"},
		{"tls", "", "serve callbacks over TLS; without it, plain HTTP behind a proxy that does"},
		{"tls.cert", "", "file: reference to the PEM certificate chain, read again when it changes"},
		{"tls.key", "", "file: reference to its PEM key"},
		{"tls.client_ca", "", "file: reference to PEM authorities, read again when it changes: every client then has to show a certificate of theirs, beside what its source asks for. Without it, none has to"},
		{"trusted_proxies", "[]", "networks whose X-Forwarded-For or Forwarded says who a client is, for allow lists and limits; where both are there and differ, nobody is"},
		{"sources", "", "the accounts at providers that post to us; may be an empty list"},
	}, sourceReference()...), append(partnerReference(), []configKey{
		{"operator", "", "whoever runs the gateway"},
		{"operator.endpoints", "", "where operational webhooks go (events: endpoint.disabled, endpoint.recovered, delivery.exhausted, key.expiring, or * for all, which is the default). Each has the keys of partners[].endpoints[]"},
		{"egress", "", "what deliveries, and calls of providers' APIs, may reach"},
		{"egress.allow", "[]", "private or reserved networks that endpoints and providers' APIs may be in all the same"},
		{"egress.proxy", "", "an HTTP proxy for deliveries, http://host:port or https://host:port; it is given addresses that were looked up and judged here, never names"},
		{"egress.proxy_auth", "", "env: or file: reference to its user:password"},
		{"kafka", "", "every update and every change goes to Kafka too, see docs/KAFKA.md; without it, nowhere"},
		{"kafka.brokers", "", "addresses to begin with, host:port"},
		{"kafka.ack", "disk", "what a callback's 200 waits for: disk, or kafka (the disk, and then all in-sync replicas)"},
		{"kafka.create", "false", "create the topics that are missing"},
		{"kafka.partitions", "12", "of the topics created. Where a topic has another number than when it was last written to, stating that number here accepts it"},
		{"kafka.replication", "3", "of the topics created"},
		{"kafka.retention", "30d", "of the topics created"},
		{"kafka.tls", "", "talk TLS to the brokers; {} is enough where the system knows their authority"},
		{"kafka.tls.ca", "", "file: reference to the PEM authorities; without it, the system's"},
		{"kafka.tls.cert", "", "file: reference to the PEM client certificate, read again at each connection"},
		{"kafka.tls.key", "", "file: reference to its PEM key"},
		{"kafka.sasl", "", "how to log in at the brokers"},
		{"kafka.sasl.mechanism", "", "plain, scram-sha-256 or scram-sha-512"},
		{"kafka.sasl.user", "", "the user"},
		{"kafka.sasl.password", "", "env: or file: reference to the password"},
		{"tracing", "", "traces from callback to webhook go to an OpenTelemetry collector, see Traces; without it, nothing is traced"},
		{"tracing.endpoint", "", "the collector, OTLP over HTTP: http://host:4318 or https://…; without a path, /v1/traces is added"},
		{"tracing.headers", "", "what every request to it carries: a text, or an env: or file: reference to a secret"},
		{"tracing.sample", "1", "the part of new traces that is sampled, 0 to 1; a genuine callback that says itself whether its trace is sampled is followed, within bounds"},
		{"tracing.timeout", "10s", "how long one request to it may take, 100ms to 1m; nothing but other spans waits for it"},
		{"tracing.ca", "", "file: reference to the PEM authorities of the collector; without it, the system's"},
		{"storage", "", "bounds of the one file"},
		{"storage.max_size", "64GiB", "the file never grows beyond this; when it is full, callbacks are refused and deliveries go on"},
		{"storage.backlog", "1000000", "records that may wait for the relay, or for Kafka, before callbacks are refused with 503"},
		{"retention", "", "how long what is kept; d is a day, y 365 days"},
		{"retention.changes", "90d", "changes and settled deliveries, which can be replayed"},
		{"retention.attempts", "30d", "the single attempts of deliveries that failed, and what was answered"},
		{"retention.quarantine_bodies", "30d", "bodies of callbacks that could not be read"},
		{"retention.history", "5y", "the history of each person: what providers said, what was concluded, who was told"},
		{"retention.audit", "5y", "the audit trail: calls that changed something or showed a body; refused ones stay 30 days"},
		{"tokens", "[]", "bearer tokens of the control API, beside the one in <data>/operator.token"},
		{"tokens[].name", "", "who holds it; recorded in the audit trail"},
		{"tokens[].sha256", "", "SHA-256 of the token, 64 hexadecimal digits"},
		{"tokens[].scope", "", "admin, operator, viewer or partner"},
		{"tokens[].partner", "", "with scope partner: the id of the only partner it sees"},
		{"log", "", "what is logged, on stderr"},
		{"log.level", "info", "debug, info, warn or error; at debug each callback that is taken is logged too"},
		{"log.format", "auto", "json, text, or auto: text on a terminal, else JSON"},
		{"log.deliveries", "failures", "failures: attempts that failed, and the first delivery an endpoint accepts after them; all: each that is accepted, too"},
	}...)...)
}

func sourceReference() []configKey {
	return append([]configKey{
		{"sources[].name", "", "the last part of the callback URL, /v1/callbacks/NAME; 1 to 64 of a-z 0-9 . - _, but not manual or test_helpers"},
		{"sources[].provider", "", "the adapter; `countersign providers` lists them"},
		{"sources[].keys", "", "env: or file: references to the signing keys, newest first; any verifies. Where the provider signs as Standard Webhooks do, a public key whpk_… verifies v1a"},
		{"sources[].partner", "", "the partner all its subjects belong to; or use partner_from"},
		{"sources[].partner_from", "", "subject_prefix (acme:user-001), or submission (registered through the API)"},
		{"sources[].check", "", "the check type of all its callbacks, or a mapping of the provider's workflows to check types; without it, the adapter's"},
		{"sources[].workflows", "", "the provider's workflows, levels or templates whose approvals count; one of another, or of none, is kept in quarantine, while whatever takes away is applied. Without it, all"},
		{"sources[].rate", "unlimited", "callbacks per second; beyond it 429"},
		{"sources[].tolerance", "", "how old a signed timestamp may be; without it, the adapter's"},
		{"sources[].livemode", "", "whether its callbacks are about real people; without it, whether mode is live"},
		{"sources[].evidence", "signed", "what an approval needs to count without confirmation: signed, authenticated or network"},
		{"sources[].max_body", "1MiB", "larger callbacks are refused with 413; 1KiB to 16MiB"},
		{"sources[].token", "", "env: or file: reference to an unguessable last path segment"},
		{"sources[].allow", "", "networks it may post from; without it, any"},
		{"sources[].options", "", "what the adapter's page says can vary"},
		{"sources[].api", "", "an account at the provider's API, with which what callbacks leave open is asked, or a stream of events followed; docs/PROVIDERS.md says of which providers"},
		{"sources[].api.url", "", "its address, judged like a partner's: https, and http in the sandbox; no private address unless egress.allow has it. Without it, the provider's own"},
		{"sources[].api.user", "", "the client id, partner id or user, where the provider has one"},
		{"sources[].api.key", "", "env: or file: reference to the secret"},
		{"sources[].api.rate", "", "calls per second; without it, 5"},
		{"sources[].api.questions", "", "open questions of callbacks that proved nothing of who sent them; beyond it such callbacks are answered 503 until some are asked. Without it, 10000"},
	}, genericReference()...)
}

func genericReference() []configKey {
	keys := []configKey{
		{"sources[].generic", "", "with provider generic: an adapter for a provider that this program does not know; docs/ADDING.md has an example"},
		{"sources[].generic.version", "", "of the mapping, told with every update; raise it when you change what a body means. Without it, 1"},
		{"sources[].generic.doc", "", "the provider's page, for whoever reads this file"},
		{"sources[].generic.resolution", "", "of the provider's times, the coarsest it has: 1s, 1ms or, without it, 1us"},
		{"sources[].generic.signature", "", "how it proves that a callback is its own"},
		{"sources[].generic.signature.kind", "", strings.Join(provider.GenericKinds(), ", ")},
		{"sources[].generic.signature.header", "", "where the proof stands: of hmac, timestamped, digest_suffix and header; of basic and bearer, without it, Authorization"},
		{"sources[].generic.signature.algorithm", "", "of hmac: sha1, sha512 or, without it, sha256"},
		{"sources[].generic.signature.encoding", "", "of hmac: base64 or, without it, hex"},
		{"sources[].generic.signature.prefix", "", "of hmac: what stands before the digest, such as sha256=; of standard_webhooks: svix or, without it, webhook"},
		{"sources[].generic.signature.announce", "", "of hmac: a header in which the sender names its algorithm"},
		{"sources[].generic.signature.announced", "", "the only value of that header that is accepted"},
		{"sources[].generic.signature.member", "", "of body_hmac and body_token: the member of the body that holds the proof"},
		{"sources[].generic.signature.timestamp_member", "", "of body_hmac: the member that holds its time"},
		{"sources[].generic.signature.suffix", "", "of body_hmac: what is signed last"},
		{"sources[].generic.signature.plain", "", "of digest_suffix: true where the secret itself is appended, not its SHA-256 in hex"},
		{"sources[].generic.signature.tolerance", "", "of timestamped, standard_webhooks and body_hmac: how old a signed time may be, or any; without it, 5m"},
		{"sources[].generic.map", "", "an expression for each thing that a body says"},
	}
	for _, k := range provider.GenericKeys() {
		keys = append(keys, configKey{"sources[].generic.map." + k.Name, "", k.Meaning})
	}
	return append(
		keys,
		configKey{"sources[].generic.statuses", "", "what the words that map.status gives mean: {word: status}; any other word is in_review"},
		configKey{"sources[].generic.reasons", "", "what the codes that map.reasons gives mean: {CODE: [reason, retryable | terminal]}, or {CODE: reason} where the code does not say"},
	)
}

func partnerReference() []configKey {
	return []configKey{
		{"partners", "", "the partners that receive webhooks; may be an empty list"},
		{"partners[].id", "", "1 to 64 of a-z 0-9 . - _"},
		{"partners[].renamed_from", "", "the id it had: its people, deliveries, endpoints, policies, submissions and tokens go on under the new one; the key may stay in the file"},
		{"partners[].max_submissions", "100000", "refs that its own tokens may have registered that no callback has come for yet; more are answered 429"},
		{"partners[].policy", "", "what a subject needs to be approved for this partner"},
		{"partners[].policy.required", "[identity_verification]", "check types an individual needs"},
		{"partners[].policy.required_company", "[business_verification]", "check types a company needs"},
		{"partners[].policy.validity_months", "12", "how long an approval of identity_verification or business_verification holds when the provider gives no date"},
		{"partners[].policy.validity", "", "the same for other check types, as {CHECK: months}, such as {screening: 6}; a type that is not named ends only when its provider says so"},
		{"partners[].policy.notice_days", "7", "how long before its end kyc.status.expiring is sent"},
		{"partners[].endpoints", "[]", "the partner's endpoints"},
		{"partners[].endpoints[].id", "", "unique over all partners; 1 to 64 of a-z 0-9 . - _"},
		{"partners[].endpoints[].renamed_from", "", "the id it had before: its pending and dead-lettered deliveries and its kept keys move to the new id, once; the line may stay in the file"},
		{"partners[].endpoints[].url", "", "https, and http in the sandbox; no private address unless egress.allow has it"},
		{"partners[].endpoints[].format", "standard", "how changes are written and signed; `countersign formats` lists them"},
		{"partners[].endpoints[].keys", "", "env: or file: references, newest first: whsec_… signs v1, whsk_… (ed25519) v1a, where the format is signed as Standard Webhooks are; without it, they are kept and rotated by the gateway, and the first is handed over in <data>/endpoint-ID.key, or shown once on a terminal"},
		{"partners[].endpoints[].keys[].key", "", "the reference of a key that ends"},
		{"partners[].endpoints[].keys[].until", "", "when that key is no longer offered"},
		{"partners[].endpoints[].events", "[kyc.status.*]", "types sent; kyc.check.* and kyc.document.* on request, * for all"},
		{"partners[].endpoints[].filter", "", "a condition on the change, such as change.status == \"rejected\"; the end of an approval that this endpoint received is sent even if the condition does not match"},
		{"partners[].endpoints[].concurrency", "16", "deliveries under way at once, 1 to 1000"},
		{"partners[].endpoints[].rate", "unlimited", "deliveries per second"},
		{"partners[].endpoints[].timeout", "15s", "for a whole attempt, 100ms to 2m"},
		{"partners[].endpoints[].max_owed", "1000000", "pending deliveries at most; beyond it one is dead-lettered as overflow and can be replayed: first what a later decision about the same person follows"},
		{"partners[].endpoints[].since", "always", "changes recorded before this time are not sent"},
		{"partners[].endpoints[].tls", "", "for the connections to it; files that are replaced are followed within ten seconds"},
		{"partners[].endpoints[].tls.ca", "", "file: reference to the PEM authorities that are believed, and no others; without it, the system's"},
		{"partners[].endpoints[].tls.cert", "", "file: reference to the PEM client certificate, with its chain"},
		{"partners[].endpoints[].tls.key", "", "file: reference to its PEM key"},
		{"partners[].endpoints[].headers", "", "with every request, as {NAME: value}; a value is the text itself, or an env: or file: reference. At most 32, of 16 KiB together; none that HTTP, the format or its signature sets"},
		{"partners[].endpoints[].auth", "", "what a server in front of it wants, sent as Authorization: one of basic and bearer"},
		{"partners[].endpoints[].auth.basic", "", "a user name and a password"},
		{"partners[].endpoints[].auth.basic.user", "", "the user name, without a colon"},
		{"partners[].endpoints[].auth.basic.password", "", "env: or file: reference to the password"},
		{"partners[].endpoints[].auth.bearer", "", "env: or file: reference to the token"},
		{"partners[].endpoints[].retry", "", "the schedule of attempts"},
		{"partners[].endpoints[].retry.first", "5s", "wait after the first failure"},
		{"partners[].endpoints[].retry.factor", "3", "each wait is this many times the last"},
		{"partners[].endpoints[].retry.max", "12h", "no wait is longer"},
		{"partners[].endpoints[].retry.jitter", "0.2", "each wait varies by this fraction, either way"},
		{"partners[].endpoints[].retry.attempts", "15", "after so many the delivery is dead-lettered, and can be replayed"},
		{"partners[].endpoints[].retry.max_retry_after", "1h", "no Retry-After of its answers is obeyed for longer; of one about a rejection or suspension 5m at most"},
		{"partners[].endpoints[].disable_after", "5d", "after so long of nothing but failures it is disabled, until it is resumed; or never"},
	}
}
