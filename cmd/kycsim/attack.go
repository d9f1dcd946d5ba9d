package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"countersign/cmd/kycsim/attack"
)

// attackCmd is `kycsim attack`.
type attackCmd struct {
	Gateway       string   `help:"The gateway's binary." required:"" type:"existingfile"`
	Dir           string   `help:"An empty directory." required:""`
	Only          []string `help:"Of raw, clients, control, floods, tls, addresses; default: all."`
	OpenDoor      bool     `help:"Let the gateway call every network, as one without a guard: the attack with addresses must find that."`
	ExpectFailure bool     `help:"For a gateway that is broken on purpose: exit 0 only if every attack finds a fault."`
}

// attackSection is one attack on a running gateway.
type attackSection struct {
	name string
	run  func(context.Context, *attack.Target) (*attack.Section, error) // nil: it is run in a network of its own
	tls  bool
}

func attackSections() []attackSection {
	return []attackSection{
		{"raw", attack.Corpus, false},
		{"clients", attack.Clients, false},
		{"control", attack.Calls, false},
		{"floods", attack.Floods, false},
		{"tls", attack.FloodsTLS, true},
		{"addresses", nil, false},
	}
}

// Run attacks, and prints one report.
func (c *attackCmd) Run(ctx context.Context, out io.Writer) (err error) {
	var report []*attack.Section
	for _, s := range attackSections() {
		if len(c.Only) > 0 && !slices.Contains(c.Only, s.name) {
			continue
		}
		var found *attack.Section
		if s.run == nil {
			found, err = c.addresses(ctx)
		} else {
			found, err = c.one(ctx, s)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		report = append(report, found)
	}
	faults, err := attack.Print(out, report)
	switch {
	case err != nil:
		return err
	case c.ExpectFailure:
		for _, s := range report {
			if len(s.Faults) == 0 {
				err = errors.Join(err, fmt.Errorf("%s: nothing was found in a gateway that is broken on purpose", s.Name))
			}
		}
		return err
	case faults > 0:
		return errNo
	}
	return nil
}

// one runs one attack on a gateway of its own, which must be there, and stop, afterwards.
func (c *attackCmd) one(ctx context.Context, s attackSection) (found *attack.Section, err error) {
	dir := filepath.Join(c.Dir, s.name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("prepare the gateway: %w", err)
	}
	callbacks, err := freeAddr(ctx)
	if err != nil {
		return nil, err
	}
	control, err := freeAddr(ctx)
	if err != nil {
		return nil, err
	}
	plaid, err := freeAddr(ctx)
	if err != nil {
		return nil, err
	}
	t := &attack.Target{Callbacks: callbacks, Control: "http://" + control, Plaid: plaid, Dir: dir}
	sealed := ""
	if s.tls {
		if sealed, t.Roots, err = attack.Sealed(dir); err != nil {
			return nil, err
		}
	}
	config, err := attack.Config(dir, callbacks, control, plaid, sealed)
	if err != nil {
		return nil, err
	}
	return attackOne(ctx, c.Gateway, dir, config, t, s.run)
}

func attackOne(ctx context.Context, binary, dir, config string, t *attack.Target, run func(context.Context, *attack.Target) (*attack.Section, error)) (*attack.Section, error) {
	log, err := os.OpenFile(filepath.Join(dir, "gateway.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600) //nolint:gosec // a directory of the caller's
	if err != nil {
		return nil, fmt.Errorf("prepare the gateway: %w", err)
	}
	g := &gateway{binary: binary, config: config, control: t.Control, log: log}
	defer g.end() //nolint:errcheck // its log is not ours to judge
	if err := g.start(ctx); err != nil {
		return nil, err
	}
	if err := g.ready(ctx); err != nil {
		return nil, err
	}
	token, err := os.ReadFile(filepath.Join(dir, "data", "operator.token")) //nolint:gosec // made by the gateway under test
	if err != nil {
		return nil, fmt.Errorf("read the operator's token: %w", err)
	}
	t.Token, t.PID = strings.TrimSpace(string(token)), g.pid()
	found, err := run(ctx, t)
	if err != nil {
		return nil, err
	}
	if took, err := g.stop(); err != nil {
		found.Faults = append(found.Faults, fmt.Sprintf("after %s: %v", took, err))
	}
	return found, nil
}

// attackAddressesCmd is `kycsim attack-addresses`: what `kycsim attack` runs in a network of its
// own.
type attackAddressesCmd struct {
	Gateway  string `required:"" type:"existingfile"`
	Dir      string `required:""`
	OpenDoor bool   `help:"Allow every network, as a gateway without a guard: the attack must find that."`
}

// Run prints a section of the report as JSON.
func (c *attackAddressesCmd) Run(ctx context.Context, out io.Writer) (err error) {
	if err := attack.Isolate(ctx, c.Dir); err != nil {
		return err
	}
	const callbacks, control = "127.0.0.1:8480", "127.0.0.1:8481" // nobody else is in this network
	aim, err := attack.NewAim(ctx, c.Gateway, c.Dir, callbacks, control, c.OpenDoor)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, aim.Close()) }()
	if err := os.Setenv("SSL_CERT_FILE", aim.CA); err != nil {
		return fmt.Errorf("attack: %w", err)
	}
	found, err := attackOne(ctx, c.Gateway, c.Dir, aim.Config, &attack.Target{Callbacks: callbacks, Control: "http://" + control, Dir: c.Dir}, aim.Run)
	if err != nil {
		return err
	}
	return printJSON(out, found)
}

// addresses runs the attack with addresses in a network of its own, from which nothing leaves.
func (c *attackCmd) addresses(ctx context.Context) (*attack.Section, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("needs root: it makes a network of its own")
	}
	dir := filepath.Join(c.Dir, "addresses")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("prepare the gateway: %w", err)
	}
	args := []string{"attack-addresses", "--gateway", c.Gateway, "--dir", dir}
	if c.OpenDoor {
		args = append(args, "--open-door")
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...) //nolint:gosec // this program itself
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	b, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	found := &attack.Section{}
	if err := json.Unmarshal(b, found); err != nil {
		return nil, fmt.Errorf("%w: %s", err, b)
	}
	return found, nil
}
