//go:build realprometheus

package promtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// scraper is a Prometheus that scrapes the gateway each second and evaluates the rules as often.
type scraper struct {
	name, url string
}

func newScraper(t *testing.T, name, gateway string, flags ...string) *scraper {
	t.Helper()
	dir, address := t.TempDir(), freeAddr(t)
	rules, err := filepath.Abs("../alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf(`global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
  - job_name: countersign
    static_configs: [{targets: [%q], labels: {namespace: kyc}}]
`, rules, gateway)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	flags = append([]string{"--config.file=" + config, "--storage.tsdb.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + address, "--log.level=warn"}, flags...)
	var log bytes.Buffer
	command := exec.Command("prometheus", flags...)
	command.Stdout, command.Stderr = &log, &log
	if err := command.Start(); err != nil {
		t.Fatalf("%v: apt-get install prometheus", err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
		if t.Failed() {
			t.Logf("the last words of Prometheus (%s): %s", name, log.Bytes()[max(0, log.Len()-2000):])
		}
	})
	s := &scraper{name, "http://" + address}
	eventually(t, "Prometheus is ready", func() bool {
		resp, err := http.Get(s.url + "/-/ready")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return s
}

// get asks the API and fills in what it answers.
func (s *scraper) get(ctx context.Context, path string, q url.Values, data any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/api/v1/"+path+"?"+q.Encode(), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return fmt.Errorf("%w: %s", err, text)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s", answer.Error)
	}
	return json.Unmarshal(answer.Data, data)
}

// fill puts in what Grafana puts into a query.
var fill = strings.NewReplacer("$__rate_interval", "20s", "$job", "countersign", "$instance", ".+", "$source", ".+", "$endpoint", ".+", "$partner", ".+")

// looked is how far back a panel looks.
const looked = 2 * time.Minute

// series is one line of a plot, or one row of a table.
type series struct {
	Metric     map[string]string
	Values     [][2]any
	Histograms [][2]any
}

// ask asks what a panel would ask.
func (s *scraper) ask(ctx context.Context, expr string) (found []series, err error) {
	var answer struct{ Result []series }
	now := time.Now()
	err = s.get(ctx, "query_range", url.Values{
		"query": {fill.Replace(expr)}, "start": {stamp(now.Add(-looked))}, "end": {stamp(now)}, "step": {"2"},
	}, &answer)
	return answer.Result, err
}

func stamp(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }

// shows reports whether there is anything to be seen: a number, or a histogram.
func shows(found []series) bool {
	for _, s := range found {
		if len(s.Histograms) > 0 {
			return true
		}
		for _, v := range s.Values {
			if text, ok := v[1].(string); ok && text != "NaN" {
				return true
			}
		}
	}
	return false
}
