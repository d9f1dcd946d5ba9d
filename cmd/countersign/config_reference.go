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
		{"listen.callbacks", "127.0.0.1:8480", "address that providers post to; a passed socket of this name replaces it. COUNTERSIGN_LISTEN_CALLBACKS overrides it"},
		{"listen.control", "127.0.0.1:8481", "address of metrics, health, API and console: keep it private. A passed socket of this name replaces it. COUNTERSIGN_LISTEN_CONTROL overrides it"},
		{"listen.control_hosts", "[]", "more names that requests may have in Host, such as the name of a service or proxy. Its own address, localhost and the address at which it is reached are always allowed; others are answered 421"},
		{"listen.metrics", "", "a loopback or private address with only /metrics, /healthz and /readyz, without a token. Not set: they are on listen.control only. COUNTERSIGN_LISTEN_METRICS overrides it"},
		{"listen.idle_timeout", "75s", "how long a provider's connection may be idle between two callbacks, 1s to 1h; must be longer than a load balancer in front keeps it"},
		{"limits", "", "how much memory and how many connections unverified clients may use; see Limits"},
		{"limits.bodies", "", "memory for all bodies that are being received. Not set: a quarter of the memory of the process, at most 48MiB, and at least the largest max_body"},
		{"limits.bodies_per_source", "", "part of limits.bodies that one source may use. Not set: half, and at least the largest max_body"},
		{"limits.bodies_per_address", "", "part of limits.bodies that one client address (of IPv6, a /64) may use. Not set: a quarter, and at least the largest max_body"},
		{"limits.connections_per_address", "", "open connections of one address that is not in trusted_proxies. Not set: a quarter of all"},
		{"tls", "", "TLS for callbacks. Not set: plain HTTP, behind a proxy with TLS"},
		{"tls.cert", "", "file: reference to the PEM certificate chain, read again when it changes"},
		{"tls.key", "", "file: reference to its PEM key"},
		{"tls.client_ca", "", "file: reference to PEM authorities, read again when it changes. Every client must then show a certificate of these authorities, in addition to what its source requires. Not set: no client certificate is required"},
		{"trusted_proxies", "[]", "networks of proxies whose X-Forwarded-For or Forwarded gives the client's address, for allow lists and limits. If both headers exist and differ, the client has no address"},
		{"sources", "", "the accounts at providers that send callbacks; may be an empty list"},
	}, sourceReference()...), append(partnerReference(), []configKey{
		{"operator", "", "the operator of the gateway"},
		{"operator.endpoints", "", "endpoints for operational webhooks (events: endpoint.disabled, endpoint.recovered, delivery.exhausted, key.expiring, or * for all, the default). Each has the keys of partners[].endpoints[]"},
		{"egress", "", "which addresses deliveries and calls to providers' APIs may reach"},
		{"egress.allow", "[]", "private or reserved networks that endpoints and providers' APIs may be in"},
		{"egress.proxy", "", "an HTTP proxy for deliveries, http://host:port or https://host:port; it receives addresses that were looked up and checked by the gateway, never names"},
		{"egress.proxy_auth", "", "env: or file: reference to its user:password"},
		{"kafka", "", "sends every update and every change to Kafka too, see docs/KAFKA.md. Not set: no Kafka"},
		{"kafka.brokers", "", "some brokers, host:port; the others are discovered"},
		{"kafka.ack", "disk", "what a callback's 200 waits for: disk, or kafka (the disk, and then all in-sync replicas)"},
		{"kafka.create", "false", "create missing topics"},
		{"kafka.partitions", "12", "partitions of created topics. If a topic has another number than when it was last written, setting that number here confirms it"},
		{"kafka.replication", "3", "replicas of created topics"},
		{"kafka.retention", "30d", "retention of created topics"},
		{"kafka.tls", "", "TLS to the brokers; {} is enough if the system trusts their authority"},
		{"kafka.tls.ca", "", "file: reference to the PEM authorities. Not set: the system's"},
		{"kafka.tls.cert", "", "file: reference to the PEM client certificate, read again at each connection"},
		{"kafka.tls.key", "", "file: reference to its PEM key"},
		{"kafka.sasl", "", "how to log in to the brokers"},
		{"kafka.sasl.mechanism", "", "plain, scram-sha-256 or scram-sha-512"},
		{"kafka.sasl.user", "", "the user"},
		{"kafka.sasl.password", "", "env: or file: reference to the password"},
		{"tracing", "", "sends traces from callback to webhook to an OpenTelemetry collector, see docs/MONITORING.md. Not set: no tracing"},
		{"tracing.endpoint", "", "the collector, OTLP over HTTP: http://host:4318 or https://…; if there is no path, /v1/traces is added"},
		{"tracing.headers", "", "headers of every request to it: the text itself, or an env: or file: reference to a secret"},
		{"tracing.sample", "1", "the part of new traces that is sampled, 0 to 1. If a genuine callback says whether its trace is sampled, that is followed, within limits"},
		{"tracing.timeout", "10s", "how long one request to it may take, 100ms to 1m; only other spans wait for it"},
		{"tracing.ca", "", "file: reference to the PEM authorities of the collector. Not set: the system's"},
		{"storage", "", "limits of the database file"},
		{"storage.max_size", "64GiB", "maximum size of the file. When it is full, callbacks are refused and deliveries continue"},
		{"storage.backlog", "1000000", "records that may wait to be evaluated, or for Kafka, before callbacks are answered 503"},
		{"retention", "", "how long data is kept; d is a day, y is 365 days"},
		{"retention.changes", "90d", "changes and ended deliveries, which can be replayed"},
		{"retention.attempts", "30d", "failed attempts of deliveries, and their answers"},
		{"retention.quarantine_bodies", "30d", "bodies of callbacks that could not be read"},
		{"retention.history", "5y", "the history of each person: what providers said, what was decided, who was told"},
		{"retention.audit", "5y", "the audit trail: calls that changed something or showed a body; refused ones stay 30 days"},
		{"tokens", "[]", "bearer tokens of the control API, in addition to <data>/operator.token"},
		{"tokens[].name", "", "who has it; recorded in the audit trail"},
		{"tokens[].sha256", "", "SHA-256 of the token, 64 hexadecimal digits"},
		{"tokens[].scope", "", "admin, operator, viewer or partner"},
		{"tokens[].partner", "", "with scope partner: the id of the only partner it sees"},
		{"log", "", "what is logged, on stderr"},
		{"log.level", "info", "debug, info, warn or error; at debug each accepted callback is logged too"},
		{"log.format", "auto", "json, text, or auto: text on a terminal, else JSON"},
		{"log.deliveries", "failures", "failures: attempts that failed, and the first delivery that an endpoint accepts after them; all: every accepted delivery too"},
	}...)...)
}

