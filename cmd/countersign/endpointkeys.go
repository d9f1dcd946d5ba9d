package main

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"os"

	"countersign/relay/control/api"
	"countersign/relay/registry"
)

// key says what a key is that was just made.
func (c *console) key(k *api.EndpointKey) {
	until := "signs for good"
	if !k.Until.IsZero() {
		until = "signs until " + when(k.Until)
	}
	c.printf("%s: %s, %s\n", k.ID, k.Kind, until)
	if k.PublicKey != "" {
		c.printf("  the partner verifies with %s\n", k.PublicKey)
	}
}

type endpointsKeysCommand struct {
	gatewayFlags
	jsonFlag
	ID string `arg:"" help:"The endpoint's id."`
}

// Run lists the keys of an endpoint.
func (cmd *endpointsKeysCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	v, err := cl.ListKeys(c.ctx, cmd.ID)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return c.show(v)
	}
	t := &table{head: []string{"KEY", "KIND", "FROM", "MADE", "STATUS", "UNTIL", "PUBLIC KEY"}}
	for i := range v.Data {
		k := &v.Data[i]
		t.add(cmp.Or(k.ID, "(in the config)"), k.Kind, k.From, when(k.MadeAt), k.Status, cmp.Or(when(k.Until), "for good"), k.PublicKey)
	}
	c.print(t)
	return nil
}

// handed is where the secret of a new key goes.
type handed struct {
	Out string `help:"Write the secret of an hmac key to this new file, with mode 0600." placeholder:"FILE" type:"path"`
}

// place makes the file that a secret goes to; nil: it goes to the terminal. That is seen to before
// the key is made, for its secret is shown once.
func (h *handed) place(c *console) (*os.File, error) {
	if h.Out == "" {
		if !c.shown {
			return nil, usageError("the secret of a key is shown on a terminal only, and there is none: add --out FILE")
		}
		return nil, nil
	}
	f, err := os.OpenFile(h.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("a place for the secret: %w", err)
	}
	return f, nil
}

// hand gives the secret of a key to whoever made it, this once, and takes it out of the view.
func (h *handed) hand(c *console, f *os.File, k *api.EndpointKey, quiet bool) error {
	text := k.Secret
	k.Secret = ""
	switch {
	case text == "": // an ed25519 key: the partner needs the public half only
		return abandon(f)
	case f == nil:
		c.printf("shown this once: %s\n", text)
		return nil
	}
	_, err := f.WriteString(text + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write the secret to %s: %w; revoke %s, and make another", h.Out, err, k.ID)
	}
	if !quiet {
		c.printf("the secret is in %s\n", h.Out)
	}
	return nil
}

type endpointsRotateCommand struct {
	gatewayFlags
	jsonFlag
	handed
	ID      string `arg:"" help:"The endpoint's id."`
	Kind    string `help:"hmac (the partner shares the secret) or ed25519 (the partner gets the public key). Without it, the kind of the newest key." enum:",hmac,ed25519" default:"" placeholder:"KIND"`
	Overlap string `help:"How long older keys keep signing, up to 7d." default:"24h"`
}

// Run makes a key that signs first from now on.
func (cmd *endpointsRotateCommand) Run(c *console) error {
	overlap, err := registry.ParseDuration(cmd.Overlap)
	if err != nil {
		return usageError("--overlap is no duration; write it like 24h or 7d")
	}
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	var f *os.File
	if cmd.Kind != "ed25519" {
		if f, err = cmd.place(c); err != nil {
			return err
		}
	}
	k, err := cl.RotateKey(c.ctx, cmd.ID, rand.Text(), api.RotateAsk{Kind: cmd.Kind, Overlap: overlap.String()})
	if err != nil {
		return errors.Join(err, abandon(f))
	}
	if err := cmd.hand(c, f, &k, cmd.JSON); err != nil {
		return err
	}
	if cmd.JSON {
		return c.show(k)
	}
	c.key(&k)
	return nil
}

type endpointsRevokeCommand struct {
	gatewayFlags
	jsonFlag
	handed
	ID      string `arg:"" help:"The endpoint's id."`
	Key     string `arg:"" help:"The key's id, as countersign endpoints keys prints it."`
	Replace bool   `help:"Create a replacement of the same kind in the same step; required to revoke the last signing key."`
}

// Run ends a key.
func (cmd *endpointsRevokeCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	var f *os.File
	if cmd.Replace {
		if f, err = cmd.place(c); err != nil {
			return err
		}
	}
	v, err := cl.RevokeKey(c.ctx, cmd.ID, cmd.Key, rand.Text(), cmd.Replace)
	if err != nil {
		return errors.Join(err, abandon(f))
	}
	if v.Replacement != nil {
		if err := cmd.hand(c, f, v.Replacement, cmd.JSON); err != nil {
			return err
		}
	}
	if cmd.JSON {
		return c.show(v)
	}
	c.printf("%s is revoked: it no longer signs anything\n", cmd.Key)
	if v.Replacement != nil {
		c.key(v.Replacement)
	}
	return nil
}
