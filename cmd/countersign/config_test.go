package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"countersign/kyc"
	"countersign/relay/send"
)

var knownHere = known{
	Providers: map[string]func(map[string]string) error{
		"alpaca":  func(map[string]string) error { return nil },
		"onfido":  func(map[string]string) error { return nil },
		"generic": genericOptions,
		"sumsub": func(o map[string]string) error {
			for k, v := range o {
				switch {
				case k != "algorithm":
					return errors.New("option " + k + " is unknown")
				case v != "sha1" && v != "sha256" && v != "sha512":
					return errors.New("option algorithm: use sha1, sha256 or sha512")
				}
			}
			return nil
		},
	},
	Formats: map[string]bool{"standard": true, "blendfi": true},
	Signing: map[string]bool{"X-Blendfi-Signature": true},
	Asks:    map[string]bool{"onfido": true, "sumsub": true},
	Streams: map[string]bool{"alpaca": true},
}

// secretsHere all hold the word canary, so that one search finds any leak.
var secretsHere = map[string]string{
	"KEY": "canary-key", "SUMSUB_KEY": "canary-sumsub", "SUMSUB_PATH_TOKEN": "canary-path-token", "ACME_KEY": "whsec_canaryAAAA", "ACME_OLD": "canary-old",
	"EMPTY": "", "SHORT": "canary", "PROXY_AUTH": "user:canary", "BELL": "can\aary", "TWO_WORDS": "can ary",
}

// folder holds the files that the samples refer to.
func folder(tb testing.TB) string {
	tb.Helper()
	dir := tb.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	for name, text := range map[string]string{
		"tls.crt": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})), "tls.key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"sumsub-old": "canary-file\n", "sumsub-beside": "canary-beside", "empty": "\n", "zero": "\x00\x00\x00",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

// load writes text beside the secrets and loads it with env on top of them.
func load(tb testing.TB, dir, name, text string, env map[string]string) (*Config, []problem) {
	tb.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "$DIR", dir)), 0o600); err != nil {
		tb.Fatal(err)
	}
	return loadConfig(path, func(k string) (string, bool) {
		if v, ok := env[k]; ok {
			return v, true
		}
		v, ok := secretsHere[k]
		return v, ok
	}, knownHere)
}

