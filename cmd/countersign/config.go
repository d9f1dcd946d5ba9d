package main

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"countersign/ingest/provider"
	"countersign/kyc"
	"countersign/relay/registry"
	"countersign/relay/send"
	"countersign/signing"
)

// The two modes.
const (
	modeSandbox = "sandbox"
	modeLive    = "live"
)

// Config is the gateway's configuration, complete: every default is filled in, every reference
// resolved. It may be printed, for no secret in it prints.
type Config struct {
	Path           string // of the file it came from
	Mode           string // sandbox | live
	Log            LogConfig
	Data           string // directory of the bbolt file and the key file, relative to the working directory
	Listen         ListenConfig
	Limits         LimitsConfig
	TLS            *TLSConfig // of the callback listener; nil: plain HTTP, behind a proxy
	TrustedProxies []netip.Prefix
	Sources        []SourceConfig
	Partners       []PartnerConfig
	Operator       []EndpointConfig // of whoever runs the gateway
	EgressAllow    []netip.Prefix   // exceptions to the addresses that are never called
	EgressProxy    *send.Proxy      // through which endpoints are reached; nil: none
	Kafka          *KafkaConfig     // nil: nothing goes to Kafka
	Tracing        *TracingConfig   // nil: nothing is traced
	Storage        StorageConfig
	Retention      RetentionConfig
	Tokens         []TokenConfig
	Said           sayings  // what the file says, in its order
	SecretFiles    []string // every file that was read for a secret, and the private keys of certificates

	variables map[string]string // environment variables that were read in the place of a key, by that key

	lines map[string]int // of the ids of partners and endpoints, and of what they were renamed from, by key
}

// Live reports whether the gateway tells partners about real people.
func (c *Config) Live() bool { return c.Mode == modeLive }

// ListenConfig holds the addresses served.
type ListenConfig struct {
	Callbacks, Control string
	IdleTimeout        time.Duration // of the callbacks' connections, between two requests
	ControlHosts       []string      // names that the control listener may be called by, beside its own address and this machine's
	Metrics            string        // "": what machines ask is served on the control listener alone
}

// TLSConfig names the files of a certificate. They are read again when they change, so the paths
// are what is kept.
type TLSConfig struct {
	CertFile, KeyFile string
	ClientCAFile      string // "": clients need no certificate
}

// SourceConfig is one configured account at one provider.
type SourceConfig struct {
	Name            string
	Provider        string
	Keys            signing.Keyring // newest first, any verifies; empty: the source is known by address or path token alone
	Partner         string          // exactly one of Partner and PartnerFrom is set
	PartnerFrom     string          // subject_prefix | submission
	Check           kyc.Check       // "": the adapter's
	CheckByWorkflow map[string]kyc.Check
	Workflows       []string      // of the provider, whose approvals count; nil: all
	Rate            float64       // callbacks per second; 0: unlimited
	Tolerance       time.Duration // 0: the adapter's
	Livemode        bool
	Evidence        kyc.Authenticity
	MaxBody         int64
	Token           Secret         // zero: the path has no token
	Allow           []netip.Prefix // empty: everybody
	Options         map[string]string
	Generic         *provider.GenericSpec // with provider generic: the adapter
	API             *APIConfig            // the account at the provider's API; nil: the source cannot ask
}

// APIConfig is an account at a provider's API, with which a source asks what callbacks leave open.
type APIConfig struct {
	URL  string      // "": the provider's own
	User string      // what the provider's page calls client id, partner id or user, where it has one
	Key  signing.Key // the secret
	Rate float64     // calls per second; 0: the default
	// Questions of callbacks that proved nothing that may be open at once.
	Questions int
}

// PartnerConfig is who is told.
type PartnerConfig struct {
	ID          string
	RenamedFrom string     // the id it had; "": no other
	MaxOpen     int64      // refs its tokens may have registered that no callback has come for
	Policy      kyc.Policy // without a version: policies are numbered when they are recorded
	Endpoints   []EndpointConfig
}

// EndpointConfig is one URL of a partner.
type EndpointConfig struct {
	ID          string
	RenamedFrom string // the id it had; "": no other
	URL         string // never logged: its query may be a secret
	Format      string
	Keys        []EndpointKey // newest first
	GenerateKey bool          // none was given: one is to be made, and handed over once
	Events      []string      // exact types, patterns that end in ".*", or "*"
	Filter      string        // a condition on a change; "": none
	Concurrency int
	Rate        float64 // deliveries per second; 0: unlimited
	Timeout     time.Duration
	MaxOwed     int64
	Since       time.Time // zero: always
	Retry       RetryConfig
	// DisableAfter is after how long of nothing but failures it is disabled; neverDisabled: never.
	DisableAfter time.Duration
	TLS          send.TLSFiles
	Headers      []send.Header // beside the format's, with what auth makes
}

