package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"countersign/ingest/provider"
	"countersign/kyc"
	"countersign/relay/format"
	"countersign/signing"
)

// jsonFlag is on every command: scripts read JSON, people read text.
type jsonFlag struct {
	JSON bool `help:"Print JSON." name:"json"`
}

// say prints what a command has come to: v to scripts, a text to people.
func (f jsonFlag) say(c *console, v any, format string, args ...any) error {
	if f.JSON {
		return c.show(v)
	}
	c.printf(format, args...)
	return nil
}

// show prints v as one line of JSON.
func (c *console) show(v any) error { return encode(c.out, v) }

func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

type providersCommand struct {
	jsonFlag
	Provider string `arg:"" optional:"" help:"Only this provider, with its options and the samples for trigger."`
}

type providerView struct {
	Name     string            `json:"name"`
	Evidence string            `json:"evidence"`
	Doc      string            `json:"doc"`
	Options  map[string]string `json:"options,omitempty"`
	Samples  []string          `json:"samples"`
	Common   map[string]string `json:"common,omitempty"` // names that all providers share, and which sample each means
	Stream   bool              `json:"stream,omitempty"` // followed as one: it posts no callbacks
}

// Run lists the adapters.
func (cmd *providersCommand) Run(c *console) error {
	var views []providerView
	for _, a := range provider.All {
		views = append(views, providerView{a.Name, string(proved(a, nil)), a.Doc, a.Options, provider.SampleEvents(a.Name), provider.CommonSamples(a.Name), a.Stream != nil})
	}
	views = append(views, providerView{Name: provider.GenericName, Evidence: string(kyc.Signed), Doc: "docs/ADDING.md: any other provider, by configuration alone"})
	if cmd.Provider != "" {
		i := slices.IndexFunc(views, func(v providerView) bool { return v.Name == cmd.Provider })
		if i < 0 {
			return unknownProvider(cmd.Provider)
		}
		if views = views[i : i+1]; !cmd.JSON {
			c.provider(&views[0])
			return nil
		}
	}
	if cmd.JSON {
		return c.show(views)
	}
	t := &table{head: []string{"PROVIDER", "PROVES", "HOW IT TELLS", "PAGE"}}
	for _, v := range views {
		how := "posts callbacks"
		if v.Stream {
			how = "its stream is followed"
		}
		t.add(v.Name, v.Evidence, how, v.Doc)
	}
	c.print(t)
	return nil
}

