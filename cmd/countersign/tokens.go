package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"time"

	"countersign/relay/control/api"
	"countersign/relay/registry"
)

type tokenCommand struct {
	List   tokenListCommand   `cmd:"" default:"withargs" help:"List the tokens of the control API: owner, scope, expiry and last use."`
	Make   tokenMakeCommand   `cmd:"" help:"Create a token. It is shown once, on a terminal, or written to a file."`
	Revoke tokenRevokeCommand `cmd:"" help:"Revoke a token immediately."`
}

type tokenListCommand struct {
	gatewayFlags
	jsonFlag
	pageFlags
}

// Run lists the tokens.
func (cmd *tokenListCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	t := &table{head: []string{"NAME", "SCOPE", "PARTNER", "STATUS", "FROM", "MADE", "MADE BY", "EXPIRES", "LAST USED", "REVOKED", "REVOKED BY"}}
	return lists(c, cmd.jsonFlag, cmd.pageFlags, cl.ListTokens, t, func(t *table, v *api.Token) {
		t.add(v.Name, string(v.Scope), v.Partner, v.Status, v.From, when(v.MadeAt), v.MadeBy, when(v.ExpiresAt), when(v.LastUsedAt), when(v.RevokedAt), v.RevokedBy)
	})
}

// token says what a token is that was just made.
func (c *console) token(t *api.Token) {
	whose := ""
	if t.Partner != "" {
		whose = " of partner " + t.Partner
	}
	until := "never expires"
	if !t.ExpiresAt.IsZero() {
		until = "expires " + when(t.ExpiresAt)
	}
	c.printf("%s: scope %s%s, %s\n", t.Name, t.Scope, whose, until)
}

type tokenMakeCommand struct {
	gatewayFlags
	jsonFlag
	Name      string `arg:"" help:"Who holds the token; recorded in the audit trail."`
	Scope     string `required:"" help:"Scope: admin, operator, viewer or partner." enum:"admin,operator,viewer,partner"`
	Partner   string `help:"For scope partner: the id of the partner it is limited to."`
	Expires   string `help:"Expiry: after a time (90d, 12h), or at a date (2027-01-01, or with hours). Without it, never."`
	Out       string `help:"Write it to this new file, with mode 0600." placeholder:"FILE" type:"path"`
	ForConfig bool   `help:"Do not call a gateway; print the lines for the config as well."`
}

// Run makes a token.
func (cmd *tokenMakeCommand) Run(c *console) (err error) {
	if cmd.Out == "" && !c.shown {
		return usageError("a token is shown on a terminal only, and there is none: add --out FILE")
	}
	ends, err := expiry(cmd.Expires, time.Now())
	if err != nil {
		return err
	}
	if cmd.ForConfig {
		return cmd.forConfig(c)
	}
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	f, err := cmd.open() // before it is made: it is shown once, and had to be revoked if there were no place for it
	if err != nil {
		return err
	}
	v, err := cl.MakeToken(c.ctx, cmd.Name, api.TokenAsk{Scope: api.Scope(cmd.Scope), Partner: cmd.Partner, ExpiresAt: ends})
	if err != nil {
		return errors.Join(err, abandon(f))
	}
	text := v.Token
	v.Token = ""
	if err := cmd.hand(c, f, text); err != nil {
		return fmt.Errorf("%w; revoke %s, and make another", err, cmd.Name)
	}
	if cmd.JSON {
		return c.show(v)
	}
	c.token(&v)
	return nil
}

// forConfig makes a token that no gateway keeps: its digest goes into the config.
func (cmd *tokenMakeCommand) forConfig(c *console) error {
	if _, m := parseName(cmd.Name); m != nil {
		return usageError("the name " + m.what + "; " + m.remedy)
	}
	if cmd.Expires != "" {
		return usageError("a token of the config has no end of its own: leave --expires out, and take it out of the config when it has to end")
	}
	if (cmd.Scope == "partner") != (cmd.Partner != "") {
		return usageError("--partner and scope partner come together")
	}
	text, err := newToken()
	if err != nil {
		return err
	}
	f, err := cmd.open()
	if err != nil {
		return err
	}
	if err := cmd.hand(c, f, text); err != nil {
		return err
	}
	partner := ""
	if cmd.Partner != "" {
		partner = ", partner: " + cmd.Partner
	}
	c.printf("for the config; it counts after countersign reload:\ntokens:\n  - {name: %s, scope: %s%s, sha256: %x}\n", cmd.Name, cmd.Scope, partner, sha256.Sum256([]byte(text)))
	return nil
}

// expiry is when a token ends; zero: never.
func expiry(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := registry.ParseDuration(text); err == nil && d > 0 {
		return now.Add(d).UTC().Truncate(time.Second), nil
	}
	t, m := parseTime(text)
	if m != nil {
		return t, usageError("--expires " + m.what + " and no duration; write it like 90d, 12h, 2027-01-01 or 2027-01-01T08:00:00Z")
	}
	return t, nil
}

// open makes the file that the token goes to; nil: it goes to the terminal.
func (cmd *tokenMakeCommand) open() (*os.File, error) {
	if cmd.Out == "" {
		return nil, nil
	}
	f, err := os.OpenFile(cmd.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("a place for the token: %w", err)
	}
	return f, nil
}

// abandon takes a file back that nothing came into.
func abandon(f *os.File) error {
	if f == nil {
		return nil
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// hand gives a token to whoever asked for it, this once.
func (cmd *tokenMakeCommand) hand(c *console, f *os.File, text string) error {
	if f == nil {
		c.printf("shown this once: %s\n", text)
		return nil
	}
	_, err := f.WriteString(text + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write the token to %s: %w", cmd.Out, err)
	}
	if !cmd.JSON {
		c.printf("the token is in %s\n", cmd.Out)
	}
	return nil
}

type tokenRevokeCommand struct {
	gatewayFlags
	jsonFlag
	Name string `arg:"" help:"The token's name, as countersign token prints it."`
}

// Run revokes a token.
func (cmd *tokenRevokeCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	v, err := cl.RevokeToken(c.ctx, cmd.Name)
	if err != nil {
		return err
	}
	return cmd.say(c, v, "%s is revoked: calls with it are refused\n", cmd.Name)
}
