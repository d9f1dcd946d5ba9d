package main

import (
	"cmp"
	"crypto/rand"
	"strconv"
	"strings"

	"countersign/relay/control/api"
)

type partnersCommand struct {
	List   partnersListCommand   `cmd:"" default:"withargs" help:"List the partners: from the config and created through the API."`
	Show   partnersShowCommand   `cmd:"" help:"Show one partner."`
	Create partnersCreateCommand `cmd:"" help:"Create a partner, without a restart."`
	Update partnersUpdateCommand `cmd:"" help:"Update a partner that was created through the API; what you do not name stays as it is."`
	Remove partnersRemoveCommand `cmd:"" help:"Remove a partner that was created through the API, with its endpoints; pending deliveries are kept."`
}

type partnersListCommand struct {
	gatewayFlags
	jsonFlag
	pageFlags
}

// Run lists the partners.
func (cmd *partnersListCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	t := &table{head: []string{"PARTNER", "FROM", "ENDPOINTS"}}
	return lists(c, cmd.jsonFlag, cmd.pageFlags, cl.ListPartners, t, func(t *table, p *api.PartnerDetail) {
		t.add(p.ID, p.From, strings.Join(p.Endpoints, ", "))
	})
}

type partnersShowCommand struct {
	gatewayFlags
	jsonFlag
	ID string `arg:"" help:"The partner's id."`
}

// Run shows a partner.
func (cmd *partnersShowCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	v, err := cl.Partner(c.ctx, cmd.ID)
	if err != nil {
		return err
	}
	return cmd.print(c, &v)
}

// print shows a partner in full.
func (f jsonFlag) print(c *console, v *api.PartnerDetail) error {
	if f.JSON {
		return c.show(v)
	}
	c.printf("%s, from %s\n  endpoints %s\n", v.ID, v.From, cmp.Or(strings.Join(v.Endpoints, ", "), "none"))
	if v.Version > 0 {
		c.printf("  version %d of %s\n", v.Version, when(v.ChangedAt))
	}
	p := &v.Policy
	c.printf("  requires %s of a person, %s of a business; valid %d months, notice %d days; at most %d refs without a callback\n",
		strings.Join(p.Required, ", "), strings.Join(p.RequiredCompany, ", "), p.ValidityMonths, p.NoticeDays, v.MaxSubmissions)
	return nil
}

// partnerFlags are what may be said of a partner. What is not said stays, or is the default of a
// new one.
type partnerFlags struct {
	MaxSubmissions  int64    `help:"Maximum number of refs that its tokens may register before a callback has used them."`
	Required        []string `help:"Checks that approve a person."`
	RequiredCompany []string `help:"Checks that approve a business."`
	ValidityMonths  int      `help:"How long an approval lasts."`
	NoticeDays      int      `help:"How long before its end a notice is sent."`
}

// body is what was said, as the API takes it.
func (f *partnerFlags) body() api.Fields {
	in, policy := api.Fields{}, api.Fields{}
	given(in, "max_submissions", f.MaxSubmissions, f.MaxSubmissions != 0)
	given(policy, "required", f.Required, f.Required != nil)
	given(policy, "required_company", f.RequiredCompany, f.RequiredCompany != nil)
	given(policy, "validity_months", f.ValidityMonths, f.ValidityMonths != 0)
	given(policy, "notice_days", f.NoticeDays, f.NoticeDays != 0)
	given(in, "policy", policy, len(policy) > 0)
	return in
}

// given puts a value into a request if it was given.
func given(in api.Fields, name string, v any, was bool) {
	if was {
		in[name] = v
	}
}

type partnersCreateCommand struct {
	gatewayFlags
	jsonFlag
	partnerFlags
	ID string `arg:"" help:"The partner's id: 1 to 64 of a-z 0-9 . - _"`
}

// Run makes a partner.
func (cmd *partnersCreateCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	in := cmd.body()
	in["id"] = cmd.ID
	v, err := cl.CreatePartner(c.ctx, rand.Text(), in)
	if err != nil {
		return err
	}
	return cmd.print(c, &v)
}

// versionFlag makes a change only of what the caller has seen.
type versionFlag struct {
	IfVersion uint64 `help:"Change it only if this is still the current version (as show prints it)."`
}

// match is the state that a change is made of; "": any.
func (f versionFlag) match() string {
	if f.IfVersion == 0 {
		return ""
	}
	return `"v` + strconv.FormatUint(f.IfVersion, 10) + `"`
}

type partnersUpdateCommand struct {
	gatewayFlags
	jsonFlag
	partnerFlags
	versionFlag
	ID string `arg:"" help:"The partner's id."`
}

// Run changes a partner.
func (cmd *partnersUpdateCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	v, err := cl.UpdatePartner(c.ctx, cmd.ID, cmd.match(), cmd.body())
	if err != nil {
		return err
	}
	return cmd.print(c, &v)
}

// removeFlags are those of what is removed.
type removeFlags struct {
	versionFlag
	DryRun bool `help:"Only show what would stay pending."`
}

// left says what is left of something that was taken away.
func (c *console) left(v *api.Removed, asJSON bool) error {
	if asJSON {
		return c.show(v)
	}
	what := "removed"
	if v.DryRun {
		what = "would be removed"
	}
	c.printf("%s %s %s\n", v.Object, v.ID, what)
	for _, e := range v.Endpoints {
		c.printf("  endpoint %s: %d deliveries stay pending, %d dead-lettered, %d rejections or suspensions not delivered\n", e.ID, e.Owed, e.Dead, e.Withheld)
	}
	return nil
}

type partnersRemoveCommand struct {
	gatewayFlags
	jsonFlag
	removeFlags
	ID string `arg:"" help:"The partner's id."`
}

// Run takes a partner away.
func (cmd *partnersRemoveCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	v, err := cl.RemovePartner(c.ctx, cmd.ID, cmd.match(), cmd.DryRun)
	if err != nil {
		return err
	}
	return c.left(&v, cmd.JSON)
}
