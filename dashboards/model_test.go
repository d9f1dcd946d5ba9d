package dashboards

import (
	"bytes"
	"cmp"
	"encoding/json"
	"regexp"
	"strings"
)

// The part of Grafana's classic dashboard model that we use.
type (
	board struct {
		ID            *int        `json:"id"` // null: whoever imports it gives one
		UID           string      `json:"uid"`
		Title         string      `json:"title"`
		Description   string      `json:"description"`
		Tags          []string    `json:"tags"`
		Timezone      string      `json:"timezone"`
		Editable      bool        `json:"editable"`
		GraphTooltip  int         `json:"graphTooltip"` // 1: one cross-hair over all panels
		Refresh       string      `json:"refresh"`
		SchemaVersion int         `json:"schemaVersion"`
		Version       int         `json:"version"`
		Time          timeRange   `json:"time"`
		Annotations   annotations `json:"annotations"`
		Links         []link      `json:"links"`
		Templating    templating  `json:"templating"`
		Panels        []panel     `json:"panels"`
	}
	timeRange struct {
		From string `json:"from"`
		To   string `json:"to"`
	}
	source struct {
		Type string `json:"type"`
		UID  string `json:"uid"`
	}
	annotations struct {
		List []annotation `json:"list"`
	}
	annotation struct {
		Name        string `json:"name"`
		Enable      bool   `json:"enable"`
		IconColor   string `json:"iconColor"`
		Datasource  source `json:"datasource"`
		Expr        string `json:"expr"`
		Step        string `json:"step,omitempty"`
		TitleFormat string `json:"titleFormat"`
		TextFormat  string `json:"textFormat"`
	}
	link struct {
		Title       string   `json:"title"`
		Type        string   `json:"type"`
		URL         string   `json:"url,omitempty"`
		Tooltip     string   `json:"tooltip"`
		Icon        string   `json:"icon"`
		Tags        []string `json:"tags"`
		AsDropdown  bool     `json:"asDropdown"`
		IncludeVars bool     `json:"includeVars"`
		KeepTime    bool     `json:"keepTime"`
		TargetBlank bool     `json:"targetBlank"`
	}
	templating struct {
		List []variable `json:"list"`
	}
	variable struct {
		Name       string  `json:"name"`
		Label      string  `json:"label"`
		Type       string  `json:"type"`
		Query      any     `json:"query"`
		Definition string  `json:"definition,omitempty"`
		Datasource *source `json:"datasource,omitempty"`
		Refresh    int     `json:"refresh"`
		Sort       int     `json:"sort,omitempty"`
		Multi      bool    `json:"multi,omitempty"`
		IncludeAll bool    `json:"includeAll,omitempty"`
		AllValue   string  `json:"allValue,omitempty"`
		Current    any     `json:"current"`
		Hide       int     `json:"hide"`
	}
	panel struct {
		ID          int          `json:"id"`
		Type        string       `json:"type"`
		Title       string       `json:"title"`
		Description string       `json:"description,omitempty"`
		Datasource  *source      `json:"datasource,omitempty"`
		GridPos     gridPos      `json:"gridPos"`
		Targets     []target     `json:"targets,omitempty"`
		FieldConfig *fieldConfig `json:"fieldConfig,omitempty"`
		Options     any          `json:"options,omitempty"`
		Links       []link       `json:"links,omitempty"`
		Transforms  []any        `json:"transformations,omitempty"`
		Collapsed   *bool        `json:"collapsed,omitempty"`
		Panels      *[]panel     `json:"panels,omitempty"` // of a row: what is folded away
	}
	gridPos struct {
		H int `json:"h"`
		W int `json:"w"`
		X int `json:"x"`
		Y int `json:"y"`
	}
	target struct {
		RefID        string `json:"refId"`
		Datasource   source `json:"datasource"`
		Expr         string `json:"expr"`
		LegendFormat string `json:"legendFormat"`
		Range        bool   `json:"range"`
		Instant      bool   `json:"instant,omitempty"`
		Format       string `json:"format,omitempty"`
	}
	fieldConfig struct {
		Defaults  defaults `json:"defaults"`
		Overrides []any    `json:"overrides"`
	}
	defaults struct {
		Unit       string         `json:"unit"`
		Min        *float64       `json:"min"`
		Max        *float64       `json:"max,omitempty"`
		Color      map[string]any `json:"color"`
		Custom     map[string]any `json:"custom"`
		Thresholds thresholds     `json:"thresholds"`
	}
	thresholds struct {
		Mode  string `json:"mode"`
		Steps []step `json:"steps"`
	}
	step struct {
		Color string   `json:"color"`
		Value *float64 `json:"value"`
	}
)

