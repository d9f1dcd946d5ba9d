package api

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
)

// Example is a call that was made, and what it was answered. The examples of a call stand in
// examples/ID.json; docs/doctest sends them to a running gateway and writes the answers.
type Example struct {
	Name   string          `json:"name"`
	As     string          `json:"as,omitempty"` // the scope of whose token; without it, operator
	Path   string          `json:"path"`
	Ask    json.RawMessage `json:"ask,omitempty"`
	Status int             `json:"status"`
	Answer json.RawMessage `json:"answer,omitempty"` // none: it is no JSON
}

//go:embed examples
var exampleFiles embed.FS

// Examples reads the call's examples.
func (c *Call) Examples() (list []Example, err error) {
	b, err := exampleFiles.ReadFile("examples/" + c.ID + ".json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		err = d.Decode(&list)
	}
	if err != nil {
		return nil, fmt.Errorf("examples of %s: %w", c.ID, err)
	}
	return list, nil
}

func (e *Example) asked() any {
	if e.Ask == nil {
		return nil
	}
	return e.Ask
}

// shows are the examples as the document has them, of what they ask.
func shows(list []Example, part func(*Example) any) object {
	shown := object{}
	for i := range list {
		if v := part(&list[i]); v != nil {
			shown[list[i].Name] = object{"summary": list[i].Path, "value": v}
		}
	}
	return shown
}