func sample(tb testing.TB, name string) string {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata/config", name))
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// TestBadConfigs loads every sample and wants exactly the problems its comments announce.
func TestBadConfigs(t *testing.T) {
	files, err := filepath.Glob("testdata/config/*.yaml")
	if err != nil || len(files) < 25 {
		t.Fatalf("%d samples, %v", len(files), err)
	}
	dir := folder(t)
	for _, file := range files {
		name := filepath.Base(file)
		text := sample(t, name)
		var want []string
		env := map[string]string{}
		for line := range strings.Lines(text) {
			line = strings.TrimSuffix(line, "\n")
			if s, ok := strings.CutPrefix(line, "# want: "); ok {
				want = append(want, strings.ReplaceAll(s, "$DIR", dir))
			}
			if s, ok := strings.CutPrefix(line, "# env: "); ok {
				k, v, _ := strings.Cut(s, "=")
				env[k] = v
			}
		}
		cfg, problems := load(t, dir, name, text, env)
		if (cfg != nil) != (len(problems) == 0) || (len(want) == 0) != (name == "good.yaml") {
			t.Errorf("%s: config %v with %d problems, %d wanted", name, cfg != nil, len(problems), len(want))
		}
		for i := range max(len(problems), len(want)) {
			switch {
			case i >= len(want):
				t.Errorf("%s: unexpected: %v", name, problems[i])
			case i >= len(problems):
				t.Errorf("%s: not found: %s", name, want[i])
			default:
				got := strings.TrimPrefix(problems[i].String(), dir+"/")
				if !strings.HasPrefix(got, want[i]) || problems[i].Remedy == "" {
					t.Errorf("%s:\n got %s\nwant %s", name, got, want[i])
				}
				if strings.Contains(got, "canary") {
					t.Errorf("%s: a secret shows: %s", name, got)
				}
			}
		}
	}
}

func TestGoodConfig(t *testing.T) {
	dir := folder(t)
	c, problems := load(t, dir, "good.yaml", sample(t, "good.yaml"), nil)
	if len(problems) != 0 {
		t.Fatal(problems)
	}
	f := func(what string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s = %#v, want %#v", what, got, want)
		}
	}
	ten := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	f("mode", c.Mode, "sandbox")
	f("data", c.Data, "./data")
	f("listen", c.Listen, ListenConfig{"127.0.0.1:8480", "127.0.0.1:8481", 650 * time.Second, []string{"countersign.internal", "10.0.0.7"}, "10.0.0.7:9100"})
	f("limits", c.Limits, LimitsConfig{32 << 20, 16 << 20, 8 << 20, 500})
	f("tls", c.TLS, &TLSConfig{dir + "/tls.crt", dir + "/tls.key", dir + "/tls.crt"})
	f("trusted_proxies", c.TrustedProxies, ten)
	f("egress", c.EgressAllow, ten)
	f("egress.proxy", fmt.Sprint(c.EgressProxy), "10.1.2.3:3128")
	k := *c.Kafka
	f("kafka.tls", k.TLS, &KafkaTLS{dir + "/tls.crt", dir + "/tls.crt", dir + "/tls.key"})
	f("kafka.sasl", fmt.Sprint(k.SASL.Mechanism, k.SASL.User, k.SASL.Password, k.SASL.Password.IsZero()), "scram-sha-512cssecret false")
	k.TLS, k.SASL = nil, nil
	f("kafka", k, KafkaConfig{Brokers: []string{"127.0.0.1:9092"}, Ack: "disk", Create: true, Partitions: 12, Deliberate: true, Replication: 3, Retention: 30 * 24 * time.Hour})
	f("storage", c.Storage, StorageConfig{64 << 30, 1_000_000})
	f("retention", c.Retention, RetentionConfig{90 * 24 * time.Hour, 30 * 24 * time.Hour, 30 * 24 * time.Hour, 5 * 365 * 24 * time.Hour, 5 * 365 * 24 * time.Hour})
	f("log", c.Log, LogConfig{"info", "auto", "failures"})
	f("tokens", fmt.Sprintf("%s %s %q %x", c.Tokens[0].Name, c.Tokens[0].Scope, c.Tokens[0].Partner, c.Tokens[0].SHA256[:2]), `ops operator "" 5e88`)
	f("tokens", c.Tokens[1].Partner, "acme")

	s := c.Sources[0]
	f("keys", len(s.Keys), 2)
	f("token", s.Token.Reveal(), "canary-path-token")
	s.Keys, s.Token = nil, Secret{}
	f("source", s, SourceConfig{
		Name: "sumsub-eu", Provider: "sumsub", Partner: "acme", Check: kyc.IdentityVerification, Rate: 1000, Tolerance: 5 * time.Minute, Livemode: true,
		Evidence: kyc.Signed, MaxBody: 1 << 20, Allow: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}, Options: map[string]string{"algorithm": "sha256"},
		Workflows: []string{"basic-kyc-level", "17"},
	})
	s = c.Sources[1]
	f("keys", len(s.Keys), 1)
	f("api", fmt.Sprint(s.API.URL, s.API.User, s.API.Rate, s.API.Key), "https://api.sumsub.example/v1app-72 signing.Key")
	s.Keys, s.API = nil, nil
	f("source", s, SourceConfig{
		Name: "sumsub-levels", Provider: "sumsub", PartnerFrom: "submission", Evidence: kyc.Signed, MaxBody: 1 << 20,
		CheckByWorkflow: map[string]kyc.Check{"basic-kyc-level": kyc.IdentityVerification, "poa-level": kyc.AddressVerification},
	})

	f("partner", c.Partners[0].ID, "acme")
	f("policy", c.Partners[0].Policy, kyc.Policy{
		Required: []kyc.Check{kyc.IdentityVerification}, RequiredCompany: []kyc.Check{kyc.BusinessVerification}, ValidityMonths: 12, Validity: map[kyc.Check]int{kyc.Screening: 6}, NoticeDays: 7,
	})
	e := c.Partners[0].Endpoints[0]
	f("key", fmt.Sprintln(len(e.Keys), e.Keys[0].Ref, e.Keys[0].Until.IsZero(), e.Keys[1].Ref), "2 env:ACME_KEY true env:ACME_OLD\n")
	f("until", e.Keys[1].Until, time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC))
	f("headers", fmt.Sprint(e.Headers), "[X-Env: (not shown) X-Api-Key: (not shown) X-Count: (not shown) Authorization: (not shown)]")
	e.Keys, e.Headers = nil, nil
	want := EndpointConfig{
		TLS: send.TLSFiles{CA: dir + "/tls.crt", Cert: dir + "/tls.crt", Key: dir + "/tls.key"},
		ID:  "acme-main", URL: "https://hooks.acme.example/kyc", Format: "standard", Events: []string{"kyc.status.*"}, Concurrency: 16, Rate: 100,
		Timeout: 15 * time.Second, MaxOwed: 1_000_000, Retry: RetryConfig{5 * time.Second, 3, 12 * time.Hour, 0.2, 15, time.Hour}, DisableAfter: 5 * day,
	}
	f("endpoint", e, want)
	want.TLS = send.TLSFiles{}
	f("headers", fmt.Sprint(c.Partners[0].Endpoints[1].Headers), "[Authorization: (not shown)]")
	c.Partners[0].Endpoints[1].Headers = nil
	want.ID, want.URL, want.Rate, want.GenerateKey = "acme-second", "http://localhost:3000/hook", 0, true
	want.DisableAfter = neverDisabled
	want.Since = time.Date(2026, 3, 1, 7, 0, 0, 0, time.UTC)
	f("endpoint", c.Partners[0].Endpoints[1], want)
}

