package brokers

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	real "countersign/ingest/forward/brokers/cluster"
)

// TestTraceToKafka: of the whole program, what goes to both topics stands in the trace of its
// callback, and so do the records themselves, and the webhook.
func TestTraceToKafka(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "countersign")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./cmd/countersign")
	build.Dir = "../../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var mu sync.Mutex // guards spans
	spans := map[string]*tracepb.Span{}
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		b, err := io.ReadAll(req.Body)
		var sent tracepb.TracesData
		if err != nil || proto.Unmarshal(b, &sent) != nil {
			t.Errorf("%s: %v", req.URL, err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, of := range sent.GetResourceSpans() {
			for _, s := range of.GetScopeSpans()[0].GetSpans() {
				spans[s.GetName()] = s
			}
		}
	}))
	defer collector.Close()
	partner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer partner.Close()
	brokers := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "kyc.status-updates", "kyc.status-changes"))
	config := filepath.Join(dir, "countersign.yaml")
	text := fmt.Sprintf(`data: %s/data
listen: {callbacks: %s, control: %s}
sources: [{name: sumsub-eu, provider: sumsub, keys: [env:KEY], partner: acme}]
partners: [{id: acme, endpoints: [{id: acme-main, url: "%s", keys: [env:ACME_KEY]}]}]
kafka: {brokers: ["%s"]}
tracing: {endpoint: "%s"}
`, dir, free(t), free(t), partner.URL, strings.Join(brokers.ListenAddrs(), `", "`), collector.URL)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) *exec.Cmd {
		c := exec.Command(program, args...)
		c.Env = append(os.Environ(), "KEY=a-key-of-thirty-two-bytes-and-so", "ACME_KEY=whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
		return c
	}
	gateway := run("serve", "--config", config)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	gateway.Stderr = log
	if err := gateway.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		gateway.Process.Signal(os.Interrupt)
		gateway.Wait()
		if b, err := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("%s, %v", b, err)
		}
	}()
	eventually(t, "a callback is taken", func() bool { return run("trigger", "--config", config, "sumsub-eu", "approved").Run() == nil })
	want := []string{"callback", "decide", "deliver", "publish kyc.status-updates", "publish kyc.status-changes"}
	eventually(t, "all spans have come", func() bool {
		mu.Lock()
		defer mu.Unlock()
		for _, name := range append(want, "send kyc.status-updates", "send kyc.status-changes") {
			if spans[name] == nil {
				return false
			}
		}
		return true
	})
	mu.Lock()
	defer mu.Unlock()
	callback := spans["callback"]
	for _, name := range want[1:] {
		if s := spans[name]; string(s.GetTraceId()) != string(callback.GetTraceId()) || string(s.GetParentSpanId()) != string(callback.GetSpanId()) {
			t.Errorf("%s stands in trace %x below %x, want %x below %x", name, s.GetTraceId(), s.GetParentSpanId(), callback.GetTraceId(), callback.GetSpanId())
		}
	}
	reader, err := kgo.NewClient(kgo.SeedBrokers(brokers.ListenAddrs()...), kgo.ConsumeTopics("kyc.status-updates", "kyc.status-changes"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	leads := "00-" + hex.EncodeToString(callback.GetTraceId()) + "-" + hex.EncodeToString(callback.GetSpanId()) + "-01"
	seen := map[string]bool{}
	for len(seen) < 2 {
		fetched := reader.PollFetches(within(t))
		if err := fetched.Err(); err != nil {
			t.Fatal(err)
		}
		fetched.EachRecord(func(r *kgo.Record) {
			seen[r.Topic] = true
			for _, h := range r.Headers {
				if h.Key == "traceparent" && string(h.Value) == leads {
					return
				}
			}
			t.Errorf("a record of %s has the headers %v, want the traceparent %s", r.Topic, r.Headers, leads)
		})
	}
}

// free is an address that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	addrs, err := real.FreeAddrs(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return addrs[0]
}
