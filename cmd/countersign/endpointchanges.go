package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"countersign/relay/control/api"
)

type endpointsShowCommand struct {
	gatewayFlags
	jsonFlag
	ID string `arg:"" help:"The endpoint's id."`
}

// Run shows an endpoint.
func (cmd *endpointsShowCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	v, err := cl.Endpoint(c.ctx, cmd.ID)
	if err != nil {
		return err
	}
	return cmd.endpoint(c, &v)
}

// endpoint shows an endpoint in full.
func (f jsonFlag) endpoint(c *console, v *api.EndpointDetail) error {
	if f.JSON {
		return c.show(v)
	}
	c.printf("%s of %s, from %s\n  %s, format %s\n  events %s\n", v.ID, v.Partner, v.From, v.URL, v.Format, strings.Join(v.Events, ", "))
	if v.Filter != "" {
		c.printf("  filter %s\n", v.Filter)
	}
	fails := "failing for " + v.DisableAfter + " disables it"
	if v.DisableAfter == "never" {
		fails = "failing never disables it"
	}
	c.printf("  %s\n", fails)
	c.printf("  concurrency %d, timeout %s, at most %d pending, since %s, %d attempts\n", v.Concurrency, v.Timeout, v.MaxOwed, v.Since, v.Retry.Attempts)
	if len(v.Headers) > 0 {
		c.printf("  headers %s\n", strings.Join(v.Headers, ", "))
	}
	if v.Version > 0 {
		c.printf("  version %d of %s\n", v.Version, when(v.ChangedAt))
	}
	if v.Disabled != "" {
		c.printf("  disabled: %s\n", v.Disabled)
	}
	if v.Paused != nil {
		c.printf("  paused by %s since %s\n", v.Paused.By, when(v.Paused.At))
	}
	c.printf("  pending %d, dead-lettered %d\n", v.Owed, v.Dead)
	return nil
}

// endpointFlags are what may be said of an endpoint. What is not said stays, or is the default of a
// new one.
type endpointFlags struct {
	URL          *string           `help:"The URL of the endpoint."`
	Format       *string           `help:"The webhook format; countersign formats lists them."`
	Events       []string          `help:"Change types to send: *, kyc.status.*, kyc.status.rejected …"`
	Filter       *string           `help:"A condition on the change, such as: change.status == \"rejected\". Empty: none."`
	Concurrency  *int              `help:"Maximum number of concurrent deliveries."`
	Rate         *string           `help:"Deliveries per second, or unlimited."`
	Timeout      *string           `help:"Timeout of one attempt, such as 15s."`
	MaxOwed      *int64            `help:"Maximum number of pending deliveries."`
	Since        *string           `help:"Do not send changes recorded before this time: 2026-12-01T08:00:00Z, or always."`
	DisableAfter *string           `help:"Disable the endpoint after this much time with nothing but failures, such as 5d, or never."`
	Retry        map[string]string `help:"The retry schedule: first, factor, max, jitter, attempts, max_retry_after, as KEY=VALUE."`
	Header       map[string]string `help:"A header for every request, as NAME=VALUE; the value is text, env:NAME or file:PATH. An empty value removes the header."`
}

// body is what was said, as the API takes it.
func (f *endpointFlags) body(c *console) (api.Fields, error) {
	in := api.Fields{}
	given(in, "url", f.URL, f.URL != nil)
	given(in, "format", f.Format, f.Format != nil)
	given(in, "events", f.Events, f.Events != nil)
	given(in, "filter", f.Filter, f.Filter != nil)
	given(in, "concurrency", f.Concurrency, f.Concurrency != nil)
	given(in, "timeout", f.Timeout, f.Timeout != nil)
	given(in, "max_owed", f.MaxOwed, f.MaxOwed != nil)
	given(in, "since", f.Since, f.Since != nil)
	given(in, "disable_after", f.DisableAfter, f.DisableAfter != nil)
	if f.Rate != nil {
		rate, m := parseRate(*f.Rate)
		if m != nil {
			return nil, usageError("--rate " + m.what + "; " + m.remedy)
		}
		in["rate"] = rate
	}
	retry := map[string]any{}
	for key, text := range f.Retry {
		if n, err := strconv.ParseFloat(text, 64); err == nil {
			retry[key] = n
			continue
		}
		retry[key] = text
	}
	given(in, "retry", retry, len(retry) > 0)
	headers := map[string]*string{}
	for name, text := range f.Header {
		if strings.HasPrefix(text, "env:") || strings.HasPrefix(text, "file:") {
			secret, m := readSecret(text, ".", c.env)
			if m != nil {
				return nil, usageError("--header: " + m.what + "; " + m.remedy)
			}
			text = secret
		}
		if headers[name] = &text; text == "" {
			headers[name] = nil
		}
	}
	given(in, "headers", headers, len(headers) > 0)
	return in, nil
}

type endpointsCreateCommand struct {
	besideFlags
	jsonFlag
	endpointFlags
	Partner string `arg:"" help:"The partner's id."`
	ID      string `arg:"" help:"The endpoint's id, unique over all partners: 1 to 64 of a-z 0-9 . - _"`
	Out     string `help:"Write its key to this new file, with mode 0600." placeholder:"FILE" type:"path"`
}

// Run makes an endpoint, and hands its key over.
func (cmd *endpointsCreateCommand) Run(c *console) (err error) {
	if cmd.Out == "" && !c.shown {
		return usageError("a key is shown on a terminal only, and there is none: add --out FILE")
	}
	in, err := cmd.body(c)
	if err != nil {
		return err
	}
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	var f *os.File // before it is made: it is shown once
	if cmd.Out != "" {
		if f, err = os.OpenFile(cmd.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
			return fmt.Errorf("a place for the key: %w", err)
		}
	}
	in["id"] = cmd.ID
	v, err := cl.CreateEndpoint(c.ctx, cmd.Partner, rand.Text(), in)
	if err != nil {
		return errors.Join(err, abandon(f))
	}
	key := v.Key
	v.Key = ""
	if f == nil {
		c.printf("its key, shown this once: %s\n", key)
		return cmd.endpoint(c, &v)
	}
	_, err = f.WriteString(key + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write the key to %s: %w; remove endpoint %s, and make it again", cmd.Out, err, cmd.ID)
	}
	return cmd.endpoint(c, &v)
}

type endpointsUpdateCommand struct {
	besideFlags
	jsonFlag
	endpointFlags
	versionFlag
	ID string `arg:"" help:"The endpoint's id."`
}

// Run changes an endpoint.
func (cmd *endpointsUpdateCommand) Run(c *console) error {
	in, err := cmd.body(c)
	if err != nil {
		return err
	}
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	v, err := cl.UpdateEndpoint(c.ctx, cmd.ID, cmd.match(), in)
	if err != nil {
		return err
	}
	return cmd.endpoint(c, &v)
}

type endpointsRemoveCommand struct {
	gatewayFlags
	jsonFlag
	removeFlags
	ID string `arg:"" help:"The endpoint's id."`
}

// Run takes an endpoint away.
func (cmd *endpointsRemoveCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	v, err := cl.RemoveEndpoint(c.ctx, cmd.ID, cmd.match(), cmd.DryRun)
	if err != nil {
		return err
	}
	return c.left(&v, cmd.JSON)
}
