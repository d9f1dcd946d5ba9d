package confirm

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"

	"countersign/ingest/provider"
	"countersign/kyc"
)

// conversation is one of the adapters' API fixtures: what is asked, which calls the provider's page
// asks for, what it answers, and what that must become.
type conversation struct {
	q       provider.Fetch
	options provider.Options
	calls   []struct{ Method, Path string }
	answers [][]byte
	want    struct {
		Error     string `json:"error"`
		Unsettled bool   `json:"unsettled"`
		Ignored   string `json:"ignored"`
		Livemode  bool   `json:"livemode"`
		KeepBody  bool   `json:"keep_body"`
		Updates   []struct {
			Status kyc.Status `json:"status"`
			Check  kyc.Check  `json:"check"`
		} `json:"updates"`
	}
}

func read(t *testing.T, file string) (c conversation) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq("\n"+string(text), "\n-- ") {
		if name, body, ok := strings.Cut(part, " --\n"); ok {
			parts[name] = strings.TrimSuffix(body, "\n")
		}
	}
	for name, v := range map[string]any{"fetch.json": &c.q, "calls.json": &c.calls, "want.json": &c.want} {
		if err := json.Unmarshal([]byte(parts[name]), v); err != nil {
			t.Fatalf("%s: %s: %v", file, name, err)
		}
	}
	c.options = provider.Options{}
	for line := range strings.Lines(parts["options"]) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		c.options[k] = v
	}
	for i := 1; parts["answer"+strconv.Itoa(i)] != ""; i++ {
		c.answers = append(c.answers, []byte(parts["answer"+strconv.Itoa(i)]))
	}
	return c
}
