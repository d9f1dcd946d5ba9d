package ruletest

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// modelled has Grafana's own model of a dashboard read one, strictly: panels, their options by kind,
// queries, variables and annotations. It returns what is wrong; "": nothing.
func modelled(text []byte) (wrong string) {
	var d dashboard.Dashboard //nolint:staticcheck // the classic model, which every Grafana from 9 on imports
	if err := d.UnmarshalJSONStrict(text); err != nil {
		wrong = err.Error() // empty, if it is a list of none
	}
	if err := d.Validate(); err != nil {
		wrong += err.Error()
	}
	return wrong
}

func TestDashboardsAreGrafanas(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	files, err := filepath.Glob("../*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if wrong := modelled(text); wrong != "" {
			t.Errorf("%s: %s", file, wrong)
		}
		for is, was := range map[string]string{`"wildLayout"`: `"wideLayout"`, `"fieldsConfig"`: `"fieldConfig"`, `"includeVar"`: `"includeVars"`, `"cellGaps"`: `"cellGap"`} {
			if modelled(bytes.ReplaceAll(text, []byte(was), []byte(is))) == "" {
				t.Errorf("%s: nobody minds %s in place of %s", file, is, was)
			}
		}
	}
}