func sourceReference() []configKey {
	return append([]configKey{
		{"sources[].name", "", "the last part of the callback URL, /v1/callbacks/NAME; 1 to 64 of a-z 0-9 . - _, but not manual or test_helpers"},
		{"sources[].provider", "", "the adapter; `countersign providers` lists them"},
		{"sources[].keys", "", "env: or file: references to the signing keys, newest first; one that matches is enough. If the provider signs as Standard Webhooks do, a public key whpk_… verifies v1a"},
		{"sources[].partner", "", "the partner of all its subjects; or use partner_from"},
		{"sources[].partner_from", "", "subject_prefix (acme:user-001), or submission (registered through the API)"},
		{"sources[].check", "", "the check type of all its callbacks, or a mapping of the provider's workflows to check types. Not set: the adapter's"},
		{"sources[].workflows", "", "the provider's workflows, levels or templates whose approvals count. An approval of another or of none is kept in quarantine; rejections and the like are applied. Not set: all"},
		{"sources[].rate", "unlimited", "callbacks per second; beyond it 429"},
		{"sources[].tolerance", "", "how old a signed timestamp may be. Not set: the adapter's"},
		{"sources[].livemode", "", "whether its callbacks are about real persons. Not set: true if mode is live"},
		{"sources[].evidence", "signed", "the evidence that an approval needs to count without confirmation: signed, authenticated or network"},
		{"sources[].max_body", "1MiB", "larger callbacks are refused with 413; 1KiB to 16MiB"},
		{"sources[].token", "", "env: or file: reference to an unguessable last path segment"},
		{"sources[].allow", "", "networks that it may post from. Not set: any"},
		{"sources[].options", "", "options of the adapter, see its page"},
		{"sources[].api", "", "an account at the provider's API, to confirm callbacks or to read a stream of events; docs/PROVIDERS.md says for which providers"},
		{"sources[].api.url", "", "its address, checked like a partner's: https, or http in the sandbox; no private address unless egress.allow has it. Not set: the provider's own"},
		{"sources[].api.user", "", "the client id, partner id or user, if the provider has one"},
		{"sources[].api.key", "", "env: or file: reference to the secret"},
		{"sources[].api.rate", "", "calls per second. Not set: 5"},
		{"sources[].api.questions", "", "open questions of unverified callbacks; beyond it such callbacks are answered 503 until some are asked. Not set: 10000"},
	}, genericReference()...)
}

