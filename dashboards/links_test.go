package dashboards

import (
	"bytes"
	"strings"
	"testing"
)

func TestLinks(t *testing.T) {
	f := func(l Links, want ...string) {
		t.Helper()
		if err := l.Check(); err != nil {
			t.Error(err)
		}
		board, err := OverviewTo(l)
		if err != nil {
			t.Error(err)
		}
		text := string(RulesTo(l)) + string(board)
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("with %+v, nothing says %s", l, w)
			}
		}
		if l != DefaultLinks() && (strings.Contains(text, "127.0.0.1") || strings.Contains(text, "\x00")) {
			t.Errorf("with %+v, something leads to this machine", l)
		}
	}
	if !bytes.Equal(RulesTo(DefaultLinks()), Rules()) {
		t.Error("the default links change the rules")
	}
	f(DefaultLinks(), "runbook_url: http://127.0.0.1:8481/runbooks/CountersignPanics\n", "dashboard_url: http://127.0.0.1:3000/d/countersign-overview\n")
	f(Links{Runbooks: "https://wiki.example/kyc/", Grafana: "https://grafana.example", Console: "https://gateway.example:8481/"},
		"runbook_url: https://wiki.example/kyc/CountersignPanics\n", "dashboard_url: https://grafana.example/d/countersign-overview\n", `"https://gateway.example:8481/"`, `"https://wiki.example/kyc/CountersignForwardStopped"`)
	f(Links{Runbooks: "https://git.example/blob/v1/runbooks/{alert}.md", Grafana: "https://g.example/sub", Console: "https://c.example"},
		"runbook_url: https://git.example/blob/v1/runbooks/CountersignPanics.md\n", "https://g.example/sub/d/countersign-overview\n")
	for _, wrong := range []string{"", "wiki", "/runbooks", "ftp://wiki.example", "https://"} {
		if l := (Links{Runbooks: wrong, Grafana: "https://g.example", Console: "https://c.example"}); l.Check() == nil {
			t.Errorf("%q is taken for an absolute URL", wrong)
		}
	}
}
