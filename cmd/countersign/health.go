package main

import (
	"cmp"
	"net/http"
	"strings"

	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

type healthCommand struct {
	jsonFlag
	URL    string `help:"Of the gateway's control or metrics listener; else COUNTERSIGN_URL. Without either, the config says where it is." placeholder:"URL" xor:"where"`
	Config string `help:"The config of a gateway on this machine. Nothing but where its listener is, is read." placeholder:"countersign.yaml" type:"path" xor:"where"`
	Ready  bool   `help:"Ask whether it takes callbacks, and not only whether it lives."`
}

// Run asks once, and needs neither a token nor a secret: for probes of containers that have no
// other program in them.
func (cmd *healthCommand) Run(c *console) error {
	base, err := cmd.base(c)
	if err != nil {
		return err
	}
	cl := client.New(client.Options{Base: base, Tries: 1})
	h, err := cl.Health(c.ctx)
	if err != nil {
		return err
	}
	v := struct {
		api.Health
		Ready *api.Ready `json:"ready,omitempty"`
	}{Health: h}
	says := h.Status + ", " + h.Mode
	if h.Phase != "" {
		says += ", " + doing(h)
	}
	if cmd.Ready {
		r, err := cl.Readiness(c.ctx)
		if err != nil {
			return err
		}
		v.Ready = &r
		says += ", " + strings.Join(append([]string{strings.ReplaceAll(r.Status, "_", " ")}, r.Reasons...), ": ")
	}
	if err := cmd.say(c, v, "%s\n", says); err != nil {
		return err
	}
	if cmd.Ready && v.Ready.Status != "ready" {
		return &client.Error{Status: http.StatusServiceUnavailable, Text: "the gateway is not ready"}
	}
	return nil
}

// base is where the gateway is asked.
func (cmd *healthCommand) base(c *console) (string, error) {
	at := cmd.URL
	if v, ok := c.env(urlVariable); at == "" && cmd.Config == "" && ok {
		at = v
	}
	if at != "" {
		return strings.TrimSuffix(at, "/"), nil
	}
	cfg, err := whereabouts(c, cmp.Or(cmd.Config, "countersign.yaml"))
	if err != nil {
		return "", err
	}
	return "http://" + reachable(cfg.Listen.Control), nil
}