// row is a titled row of views.
type row struct {
	title string
	views []view
}

// view is one panel as we think of it.
type view struct {
	title, description, unit string
	queries                  []query
	stack                    bool
	max                      float64 // of the axis; 0: as high as the data
	line                     float64 // a threshold, which must stand in the alert below
	alert                    string  // the alert that watches this panel, if one does
	kind                     string  // "": a plot over time; stat, table or heatmap
	steps                    []step  // of a stat, from the lowest on; each number must stand in the alert
	columns                  []column
	w, h                     int // in Grafana's units; 0: a third of a row, and as high as a plot
}

// column is one of a table, in the order of its queries.
type column struct {
	title, unit string
	steps       []step // colours of its values; nil: none
}

// query is one expression, without the filter on job and instance, and what to call its series.
type query struct{ expr, legend string }

var prom = source{Type: "prometheus", UID: "${datasource}"}

const (
	columns    = 24
	perRow     = 3
	viewHeight = 8
)

func newBoard(uid, title, description string, rows []row) board {
	b := board{
		UID: uid, Title: title, Description: description, Tags: []string{"countersign"}, Timezone: "browser", Editable: true, GraphTooltip: 1, Refresh: "30s",
		SchemaVersion: 39, Version: 1, Time: timeRange{"now-6h", "now"}, Templating: templating{variables()},
		Links: []link{
			{Title: "Countersign", Type: "dashboards", Icon: "external link", Tooltip: "All dashboards of Countersign.", Tags: []string{"countersign"}, AsDropdown: true, IncludeVars: true, KeepTime: true},
			{Title: "Console", Type: "link", URL: DefaultLinks().Console + "/", Icon: "external link", Tooltip: "The gateway's own pages: persons, deliveries, endpoints.", Tags: []string{}, TargetBlank: true},
		},
	}
	note := func(name, colour, expr, title, text string) {
		b.Annotations.List = append(b.Annotations.List, annotation{
			Name: name, Enable: true, IconColor: colour, Datasource: prom, TitleFormat: title, TextFormat: text, Expr: filtered(expr),
		})
	}
	note("Starts", "purple", `changes(process_start_time_seconds[$__rate_interval]) > 0`, "start", "{{instance}}")
	note("Unclean starts", "red", `sum by (instance) (increase(countersign_starts_total{ended="unclean"}[$__rate_interval])) > 0`, "start after an unclean stop", "{{instance}}")
	note("Reloads", "blue", `sum by (instance, outcome) (increase(countersign_reloads_total[$__rate_interval])) > 0`, "reload {{outcome}}", "{{instance}}")
	id, y := 0, 0
	next := func() int { id++; return id }
	for _, r := range rows {
		open := false
		b.Panels = append(b.Panels, panel{ID: next(), Type: "row", Title: r.title, GridPos: gridPos{1, columns, 0, y}, Collapsed: &open, Panels: &[]panel{}})
		y++
		x, high := 0, 0
		for _, v := range r.views {
			at := gridPos{cmp.Or(v.h, viewHeight), cmp.Or(v.w, columns/perRow), x, y}
			if at.X+at.W > columns {
				at.X, at.Y, high = 0, y+high, 0
				y = at.Y
			}
			x, high = at.X+at.W, max(high, at.H)
			b.Panels = append(b.Panels, v.panel(next(), at))
		}
		y += high
	}
	return b
}