func TestConfigDoesNotPrintSecrets(t *testing.T) {
	c, problems := load(t, folder(t), "good.yaml", sample(t, "good.yaml"), nil)
	if len(problems) != 0 {
		t.Fatal(problems)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if s := fmt.Sprintf(verb, *c); strings.Contains(s, "canary") || strings.Contains(s, fmt.Sprintf("%x", "canary")) || !strings.Contains(s, "acme-main") && verb != "%x" {
			t.Errorf("%s: %s", verb, s)
		}
	}
	if b, err := json.Marshal(c); err == nil || strings.Contains(string(b), "canary") {
		t.Errorf("marshalled: %s, %v", b, err)
	}
}

func TestOverrides(t *testing.T) {
	c, problems := load(t, folder(t), "c.yaml", `
mode: sandbox
data: ./data
partners: [{id: acme}]
sources: [{name: a, provider: sumsub, keys: [env:KEY], partner: acme}]
`, map[string]string{
		"COUNTERSIGN_MODE": "live", "COUNTERSIGN_DATA": "/var/lib/countersign", "COUNTERSIGN_LISTEN_CALLBACKS": ":80", "COUNTERSIGN_LISTEN_CONTROL": "",
		"COUNTERSIGN_LISTEN_METRICS": "10.1.2.3:9100",
	})
	if len(problems) != 0 {
		t.Fatal(problems)
	}
	if !c.Live() || c.Data != "/var/lib/countersign" || !reflect.DeepEqual(c.Listen, ListenConfig{Callbacks: ":80", Control: "127.0.0.1:8481", IdleTimeout: 75 * time.Second, Metrics: "10.1.2.3:9100"}) {
		t.Errorf("%s, %s, %+v", c.Mode, c.Data, c.Listen)
	}
	if !c.Sources[0].Livemode {
		t.Error("the source's livemode does not follow the overridden mode")
	}
}

