package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"countersign/relay/control/api"
)

type auditCommand struct {
	configFlag
	jsonFlag
	pageFlags
	Since  string `help:"From this instant or day on, such as 2026-11-30 or 2026-11-30T08:00:00Z."`
	Until  string `help:"Before this instant or day."`
	Actor  string `help:"Of the token with this name only."`
	NDJSON bool   `name:"ndjson" help:"Print all of it, the oldest first, one JSON object a line."`
}

// Run lists the audit trail, the newest first.
func (cmd *auditCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	q := cmd.query()
	for name, v := range map[string]string{"since": cmd.Since, "until": cmd.Until, "actor": cmd.Actor} {
		if v != "" {
			q.Set(name, v)
		}
	}
	if cmd.NDJSON {
		q.Set("format", "ndjson")
		return cl.stream(c.ctx, c.out, "/v1/audit?"+q.Encode())
	}
	v, err := fetchList[api.AuditEntry](c.ctx, cl, "/v1/audit", q)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return c.show(v)
	}
	for _, e := range v.Data {
		outcome := "ok"
		if !e.OK {
			outcome = e.Error
		}
		if e.Key != "" {
			outcome += ", made " + e.Key
		}
		method, _, _ := strings.Cut(e.Call, " ")
		c.printf("%s  %s  %-16s %-5s %s  %s\n", e.ID, e.At.Format(time.RFC3339), e.Actor, method, e.Path, outcome)
	}
	if v.HasMore {
		c.printf("more: --cursor %s\n", v.Next)
	}
	return nil
}

// stream copies an answer as it comes, however long it is. One that ends early is an error.
func (cl *client) stream(ctx context.Context, out io.Writer, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, cl.base+path, nil)
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+cl.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("no gateway answers at %s; is it running with this config? %w", cl.base, err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		return fmt.Errorf("the gateway answered %s: %s", resp.Status, strings.TrimSpace(string(b)))
	}
	if _, err := io.Copy(out, resp.Body); err != nil {
		return fmt.Errorf("not all of the answer was read: %w", err)
	}
	return nil
}
