package main

// manual has a page for every command. A test holds it to the command line: each command has one,
// and each example can be typed.
var manual = map[string]page{
	"serve": {
		about:    "It runs until an interrupt or SIGTERM, and reads its config again for each SIGHUP. Its log is on stderr.",
		examples: []string{"serve", "serve --config /etc/countersign.yaml", "serve --role ingest"},
		no:       "it could not start, or a part of it failed", next: "countersign check, docs/CONFIGURATION.md",
		plain: "its log is JSON already, where stderr is no terminal.",
	},
	"demo": {
		examples: []string{"demo", "demo --keep", "demo --kafka 127.0.0.1:9092"},
		no:       "something of the story did not happen", next: "README.md", plain: "it is a story for people; its exit code is what a script needs.",
	},
	"check": {
		examples: []string{"check", "check --config /etc/countersign.yaml --json", "check --against ./data", "check --file ./data/countersign.db", "check --explain"},
		no:       "there are problems", next: "docs/CONFIGURATION.md",
	},
	"health": {
		about:    "It is made for probes: the image of the Dockerfile has no other program in it. A gateway that checks its file lives, and is not ready.",
		examples: []string{"health", "health --ready", "health --url http://10.0.0.7:9100 --json"},
		next:     "countersign doctor, docs/OPERATIONS.md, Start, stop, health",
	},
	"doctor": {
		about:    "On the gateway's machine it reads the config; elsewhere a URL and a token are enough, and it says what the gateway itself knows.",
		examples: []string{"doctor", "doctor --ping", "doctor --url https://gateway.example:8481 --json"},
		no:       "something is bad", next: "docs/OPERATIONS.md, At 3 a.m.",
	},
	"providers": {examples: []string{"providers", "providers sumsub", "providers --json"}, next: "docs/PROVIDERS.md"},
	"monitoring rules": {
		about:    "Prometheus loads them with rule_files. Each alert has a link to its runbook and to the dashboard; the flags say where those are.",
		examples: []string{"monitoring rules", "monitoring rules --runbooks https://wiki.example/countersign --grafana https://grafana.example"},
		next:     "countersign monitoring runbook, docs/MONITORING.md, Metrics", plain: "it prints YAML.",
	},
	"monitoring dashboard": {
		about:    "Grafana imports it, or finds it in a directory that it is provisioned with.",
		examples: []string{"monitoring dashboard", "monitoring dashboard --console https://gateway.example:8481"},
		next:     "countersign monitoring rules, docs/MONITORING.md, Metrics", plain: "it prints JSON.",
	},
	"monitoring alertmanager": {examples: []string{"monitoring alertmanager"}, next: "countersign monitoring rules", plain: "it prints YAML."},
	"monitoring runbook": {
		examples: []string{"monitoring runbook", "monitoring runbook CountersignTargetMissing"},
		no:       "there is no such alert", next: "docs/OPERATIONS.md, At 3 a.m.", plain: "it prints Markdown.",
	},
	"formats": {examples: []string{"formats", "formats --json"}, next: "docs/FORMATS.md"},
	"verify": {
		about:    "It needs the callback's body byte for byte, its headers and the source's key, and no gateway.",
		examples: []string{"verify --provider sumsub --key env:SUMSUB_KEY --headers headers.json --body body.json", "verify --provider generic --config countersign.yaml --source facecheck --key env:KEY --headers headers.json --body -"},
		no:       "it is not genuine", next: "countersign translate",
	},
	"translate": {
		about:    "It prints JSON, with or without --json.",
		examples: []string{"translate --provider sumsub --headers headers.json --body body.json", "translate --provider onfido --body -"},
		no:       "the body cannot be read", next: "countersign verify, docs/STATUS.md",
	},
	"sign": {
		examples: []string{"sign --scheme standard --key env:ACME_KEY --body body.json", "sign --scheme blendfi --key file:acme.key --body - --id evt_1 --at 1767225600"},
		next:     "docs/FORMATS.md, countersign listen",
	},
	"trigger": {
		about:    "It is signed with the source's key, so it needs the config and that key, and counts as the provider's own word: it is for test people, in the sandbox, and nothing overrules that.",
		examples: []string{"trigger sumsub-eu approved", "trigger sumsub-eu rejected_retry --subject user-002 --json"},
		no:       "it was not answered 200, or may not be sent", next: "countersign providers, countersign subject",
	},
	"listen": {
		examples: []string{"listen", "listen --key env:ACME_KEY --format standard", "listen --addr 127.0.0.1:9000 --key file:acme.key --forward-to http://127.0.0.1:8080/kyc"},
		next:     "docs/FORMATS.md", plain: "it prints what comes, until an interrupt.",
	},
	"subject show": {
		examples: []string{"subject acme user-001", "subject show acme user-001 --json", "subject acme user-001 --livemode"},
		next:     "countersign decide, docs/STATUS.md",
	},
	"subject export": {examples: []string{"subject export acme user-001 --out user-001.json"}, plain: "it prints JSON.", next: "docs/PERSONS.md, One person"},
	"subject erase": {
		examples: []string{`subject erase acme user-001 --because "asked for by letter, ticket 4713" --dry-run`, `subject erase acme user-001 --because "asked for by letter, ticket 4713"`},
		about:    "It says what would go, and asks; --yes does it at once, and --dry-run only says it. It ends when the file has been compacted, or after --wait.",
		no:       "it was refused, or somebody said no", next: "docs/PERSONS.md, Erasure",
	},
	"subject aside": {examples: []string{"subject aside", "subject aside --all --json"}, next: "countersign subject rebuild"},
	"subject rebuild": {
		examples: []string{`subject rebuild acme user-001 --because "disk repaired, ticket 4711"`, `subject rebuild acme user-001 --because "their support: a pass" --status approved --check identity_verification`},
		next:     "docs/RELIABILITY.md",
	},
	"decide": {
		about:    "It shows what would come of it, and asks; --yes does it at once, and --dry-run only shows it. With --key, the same call is the same decision, however often it is made.",
		examples: []string{`decide acme user-001 --source sumsub-eu --check identity_verification --status approved --because "seen in person" --yes`, `decide acme user-001 --manual --check screening --release --because "a namesake" --dry-run`},
		no:       "it was refused, somebody said no, or there was nothing to release", next: "countersign subject, docs/CASES.md",
	},
	"submit": {
		examples: []string{"submit acme user-001 sumsub-eu applicant-77", "submit acme firm-9 middesk business-12 --kind company --livemode"},
		next:     "countersign refs, countersign quarantine --records",
	},
	"refs list": {examples: []string{"refs", "refs list --all --json"}, next: "countersign refs settle"},
	"refs settle": {
		examples: []string{`refs settle sumsub-eu applicant-77 --partner acme --subject user-001 --because "the provider's dashboard says so, ticket 4812"`},
		next:     "countersign subject",
	},
	"deliveries list": {
		examples: []string{"deliveries", "deliveries --dead-lettered --endpoint acme-main --all --json", "deliveries --status retrying", "deliveries --partner acme --subject user-001 --type 'kyc.status.*'", "deliveries --status delivered --since 2026-11-30"},
		next:     "countersign deliveries show, countersign redeliver, countersign withheld",
	},
	"deliveries show": {
		examples: []string{"deliveries show evt_01M8NPQS8478RH2PXW98RPTV12@acme-main"},
		next:     "countersign deliveries retry-now, countersign deliveries skip",
	},
	"deliveries retry-now": {
		examples: []string{"deliveries retry-now evt_01M8NPQS8478RH2PXW98RPTV12@acme-main"},
		no:       "it was refused, for example because the delivery is dead-lettered or delivered", next: "countersign endpoints retry-now, countersign redeliver",
	},
	"deliveries skip": {
		examples: []string{"deliveries skip evt_01M8NPQS8478RH2PXW98RPTV12@acme-main"},
		no:       "it was refused, as where another delivery of the person goes first", next: "countersign deliveries cancel, countersign withheld",
	},
	"deliveries cancel": {
		examples: []string{"deliveries cancel evt_01M8NPQS8478RH2PXW98RPTV12@acme-main --because \"a test person, ticket 4815\"", "deliveries cancel evt_01M8NPQS8478RH2PXW98RPTV12@acme-main --because \"told by telephone\" --force"},
		no:       "it was refused, as where it tells of a rejection and --force is not said", next: "countersign withheld acknowledge",
	},
	"find": {
		examples: []string{"find evt_01M8NPQS8478RH2PXW98RPTV12", "find applicant-88", "find user-001 --json"},
		no:       "nothing is found", next: "countersign subject show, countersign deliveries show",
	},
	"redeliver": {
		examples: []string{"redeliver evt_01M8NPQS8478RH2PXW98RPTV12@acme-main", "redeliver evt_01M8NPQS8478RH2PXW98RPTV12@acme-main --force", "redeliver evt_01M8NPQS8478RH2PXW98RPTV12@acme-main --to acme-new"},
		no:       "it was refused, as where a later change of the person has been delivered since", next: "countersign deliveries",
	},
	"replay list":          {examples: []string{"replay", "replay list --all --json"}, next: "countersign replay show"},
	"replay show":          {examples: []string{"replay show REPLAY_ID", "replay show REPLAY_ID --json"}},
	"replay dead-lettered": {examples: []string{"replay dead-lettered acme-main --because \"their outage has ended\"", "replay dead-lettered acme-main --dry-run", "replay dead-lettered acme-old --to acme-main --rate 50 --wait"}, next: "countersign replay show, countersign deliveries"},
	"replay range":         {examples: []string{"replay range acme-main --since 2026-11-30T08:00:00Z --until 2026-11-30T09:00:00Z --dry-run"}, next: "countersign replay show"},
	"replay current":       {examples: []string{"replay current acme-new --rate 200 --wait"}, next: "countersign replay show"},
	"replay pause":         {examples: []string{"replay pause REPLAY_ID"}, next: "countersign replay resume"},
	"replay resume":        {examples: []string{"replay resume REPLAY_ID"}, next: "countersign replay show"},
	"replay cancel":        {examples: []string{"replay cancel REPLAY_ID"}, next: "countersign replay list"},
	"withheld list": {
		examples: []string{"withheld", "withheld list --endpoint acme-main", "withheld list --acknowledged --json"},
		next:     "countersign withheld acknowledge, countersign redeliver",
	},
	"withheld acknowledge": {
		examples: []string{`withheld acknowledge evt_01M8NPQS8478RH2PXW98RPTV12@acme-main --reason "told Ms Ray at Acme by telephone"`},
		next:     "countersign withheld",
	},
	"partners list":   {examples: []string{"partners", "partners list --json"}, next: "countersign partners create"},
	"partners show":   {examples: []string{"partners show acme", "partners show acme --json"}, next: "countersign partners update, countersign policy"},
	"partners create": {examples: []string{"partners create acme", "partners create acme --required identity_verification,screening --notice-days 14"}, next: "countersign endpoints create"},
	"partners update": {examples: []string{"partners update acme --validity-months 6", "partners update acme --notice-days 14 --if-version 3"}, no: "it was refused, as where --if-version is not its version any more"},
	"partners remove": {examples: []string{"partners remove acme", "partners remove acme --dry-run"}, next: "countersign endpoints give-up"},
	"endpoints list":  {examples: []string{"endpoints", "endpoints list --all --json"}, next: "countersign endpoints show, countersign deliveries"},
	"endpoints show":  {examples: []string{"endpoints show acme-main", "endpoints show acme-main --json"}},
	"endpoints create": {
		about:    "Its --url is the URL of the endpoint; the gateway is named with --gateway or COUNTERSIGN_URL.",
		examples: []string{"endpoints create acme acme-main --url https://hooks.example.com/kyc --out acme.key", "endpoints create acme acme-test --url https://hooks.example.com/test --events kyc.status.rejected --header X-Env=env:ACME_ENV --out test.key"},
		next:     "countersign endpoints ping, docs/FORMATS.md",
	},
	"endpoints update": {
		about:    "Its --url is the URL of the endpoint; the gateway is named with --gateway or COUNTERSIGN_URL.",
		examples: []string{"endpoints update acme-main --timeout 5s", "endpoints update acme-main --disable-after never --if-version 2"},
		no:       "it was refused, as where --if-version is not its version any more",
	},
	"endpoints remove": {examples: []string{"endpoints remove acme-main", "endpoints remove acme-main --dry-run"}, next: "countersign endpoints give-up"},
	"endpoints give-up": {
		about:    "It says what it would give up, and asks; --yes does it at once, and --dry-run only says it.",
		examples: []string{"endpoints give-up acme-old --yes", "endpoints give-up acme-old --dry-run"},
		no:       "it was refused, or somebody said no", next: "countersign withheld, countersign deliveries",
	},
	"endpoints pause":     {examples: []string{"endpoints pause acme-main"}, next: "countersign endpoints resume"},
	"endpoints retry-now": {examples: []string{"endpoints retry-now acme-main"}, next: "countersign deliveries --status retrying"},
	"endpoints resume":    {examples: []string{"endpoints resume acme-main"}, next: "countersign deliveries"},
	"endpoints ping":      {examples: []string{"endpoints ping acme-main", "endpoints ping acme-main --json"}, no: "it did not answer 2xx"},
	"endpoints keys":      {examples: []string{"endpoints keys acme-main", "endpoints keys acme-main --json"}, next: "countersign endpoints rotate"},
	"endpoints rotate": {
		examples: []string{"endpoints rotate acme-main --out acme-new.key", "endpoints rotate acme-main --kind ed25519 --overlap 7d"},
		next:     "countersign endpoints keys, docs/ENDPOINTS.md, Keys",
	},
	"endpoints revoke": {
		examples: []string{"endpoints revoke acme-main key_be75c0246cd953cb", "endpoints revoke acme-main key_be75c0246cd953cb --replace --out acme-new.key"},
		next:     "countersign endpoints keys",
	},
	"quarantine list":    {examples: []string{"quarantine", "quarantine --records", "quarantine list --all --json"}, next: "countersign quarantine show"},
	"quarantine show":    {about: "It prints JSON, with or without --json.", examples: []string{"quarantine show 0FP732993N86SQBRBK7AYX8WVE"}, next: "countersign quarantine release, countersign translate"},
	"quarantine release": {examples: []string{"quarantine release 0FP732993N86SQBRBK7AYX8WVE", "quarantine release unrouted_0000000000000001 --partner acme --subject user-001"}, next: "countersign quarantine take-back"},
	"quarantine discard": {examples: []string{"quarantine discard 0FP732993N86SQBRBK7AYX8WVE"}},
	"quarantine take-back": {
		examples: []string{`quarantine take-back unrouted_0000000000000001 --because "it is tim's, ticket 4711"`},
		next:     "countersign quarantine release",
	},
	"questions list": {examples: []string{"questions", "questions list --all --json"}, next: "countersign questions discard"},
	"questions discard": {
		about:    "With --source it says how many there are, and asks; --yes does it at once, and --dry-run only says it.",
		examples: []string{"questions discard rebilly/kyc-request/session-edsger", "questions discard --source jumio-eu --older 1h --dry-run", "questions discard --source jumio-eu --older 24h --yes"},
		no:       "it was refused, or somebody said no",
	},
	"policy show":  {examples: []string{"policy show acme", "policy show acme --json"}, next: "countersign policy apply"},
	"policy apply": {about: "Without --yes it only says who would move, and ends with 1.", examples: []string{"policy apply acme --yes", "policy apply acme"}, no: "it was refused, or --yes was not said"},
	"audit list":   {examples: []string{"audit", "audit --since 2026-11-30 --actor kim", "audit --subject acme/user-001 --call decisions", "audit --ndjson --since 2026-01-01"}, next: "countersign audit verify, docs/ACCESS.md, The audit trail"},
	"audit verify": {
		examples: []string{"audit verify", "audit verify --head 4711:0f343b0931126a20f133d67c2b018a3b0f343b0931126a20f133d67c2b018a3b", "audit verify --file /var/backups/countersign.db --json"},
		no:       "something was changed, removed, inserted or moved, or the head is no part of the chain", next: "docs/ACCESS.md, The audit trail",
	},
	"token list": {examples: []string{"token", "token list --json"}, next: "countersign token make"},
	"token make": {
		examples: []string{"token make prometheus --scope viewer --expires 90d --out prometheus.token", "token make acme-api --scope partner --partner acme --out acme.token", "token make root --scope admin --for-config --out root.token"},
		next:     "docs/ACCESS.md, Tokens",
	},
	"token revoke": {examples: []string{"token revoke prometheus"}, next: "countersign token"},
	"reload":       {examples: []string{"reload", "reload --dry-run --json"}, no: "the config was refused, and nothing was changed", next: "countersign check"},
	"backup":       {examples: []string{"backup /var/backups/countersign.db"}, next: "countersign restore, countersign check --file"},
	"compact": {
		about:    "It copies the file while the gateway goes on, and puts the copy in its place; the disk needs room for both.",
		examples: []string{"compact --dry-run", "compact --json", "compact --file ./data/countersign.db"}, next: "docs/OPERATIONS.md, The data directory",
	},
	"restore": {
		about:    "It says what the backup does not know, and asks; --yes does it at once.",
		examples: []string{"restore /var/backups/countersign.db", "restore /var/backups/countersign.db --yes --config /etc/countersign.yaml"},
		no:       "it could not be done, or somebody said no", next: "docs/OPERATIONS.md, The data directory",
	},
	"version": {examples: []string{"version", "version --json"}},
	"help":    {examples: []string{"help", "help endpoints rotate"}, plain: "it is text for people."},
	"completion": {
		about:    "It prints a script that asks this program for what comes next, so it is as new as the program.",
		examples: []string{"completion bash > /etc/bash_completion.d/countersign", "completion zsh > ~/.zfunc/_countersign", "completion fish > ~/.config/fish/completions/countersign.fish"},
		plain:    "it prints a script.",
	},
	"man": {
		examples: []string{"man | man -l -", "man endpoints rotate | man -l -", "man --dir /usr/local/share/man/man1"},
		plain:    "it prints pages for man.",
	},
}