func TestConfigFileItself(t *testing.T) {
	f := func(path, want string) {
		t.Helper()
		c, problems := loadConfig(path, os.LookupEnv, knownHere)
		if c != nil || len(problems) != 1 || problems[0].String() != want {
			t.Errorf("%s: %v, %v", path, c, problems)
		}
	}
	dir := t.TempDir()
	f(dir+"/none.yaml", dir+"/none.yaml: cannot be read: it does not exist; name the config file with --config")
	f(dir, dir+": cannot be read, or is over 4 MiB; name the config file with --config")
	big := dir + "/big.yaml"
	if err := os.WriteFile(big, []byte(strings.Repeat("# ", 3<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	f(big, big+": cannot be read, or is over 4 MiB; name the config file with --config")
}

// TestReferenceIsComplete holds the reference to every table the loader has.
func TestReferenceIsComplete(t *testing.T) {
	dir := folder(t)
	text := sample(t, "good.yaml")
	path := filepath.Join(dir, "all.yaml")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "$DIR", dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	l := newLoader(path, func(string) (string, bool) { return "canary-path-token", true }, knownHere)
	l.root(l.parse())
	seen := map[string]bool{}
	for _, k := range configReference() {
		if seen[k.Key] || k.Meaning == "" || !l.asked[k.Key] {
			t.Errorf("%s: twice %v, meaning %q, known to the loader %v", k.Key, seen[k.Key], k.Meaning, l.asked[k.Key])
		}
		seen[k.Key] = true
	}
	for k := range l.asked {
		if !seen[k] {
			t.Errorf("%s is missing from configReference", k)
		}
	}
	if len(l.asked) < 70 {
		t.Errorf("only %d keys were visited", len(l.asked))
	}
}

// TestReferenceTellsTheDefaults writes every default of the reference into a file, and wants the
// Config of a file without them.
func TestReferenceTellsTheDefaults(t *testing.T) {
	dir := folder(t)
	const bare = `
sources: [{name: a, provider: sumsub, partner: acme, allow: [203.0.113.0/24]}]
partners: [{id: acme, endpoints: [{id: main, url: "https://hooks.example/"}]}]
kafka: {brokers: [127.0.0.1:9092]}
tracing: {endpoint: "http://127.0.0.1:4318"}
`
	want, problems := load(t, dir, "c.yaml", bare, nil)
	if len(problems) != 0 {
		t.Fatal(problems)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(bare), &doc); err != nil {
		t.Fatal(err)
	}
	for _, k := range configReference() {
		if k.Default != "" && !strings.HasSuffix(k.Key, "endpoints") {
			put(t, doc.Content[0], strings.Split(k.Key, "."), k.Default)
		}
	}
	text, err := yaml.Marshal(&doc)
	if err != nil {
		t.Fatal(err)
	}
	got, problems := load(t, dir, "c.yaml", string(text), nil)
	if len(problems) != 0 {
		t.Fatalf("%s\n%v", text, problems)
	}
	if !got.Kafka.Deliberate || want.Kafka.Deliberate {
		t.Error("who states the number of partitions wants just that")
	}
	got.Kafka.Deliberate, got.lines, want.lines, got.Said, want.Said = false, nil, nil, nil, nil
	if !strings.Contains(string(text), "attempts: 15") || !reflect.DeepEqual(got, want) {
		t.Errorf("%s\n got %+v\nwant %+v", text, got, want)
	}
}

// put sets a key deep in a tree, in the first item of every list on the way.
func put(t *testing.T, n *yaml.Node, path []string, text string) {
	t.Helper()
	key, isList := strings.CutSuffix(path[0], "[]")
	i := slices.IndexFunc(n.Content, func(k *yaml.Node) bool { return k.Value == key })
	if i < 0 {
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, &yaml.Node{Kind: yaml.MappingNode})
		i = len(n.Content) - 2
	}
	if len(path) == 1 {
		var v yaml.Node
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		n.Content[i+1] = v.Content[0]
		return
	}
	next := n.Content[i+1]
	if isList {
		next = next.Content[0]
	}
	put(t, next, path[1:], text)
}

func FuzzConfig(f *testing.F) {
	files, _ := filepath.Glob("testdata/config/*.yaml")
	for _, file := range files {
		f.Add(sample(f, filepath.Base(file)))
	}
	dir := folder(f)
	f.Fuzz(func(t *testing.T, text string) {
		c, problems := load(t, dir, "fuzz.yaml", text, nil)
		if (c == nil) == (len(problems) == 0) {
			t.Fatalf("config %v with %d problems", c != nil, len(problems))
		}
		for _, p := range problems {
			if p.What == "" || p.Remedy == "" || p.File == "" {
				t.Errorf("%+v", p)
			}
		}
	})
}