func variables() []variable {
	type pick struct {
		Text  any `json:"text"`
		Value any `json:"value"`
	}
	vs := []variable{{
		Name: "datasource", Label: "Data source", Type: "datasource", Query: "prometheus", Refresh: 1, Current: pick{"default", "default"},
	}}
	labels := func(name, label, query, all string) {
		vs = append(vs, variable{
			Name: name, Label: label, Type: "query", Datasource: &prom, Query: map[string]any{"query": query, "refId": "A", "qryType": 1}, Definition: query,
			Refresh: 2, Sort: 1, Multi: true, IncludeAll: true, AllValue: all, Current: pick{[]string{"All"}, []string{"$__all"}},
		})
	}
	labels("job", "Job", `label_values(countersign_build_info, job)`, "") // all of these, and no other program's
	labels("instance", "Instance", `label_values(countersign_build_info{job=~"$job"}, instance)`, ".+")
	labels("source", "Source", `label_values(countersign_ingest_callbacks_total{job=~"$job",instance=~"$instance"}, source)`, ".+")
	labels("partner", "Partner", `label_values(countersign_relay_endpoint_info{job=~"$job",instance=~"$instance"}, partner)`, ".+")
	labels("endpoint", "Endpoint", `label_values(countersign_relay_endpoint_info{job=~"$job",instance=~"$instance",partner=~"$partner"}, endpoint)`, "") // all of these partners
	return vs
}

func (v view) panel(id int, at gridPos) panel {
	zero := 0.0
	p := panel{ID: id, Type: "timeseries", Title: v.title, Description: v.description, Datasource: &prom, GridPos: at}
	if v.alert != "" {
		p.Description += " Alert: " + v.alert + "."
		p.Links = []link{{Title: "Runbook: " + v.alert, Type: "link", URL: DefaultLinks().Runbooks + "/" + v.alert, Icon: "doc", Tags: []string{}, TargetBlank: true}}
	}
	for i, q := range v.queries {
		t := target{RefID: string(rune('A' + i)), Datasource: prom, Expr: filtered(q.expr), LegendFormat: q.legend, Range: v.kind != "table", Instant: v.kind == "table"}
		t.Format = map[string]string{"table": "table", "heatmap": "heatmap"}[v.kind]
		p.Targets = append(p.Targets, t)
	}
	switch v.kind {
	case "stat":
		v.stat(&p)
		return p
	case "table":
		v.table(&p)
		return p
	case "heatmap":
		v.heatmap(&p)
		return p
	}
	fill, stacking := 10, "none"
	if v.stack {
		fill, stacking = 40, "normal"
	}
	d := defaults{
		Unit: v.unit, Min: &zero, Color: map[string]any{"mode": "palette-classic"}, Thresholds: thresholds{"absolute", []step{{Color: "green"}}},
		Custom: map[string]any{
			"drawStyle": "line", "lineWidth": 1, "fillOpacity": fill, "showPoints": "never", "spanNulls": false,
			"stacking": map[string]any{"mode": stacking, "group": "A"}, "thresholdsStyle": map[string]any{"mode": "off"},
		},
	}
	if v.max > 0 {
		d.Max = &v.max
	}
	if v.line > 0 {
		d.Thresholds.Steps = append(d.Thresholds.Steps, step{"red", &v.line})
		d.Custom["thresholdsStyle"] = map[string]any{"mode": "line"}
	}
	p.FieldConfig = &fieldConfig{d, []any{}}
	p.Options = map[string]any{
		"legend":  map[string]any{"displayMode": "table", "placement": "bottom", "showLegend": true, "calcs": []string{"lastNotNull", "max"}},
		"tooltip": map[string]any{"mode": "multi", "sort": "desc"},
	}
	return p
}

var metricName = regexp.MustCompile(`\b(?:countersign_[a-z0-9_]+|process_[a-z_]+|go_[a-z_]+)\b(\{)?|\bcountersign:[a-z0-9_]+:[a-z0-9_]+\b(\{)?`)

// filtered adds the filters on job and instance to every metric. Recorded series are of all
// instances of a job.
func filtered(expr string) string {
	return metricName.ReplaceAllStringFunc(expr, func(m string) string {
		name, open := strings.CutSuffix(m, "{")
		filter := `job=~"$job",instance=~"$instance"`
		if strings.HasPrefix(name, "countersign:") {
			filter = `job=~"$job"`
		}
		if open {
			return name + "{" + filter + ","
		}
		return name + "{" + filter + "}"
	})
}

func (b board) encode() ([]byte, error) {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(b)
	return buf.Bytes(), err
}
