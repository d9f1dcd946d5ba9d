package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"countersign/kyc"
	"countersign/outbox"
	"countersign/relay"
	"countersign/relay/dispatch"
)

// client speaks to the control listener of a running gateway, found through its config.
type client struct {
	base  string
	token string
}

// client reads the token from COUNTERSIGN_TOKEN or from the gateway's data directory.
func (f configFlag) client(c *console) (*client, error) {
	cfg, err := f.load(c)
	if err != nil {
		return nil, err
	}
	token, ok := c.env("COUNTERSIGN_TOKEN")
	if !ok {
		path := filepath.Join(cfg.Data, tokenFile)
		if token, err = readToken(path); errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return nil, fmt.Errorf("no token: set COUNTERSIGN_TOKEN, or run as who may read %s: %w", path, err)
		}
		if err != nil {
			return nil, err
		}
	}
	return &client{base: "http://" + reachable(cfg.Listen.Control), token: token}, nil
}

// reachable is where an address that is listened on is called from the same machine: all addresses are none to call, and no name to be called by.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if a, aerr := netip.ParseAddr(host); err != nil || host != "" && (aerr != nil || !a.IsUnspecified()) {
		return address
	}
	if strings.Contains(host, ":") {
		return net.JoinHostPort("::1", port)
	}
	return net.JoinHostPort("127.0.0.1", port)
}

// segment is a name as one segment of a path: one of dots only would otherwise be taken for a step in a file system, by whoever stands between us and the gateway.
func segment(name string) string {
	if strings.Trim(name, ".") == "" {
		return strings.ReplaceAll(name, ".", "%2E")
	}
	return url.PathEscape(name)
}

// call makes one request and decodes the answer into out.
func (cl *client) call(ctx context.Context, method, path string, in, out any) error {
	return cl.do(ctx, method, path, "", in, out)
}

// post makes one request that is carried out once, however often it is sent with the same key; empty: every time.
func (cl *client) post(ctx context.Context, path, key string, in, out any) error {
	return cl.do(ctx, http.MethodPost, path, key, in, out)
}