func genericReference() []configKey {
	keys := []configKey{
		{"sources[].generic", "", "with provider generic: an adapter for a provider that this program does not know; docs/ADDING.md has an example"},
		{"sources[].generic.version", "", "version of the mapping, in every update; raise it when you change what a body means. Not set: 1"},
		{"sources[].generic.doc", "", "the provider's page, for whoever reads this file"},
		{"sources[].generic.resolution", "", "the coarsest resolution of the provider's times: 1s, 1ms or 1us. Not set: 1us"},
		{"sources[].generic.signature", "", "how the provider signs callbacks"},
		{"sources[].generic.signature.kind", "", strings.Join(provider.GenericKinds(), ", ")},
		{"sources[].generic.signature.header", "", "the header with the signature: for hmac, timestamped, digest_suffix and header. For basic and bearer, not set: Authorization"},
		{"sources[].generic.signature.algorithm", "", "for hmac: sha1, sha256 or sha512. Not set: sha256"},
		{"sources[].generic.signature.encoding", "", "for hmac: base64 or hex. Not set: hex"},
		{"sources[].generic.signature.prefix", "", "for hmac: text before the digest, such as sha256=. For standard_webhooks: svix or webhook. Not set: webhook"},
		{"sources[].generic.signature.announce", "", "for hmac: a header in which the sender names its algorithm"},
		{"sources[].generic.signature.announced", "", "the only value of that header that is accepted"},
		{"sources[].generic.signature.member", "", "for body_hmac and body_token: the member of the body with the signature"},
		{"sources[].generic.signature.timestamp_member", "", "for body_hmac: the member with its time"},
		{"sources[].generic.signature.suffix", "", "for body_hmac: text that is signed last"},
		{"sources[].generic.signature.plain", "", "for digest_suffix: true if the secret itself is appended, not its SHA-256 in hex"},
		{"sources[].generic.signature.tolerance", "", "for timestamped, standard_webhooks and body_hmac: how old a signed time may be, or any. Not set: 5m"},
		{"sources[].generic.map", "", "an expression for each field"},
	}
	for _, k := range provider.GenericKeys() {
		keys = append(keys, configKey{"sources[].generic.map." + k.Name, "", k.Meaning})
	}
	return append(
		keys,
		configKey{"sources[].generic.statuses", "", "the status for each word of map.status: {word: status}; any other word is in_review"},
		configKey{"sources[].generic.reasons", "", "the reason for each code of map.reasons: {CODE: [reason, retryable | terminal]}, or {CODE: reason} if the code does not say which"},
	)
}

