package dashboards

import "strconv"

// The kinds of panels beside plots over time.

// rising is a traffic light for what should be low: orange and red from these on; 0: there is no
// such colour.
func rising(orange, red float64) []step {
	steps := []step{{Color: "green"}}
	if orange != 0 {
		steps = append(steps, step{"orange", new(orange)})
	}
	if red != 0 {
		steps = append(steps, step{"red", new(red)})
	}
	return steps
}

// falling is one for what has to be at least so much.
func falling(green float64) []step { return []step{{Color: "red"}, {"green", new(green)}} }

// plain has no colour but one that says nothing.
func plain() []step { return []step{{Color: "text"}} }

func (v view) stat(p *panel) {
	p.Type = "stat"
	p.FieldConfig = &fieldConfig{defaults{
		Unit: v.unit, Min: new(0.0), Color: map[string]any{"mode": "thresholds"}, Custom: map[string]any{}, Thresholds: thresholds{"absolute", v.steps},
	}, []any{}}
	mode := "background"
	if len(v.steps) == 1 {
		mode = "none"
	}
	p.Options = map[string]any{
		"colorMode": mode, "graphMode": "area", "justifyMode": "auto", "orientation": "auto", "textMode": "auto", "wideLayout": true, "showPercentChange": false, "percentChangeColorMode": "standard",
		"reduceOptions": map[string]any{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
	}
}

// table shows one row for each value of the label that all queries share, and a column for each
// query.
func (v view) table(p *panel) {
	p.Type = "table"
	label := v.queries[0].legend
	rename, order, overrides := map[string]any{label: v.unit}, map[string]any{label: 0}, []any{}
	of := func(name string, properties ...any) {
		overrides = append(overrides, map[string]any{"matcher": map[string]any{"id": "byName", "options": name}, "properties": properties})
	}
	property := func(id string, value any) any { return map[string]any{"id": id, "value": value} }
	of(v.unit, property("links", []any{map[string]any{"title": "Only this one", "url": "/d/countersign-overview?var-" + label + "=${__value.raw}&${__url_time_range}"}}))
	for i, c := range v.columns {
		value := "Value #" + string(rune('A'+i))
		rename[value], order[value] = c.title, i+1
		properties := []any{property("unit", c.unit)}
		if c.steps != nil {
			properties = append(properties, property("thresholds", thresholds{"absolute", c.steps}), property("custom.cellOptions", map[string]any{"type": "color-background", "mode": "basic"}))
		}
		of(c.title, properties...)
	}
	p.FieldConfig = &fieldConfig{defaults{
		Unit: "none", Min: new(0.0), Color: map[string]any{"mode": "thresholds"}, Custom: map[string]any{"align": "auto", "filterable": true, "inspect": false}, Thresholds: thresholds{"absolute", plain()},
	}, overrides}
	p.Options = map[string]any{"showHeader": true, "frameIndex": 0, "cellHeight": "sm", "sortBy": []any{map[string]any{"displayName": v.columns[0].title, "desc": true}}}
	p.Transforms = []any{
		map[string]any{"id": "merge", "options": map[string]any{}},
		map[string]any{"id": "organize", "options": map[string]any{"excludeByName": map[string]any{"Time": true}, "indexByName": order, "renameByName": rename}},
	}
}

func (v view) heatmap(p *panel) {
	p.Type = "heatmap"
	p.FieldConfig = &fieldConfig{defaults{Unit: "none", Min: new(0.0), Color: map[string]any{}, Custom: map[string]any{}, Thresholds: thresholds{"absolute", plain()}}, []any{}}
	p.Options = map[string]any{
		"calculate": false, "cellGap": 1, "showValue": "never", "color": map[string]any{"mode": "scheme", "scheme": "Oranges", "scale": "exponential", "exponent": 0.5, "steps": 64, "reverse": false, "fill": "dark-orange"},
		"yAxis": map[string]any{"unit": v.unit, "axisPlacement": "left", "reverse": false}, "rowsFrame": map[string]any{"layout": "auto"}, "filterValues": map[string]any{"le": 1e-9},
		"tooltip": map[string]any{"mode": "single", "yHistogram": true, "showColorScale": true}, "legend": map[string]any{"show": true}, "exemplars": map[string]any{"color": "rgba(255,0,255,0.7)"},
	}
}

// text is a number as it stands in an alert.
func text(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