func (cl *client) do(ctx context.Context, method, path, key string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, cl.base+path, body)
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+cl.token)
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("no gateway answers at %s; is it running with this config? %w", cl.base, err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		var e struct {
			Error struct{ Message string }
		}
		if json.Unmarshal(b, &e) == nil && e.Error.Message != "" {
			return errors.New(escape(e.Error.Message, ""))
		}
		return fmt.Errorf("the gateway answered %s", resp.Status)
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

type subjectShowCommand struct {
	configFlag
	jsonFlag
	modeFlag
	Partner string `arg:"" help:"The partner's id."`
	ID      string `arg:"" help:"The subject's id, as the partner knows it."`
}

// modeFlag chooses between live and test subjects, which never share anything.
type modeFlag struct {
	Livemode *bool `help:"Whether the subject is a live one; without it, as the gateway's mode." negatable:""`
}

// query is the flag as the control API reads it.
func (m modeFlag) query() string {
	if m.Livemode == nil {
		return ""
	}
	return "?livemode=" + strconv.FormatBool(*m.Livemode)
}

// Run prints the subject's history.
func (cmd *subjectShowCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	var v relay.SubjectView
	path := "/v1/subjects/" + segment(cmd.Partner) + "/" + segment(cmd.ID) + cmd.query()
	if err := cl.call(c.ctx, http.MethodGet, path, nil, &v); err != nil {
		return err
	}
	if cmd.JSON {
		return c.show(v)
	}
	c.subject(v)
	return nil
}

func (c *console) subject(v relay.SubjectView) {
	if v.SetAside {
		c.printf("%s/%s  is set aside: a record of it is damaged, so nobody knows where it stands, and nothing new is told of it (countersign subject rebuild)\n", v.Partner, v.ID)
	} else {
		c.printf("%s/%s  %s\n", v.Partner, v.ID, v.Status.Status)
	}
	c.printf("\nwhat each check says\n")
	for _, ch := range v.Checks {
		c.printf("  %-22s %-10s %-10s %s\n", ch.Type, ch.Source, ch.Status, reasons(ch.Reasons))
	}
	c.why(v.Why)
	c.printf("\nwho told us what, and what we made of it\n")
	for _, r := range v.Records {
		u := r.Update
		said := string(u.Status)
		if u.ClaimedStatus != "" {
			said += " (claimed " + string(u.ClaimedStatus) + ")"
		}
		verdict := string(r.Verdict)
		if r.TakenBack != "" {
			verdict = "taken_back"
		}
		c.printf("  %s  %-10s %-24s %-20s %-10s %s\n", r.At.Format(time.RFC3339), u.Source, cmp.Or(u.ProviderEvent.Type, recordName(&u)), said, verdict,
			strings.TrimSpace(sequences(r.Changes)+ordered(&u)+happened(&u, r.Verdict)))
	}
	c.printf("\nwhat changed\n")
	for _, ch := range v.Changes {
		c.printf("  #%-3d %s  %-26s %s -> %s %s\n", ch.Sequence, ch.ID, ch.Type, ch.PreviousStatus, ch.Status, reasons(ch.Reasons))
	}
	c.printf("\nwhom we told\n")
	for _, d := range v.Deliveries {
		anew := ""
		if d.Anew != "" {
			anew = ", rendered anew in " + d.Anew
		}
		c.printf("  #%-3d %s  %-16s %-5s %s after %d attempt(s)%s\n", d.Sequence, d.At.Format(time.RFC3339), d.Endpoint, d.Outcome, d.Reason, d.Attempts, anew)
	}
	if v.Truncated {
		c.printf("\nthere is more than is shown here\n")
	}
}

// recordName says what a record is that no provider has named.
func recordName(u *kyc.Update) string {
	switch {
	case u.Kind == kyc.Decision && u.Rebuild != "":
		return "decision: rebuild"
	case u.Kind == kyc.Decision && u.TakenBack != "":
		return "decision: take back"
	case u.Kind == kyc.Decision && u.Release:
		return "decision: release"
	case u.Kind == kyc.Submission && u.Release:
		return "submission: settled"
	case u.Kind == kyc.Timer && u.Expiring:
		return "timer: notice"
	case u.Kind == kyc.Timer:
		return "timer: " + string(u.ExpiryKind)
	case u.Kind == kyc.PolicyChange:
		return fmt.Sprintf("policy: version %d", u.PolicyVersion)
	default:
		return string(u.Kind)
	}
}

// ordered says who wanted it, and why.
func ordered(u *kyc.Update) (s string) {
	if u.Actor != "" {
		s = " by " + u.Actor
	}
	if u.Note != "" {
		s += fmt.Sprintf(": %q", u.Note)
	}
	return s
}

// happened says when an event took place that came too late to count, or out of its order.
func happened(u *kyc.Update, v kyc.Verdict) string {
	switch {
	case v == kyc.Overruled && !u.OccurredAt.IsZero():
		return " (happened " + u.OccurredAt.Format(time.RFC3339) + ", before an operator's approval)"
	case v == kyc.Overruled:
		return " (an operator's approval answers it)"
	case v != kyc.Stale && v != kyc.Superseded || u.OccurredAt.IsZero():
		return ""
	}
	return " (happened " + u.OccurredAt.Format(time.RFC3339) + ")"
}

func sequences(ns []uint64) string {
	var b strings.Builder
	for _, n := range ns {
		fmt.Fprintf(&b, "#%d ", n)
	}
	return strings.TrimSpace(b.String())
}

type deliveriesCommand struct {
	configFlag
	jsonFlag
	Dead     bool   `required:"" help:"List the dead ones (what is owed is in the metrics)."`
	Endpoint string `help:"Of this endpoint only."`
	After    string `help:"Begin after this id."`
	Limit    int    `help:"At most so many." default:"100"`
}

// Run lists dead deliveries.
func (cmd *deliveriesCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	var v struct {
		Data    []outbox.DeadDelivery `json:"data"`
		HasMore bool                  `json:"has_more"`
	}
	q := url.Values{"status": {"dead"}, "endpoint": {cmd.Endpoint}, "after": {cmd.After}, "limit": {strconv.Itoa(cmd.Limit)}}
	if err := cl.call(c.ctx, http.MethodGet, "/v1/deliveries?"+q.Encode(), nil, &v); err != nil {
		return err
	}
	if cmd.JSON {
		return c.show(v)
	}
	for _, d := range v.Data {
		c.printf("%s  %-10s %-24s %d attempt(s), since %s\n", d.ID, d.Reason, d.Type, d.Failures, d.Owed.Format(time.RFC3339))
		if n := len(d.Tries); n > 0 {
			last := d.Tries[n-1]
			c.printf("    last: %s %s, answer %d %s\n", last.At.Format(time.RFC3339), last.Reason, last.Code, last.Detail)
		}
	}
	if v.HasMore {
		c.printf("more: --after %s\n", v.Data[len(v.Data)-1].ID)
	}
	return nil
}

type redeliverCommand struct {
	configFlag
	ID    string `arg:"" help:"The delivery's id, as countersign deliveries prints it."`
	Force bool   `help:"Even if a later change of the subject has been delivered since."`
}

// Run orders a redelivery.
func (cmd *redeliverCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	path := "/v1/deliveries/" + segment(cmd.ID) + "/redeliver?force=" + strconv.FormatBool(cmd.Force)
	if err := cl.call(c.ctx, http.MethodPost, path, nil, &struct{}{}); err != nil {
		return err
	}
	c.printf("%s is owed again\n", cmd.ID)
	return nil
}

type endpointsCommand struct {
	List   endpointsListCommand   `cmd:"" default:"withargs" help:"List the endpoints."`
	Resume endpointsResumeCommand `cmd:"" help:"Take a disabled endpoint up again."`
}

type endpointsListCommand struct {
	configFlag
	jsonFlag
}

// Run lists the endpoints.
func (cmd *endpointsListCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	var v struct {
		Data []dispatch.EndpointView `json:"data"`
	}
	if err := cl.call(c.ctx, http.MethodGet, "/v1/endpoints", nil, &v); err != nil {
		return err
	}
	if cmd.JSON {
		return c.show(v)
	}
	for _, e := range v.Data {
		state := "enabled"
		if e.Disabled != "" {
			state = "disabled: " + e.Disabled
		}
		c.printf("%-20s %-12s %-12s owed %d, dead %d, %s\n", e.ID, e.Partner, e.Format, e.Owed, e.Dead, state)
	}
	return nil
}

type endpointsResumeCommand struct {
	configFlag
	ID string `arg:"" help:"The endpoint's id."`
}

// Run resumes an endpoint.
func (cmd *endpointsResumeCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	if err := cl.call(c.ctx, http.MethodPost, "/v1/endpoints/"+segment(cmd.ID)+"/resume", nil, &struct{}{}); err != nil {
		return err
	}
	c.printf("%s is enabled: what it is owed goes out now; what was answered 410 is among the dead\n", cmd.ID)
	return nil
}

type backupCommand struct {
	configFlag
	File string `arg:"" help:"The file to write; it must not exist." type:"path"`
}

// Run makes a hot backup.
func (cmd *backupCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	var v struct{ Bytes int64 }
	if err := cl.call(c.ctx, http.MethodPost, "/v1/backup", map[string]string{"path": cmd.File}, &v); err != nil {
		return err
	}
	c.printf("%s: %d bytes, every page checked; keep the key file of the data directory with it\n", cmd.File, v.Bytes)
	return nil
}