// provider says all of one.
func (c *console) provider(v *providerView) {
	c.printf("%s  %s  %s\n", v.Name, v.Evidence, v.Doc)
	for _, o := range sortedKeys(v.Options) {
		c.printf("  option %s: %s\n", o, v.Options[o])
	}
	if v.Stream {
		c.printf("  it posts no callbacks: its stream is followed, with the account in api\n")
	} else if len(v.Samples) > 0 {
		c.printf("  samples for trigger: %s\n", strings.Join(v.Samples, " "))
		for _, name := range provider.CommonNames {
			if sample := v.Common[name]; sample != "" && sample != name {
				c.printf("    %s: %s\n", name, sample)
			}
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	var ks []string
	for k := range m {
		ks = append(ks, k)
	}
	slices.Sort(ks)
	return ks
}

type formatsCommand struct{ jsonFlag }

// Run lists the formats and what each cannot say.
func (cmd *formatsCommand) Run(c *console) error {
	type view struct {
		Name string   `json:"name"`
		Gaps []string `json:"gaps"`
	}
	var views []view
	for _, f := range format.All {
		views = append(views, view{f.Name, f.Gaps})
	}
	if cmd.JSON {
		return c.show(views)
	}
	for _, v := range views {
		c.printf("%s\n", v.Name)
		for _, g := range v.Gaps {
			c.printf("  - %s\n", g)
		}
	}
	return nil
}

// captured is a callback in files.
type captured struct {
	Provider string            `required:"" help:"The provider (see countersign providers)."`
	Option   map[string]string `help:"An option of the adapter, name=value; may be repeated." mapsep:"none"`
	Body     string            `required:"" help:"File with the body, byte for byte; - is standard input."`
	Headers  string            `help:"JSON file with the headers: {\"Name\": \"value\"} or {\"Name\": [\"value\"]}."`
	Config   string            `help:"For provider generic: the config that describes it." type:"path"`
	Source   string            `help:"For provider generic: which source of the config, if there are several."`
}

func (f captured) read(c *console) (a provider.Adapter, h http.Header, body []byte, err error) {
	if a, err = f.adapter(c); err != nil {
		return a, nil, nil, err
	}
	if body, err = readInput(c, f.Body); err != nil {
		return a, nil, nil, err
	}
	h = http.Header{}
	if f.Headers == "" {
		return a, h, body, nil
	}
	b, err := os.ReadFile(f.Headers)
	if err != nil {
		return a, nil, nil, fmt.Errorf("read the headers: %w", err)
	}
	var fields map[string]any
	if err := json.Unmarshal(b, &fields); err != nil {
		return a, nil, nil, fmt.Errorf("read the headers: %s is not a JSON object: %w", f.Headers, err)
	}
	for name, v := range fields {
		switch v := v.(type) {
		case string:
			h.Add(name, v)
		case []any:
			for _, x := range v {
				h.Add(name, fmt.Sprint(x))
			}
		default:
			return a, nil, nil, fmt.Errorf("read the headers: %s is neither a text nor a list", name)
		}
	}
	return a, h, body, nil
}

func readInput(c *console, name string) (b []byte, err error) {
	if name == "-" {
		b, err = io.ReadAll(c.in)
	} else {
		b, err = os.ReadFile(name) //nolint:gosec // the user names it
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", cmp.Or(strings.TrimPrefix(name, "-"), "standard input"), err)
	}
	return b, nil
}

type verifyCommand struct {
	captured
	jsonFlag
	Key []string `help:"env:NAME or file:PATH of a key; may be repeated, newest first. Not needed if the provider does not sign."`
	At  int64    `help:"Verify as of this unix time; default now."`
}

// Run explains; a callback that is not genuine is exit 1.
func (cmd *verifyCommand) Run(c *console) error {
	a, h, body, err := cmd.read(c)
	if err != nil {
		return err
	}
	scheme, err := a.Scheme(cmd.Option)
	if err != nil {
		return err
	}
	keys, err := readKeys(c, cmd.Key)
	if err != nil {
		return err
	}
	if len(keys) == 0 && !signing.Keyless(scheme) {
		return fmt.Errorf("verify needs --key: the key of the source, or of %s's published keys the one that the callback names", a.Name)
	}
	at := time.Now()
	if cmd.At != 0 {
		at = time.Unix(cmd.At, 0)
	}
	verr := scheme.Verify(h, body, keys, at)
	steps := signing.Explain(scheme, h, body, keys, at)
	if cmd.JSON {
		err = c.show(map[string]any{"genuine": verr == nil, "evidence": a.Authenticity(cmd.Option), "steps": steps})
	} else {
		for _, s := range steps {
			c.printf("%s\n", s)
		}
	}
	if verr != nil {
		return errors.Join(errNo, err)
	}
	return err
}

func readKeys(c *console, refs []string) (keys signing.Keyring, err error) {
	for _, ref := range refs {
		text, m := readSecret(ref, ".", c.env)
		if m != nil {
			return nil, fmt.Errorf("key %s: %s; %s", ref, m.what, m.remedy)
		}
		k, err := signing.ParseKey(text)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", ref, err)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

type translateCommand struct {
	captured
	jsonFlag
}

// Run prints {"disposition", "updates", "fetch", "ignored", "hold", "error"}; an unreadable body is
// exit 1.
func (cmd *translateCommand) Run(c *console) error {
	a, h, body, err := cmd.read(c)
	if err != nil {
		return err
	}
	if _, err := a.Scheme(cmd.Option); err != nil {
		return err
	}
	out, terr := a.Meaning(h, body, cmd.Option)
	err = c.show(out)
	if terr != nil {
		return errors.Join(errNo, err)
	}
	return err
}

type signCommand struct {
	jsonFlag
	Scheme string   `required:"" help:"A partner format (see countersign formats)."`
	Key    []string `required:"" help:"env:NAME or file:PATH of the endpoint's key; may be repeated, newest first."`
	Body   string   `required:"" help:"File with the body, byte for byte; - is standard input."`
	ID     string   `help:"The webhook-id." default:"evt_00000000000000000000000000"`
	At     int64    `help:"Sign as of this unix time; default now."`
}

// Run prints the headers a partner would receive with this body.
func (cmd *signCommand) Run(c *console) error {
	f, ok := format.ByName(cmd.Scheme)
	if !ok {
		return unknownFormat(cmd.Scheme)
	}
	keys, err := readKeys(c, cmd.Key)
	if err != nil {
		return err
	}
	body, err := readInput(c, cmd.Body)
	if err != nil {
		return err
	}
	at := time.Now()
	if cmd.At != 0 {
		at = time.Unix(cmd.At, 0)
	}
	h := http.Header{"Content-Type": {f.ContentType}}
	if err := f.Scheme.Sign(h, signing.Message{ID: cmd.ID, Time: at, Body: body}, keys); err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	if cmd.JSON {
		return c.show(h)
	}
	for _, name := range sortedKeys(h) {
		for _, v := range h[name] {
			c.printf("%s: %s\n", name, v)
		}
	}
	return nil
}