func partnerReference() []configKey {
	return []configKey{
		{"partners", "", "the partners that receive webhooks; may be an empty list"},
		{"partners[].id", "", "1 to 64 of a-z 0-9 . - _"},
		{"partners[].renamed_from", "", "the id it had before: its persons, deliveries, endpoints, policies, submissions and tokens continue with the new id; the line may stay in the file"},
		{"partners[].max_submissions", "100000", "refs registered by its own tokens that no callback has come for yet; more are answered 429"},
		{"partners[].policy", "", "what a subject needs to be approved for this partner"},
		{"partners[].policy.required", "[identity_verification]", "check types an individual needs"},
		{"partners[].policy.required_company", "[business_verification]", "check types a company needs"},
		{"partners[].policy.validity_months", "12", "how long an approval of identity_verification or business_verification is valid if the provider gives no date"},
		{"partners[].policy.validity", "", "the same for other check types, as {CHECK: months}, such as {screening: 6}; other types end only if the provider says so"},
		{"partners[].policy.notice_days", "7", "how long before its end kyc.status.expiring is sent"},
		{"partners[].endpoints", "[]", "the partner's endpoints"},
		{"partners[].endpoints[].id", "", "unique over all partners; 1 to 64 of a-z 0-9 . - _"},
		{"partners[].endpoints[].renamed_from", "", "the id it had before: its pending and dead-lettered deliveries and its kept keys move to the new id, once; the line may stay in the file"},
		{"partners[].endpoints[].url", "", "https, or http in the sandbox; no private address unless egress.allow has it"},
		{"partners[].endpoints[].format", "standard", "how changes are written and signed; `countersign formats` lists them"},
		{"partners[].endpoints[].keys", "", "env: or file: references, newest first: whsec_… signs v1, whsk_… (ed25519) signs v1a, for formats signed as Standard Webhooks. Not set: the gateway makes and rotates them; the first is in <data>/endpoint-ID.key, or is shown once on a terminal"},
		{"partners[].endpoints[].keys[].key", "", "the reference of a key with an end"},
		{"partners[].endpoints[].keys[].until", "", "when that key stops signing"},
		{"partners[].endpoints[].events", "[kyc.status.*]", "types that are sent, such as kyc.check.* and kyc.document.*; * for all"},
		{"partners[].endpoints[].filter", "", "a condition on the change, such as change.status == \"rejected\"; the end of an approval that this endpoint received is sent even if the condition does not match"},
		{"partners[].endpoints[].concurrency", "16", "deliveries in flight at once, 1 to 1000"},
		{"partners[].endpoints[].rate", "unlimited", "deliveries per second"},
		{"partners[].endpoints[].timeout", "15s", "timeout of a whole attempt, 100ms to 2m"},
		{"partners[].endpoints[].max_owed", "1000000", "maximum pending deliveries. Beyond it one is dead-lettered as overflow and can be replayed: first one that a later decision about the same person follows"},
		{"partners[].endpoints[].since", "always", "changes recorded before this time are not sent"},
		{"partners[].endpoints[].tls", "", "TLS of the connections to it; replaced files are used within ten seconds"},
		{"partners[].endpoints[].tls.ca", "", "file: reference to the PEM authorities that are trusted, and no others. Not set: the system's"},
		{"partners[].endpoints[].tls.cert", "", "file: reference to the PEM client certificate, with its chain"},
		{"partners[].endpoints[].tls.key", "", "file: reference to its PEM key"},
		{"partners[].endpoints[].headers", "", "headers of every request, as {NAME: value}; a value is the text itself, or an env: or file: reference. At most 32, of 16 KiB together; none that HTTP, the format or its signature sets"},
		{"partners[].endpoints[].auth", "", "credentials sent as Authorization: basic or bearer"},
		{"partners[].endpoints[].auth.basic", "", "a user name and a password"},
		{"partners[].endpoints[].auth.basic.user", "", "the user name, without a colon"},
		{"partners[].endpoints[].auth.basic.password", "", "env: or file: reference to the password"},
		{"partners[].endpoints[].auth.bearer", "", "env: or file: reference to the token"},
		{"partners[].endpoints[].retry", "", "the schedule of attempts"},
		{"partners[].endpoints[].retry.first", "5s", "wait after the first failure"},
		{"partners[].endpoints[].retry.factor", "3", "each wait is so many times the one before"},
		{"partners[].endpoints[].retry.max", "12h", "no wait is longer"},
		{"partners[].endpoints[].retry.jitter", "0.2", "each wait varies by this fraction, either way"},
		{"partners[].endpoints[].retry.attempts", "15", "after so many the delivery is dead-lettered, and can be replayed"},
		{"partners[].endpoints[].retry.max_retry_after", "1h", "a longer Retry-After is cut to this; for a rejection or suspension to 5m"},
		{"partners[].endpoints[].disable_after", "5d", "after so long with only failures it is disabled until it is resumed; or never"},
	}
}