// EndpointKey is one key of an endpoint, and how long it is still offered.
type EndpointKey struct {
	Ref   string // where the secret comes from, such as env:ACME_KEY
	Key   signing.Key
	Until time.Time // zero: for good
}

// RetryConfig is the schedule of attempts: first, first × factor, … at most max, each ± jitter.
type RetryConfig struct {
	First    time.Duration
	Factor   float64
	Max      time.Duration
	Jitter   float64
	Attempts int

	MaxRetryAfter time.Duration // no Retry-After is obeyed for longer
}

// StorageConfig bounds the one file.
type StorageConfig struct {
	MaxSize int64
	Backlog int64 // records the journal holds for a relay that is behind, before callbacks are refused
}

// RetentionConfig says how long what is kept.
type RetentionConfig struct{ Changes, Attempts, QuarantineBodies, History, Audit time.Duration }

// TokenConfig is one bearer token of the control API, known by its digest.
type TokenConfig struct {
	Name    string
	SHA256  [32]byte
	Scope   string // admin | operator | viewer | partner
	Partner string // with scope partner
}

// known is what this binary can do; it arrives as an argument so that reading a config needs no
// adapter.
type known struct {
	Providers map[string]func(options map[string]string) error // an error names the option and the remedy
	Formats   map[string]bool
	Signing   map[string]bool                             // canonical names of the headers that formats set
	Asks      map[string]bool                             // providers whose API can be asked
	Source    func(SourceConfig) (key string, m *mistake) // what is wrong with a source as a whole, and at which of its keys; nil: nothing is looked at
	KeySizes  func(SourceConfig) []int                    // how many secret bytes each key of a source has; nil: nothing is looked at
	KeySize   func(format string, k signing.Key) int      // the same of an endpoint's key; nil: nothing is looked at
	KeySigns  func(format string, k signing.Key) error    // why an endpoint's key cannot sign in that format; nil: nothing is looked at
	Streams   map[string]bool                             // those that post no callbacks: their stream is followed
	Publishes map[string]bool                             // those whose API publishes the keys of their callbacks, which then need none in the config
}

// problem is one mistake in a config, and what to do about it. It never holds a secret.
type problem struct {
	File         string // "environment" for an override
	Line         int    // 0: the file as a whole
	Key          string
	What, Remedy string
}

// String returns file:line: key: what; remedy.
func (p problem) String() string {
	s := p.File + ": "
	if p.Line > 0 {
		s = p.File + ":" + strconv.Itoa(p.Line) + ": "
	}
	if p.Key != "" {
		s += p.Key + ": "
	}
	if p.Remedy == "" { // it stands in What
		return s + p.What
	}
	return s + p.What + "; " + p.Remedy
}

// loadConfig reads the file at path and the COUNTERSIGN_* overrides. It returns a Config only when
// there is no problem at all, else every problem it can find, in the order of the file.
func loadConfig(path string, env func(string) (string, bool), k known) (*Config, []problem) {
	l := newLoader(path, env, k)
	if root := l.parse(); root != nil {
		l.root(root)
		if len(l.problems) == 0 {
			l.cfg.Said = l.flatten(root, "")
		}
	}
	if len(l.problems) > 0 {
		slices.SortStableFunc(l.problems, func(a, b problem) int { return cmp.Compare(a.Line, b.Line) })
		return nil, l.problems
	}
	return l.cfg, nil
}

func defaultConfig(path string) *Config {
	return &Config{
		Path: path, Mode: modeSandbox, Data: "./data", lines: map[string]int{}, variables: map[string]string{},
		Listen:    ListenConfig{Callbacks: "127.0.0.1:8480", Control: "127.0.0.1:8481", IdleTimeout: defaultIdle},
		Storage:   StorageConfig{MaxSize: 64 << 30, Backlog: 1_000_000},
		Retention: RetentionConfig{Changes: 90 * day, Attempts: 30 * day, QuarantineBodies: 30 * day, History: 5 * year, Audit: 5 * year},
		Log:       LogConfig{Level: "info", Format: formatAuto, Deliveries: deliveriesFailures},
	}
}

func defaultPolicy() kyc.Policy {
	return kyc.Policy{
		Required: []kyc.Check{kyc.IdentityVerification}, RequiredCompany: []kyc.Check{kyc.BusinessVerification}, ValidityMonths: 12, NoticeDays: 7,
	}
}

func defaultEndpoint() EndpointConfig {
	return EndpointConfig{
		Format: "standard", Events: []string{"kyc.status.*"}, Concurrency: 16, Timeout: 15 * time.Second, MaxOwed: 1_000_000,
		Retry:        RetryConfig{First: 5 * time.Second, Factor: 3, Max: 12 * time.Hour, Jitter: 0.2, Attempts: 15, MaxRetryAfter: time.Hour},
		DisableAfter: registry.DisableAfter,
	}
}
