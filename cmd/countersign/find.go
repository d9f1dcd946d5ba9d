package main

import (
	"fmt"
	"strings"

	"countersign/relay/control/api"
)

type findCommand struct {
	gatewayFlags
	jsonFlag
	Word string `arg:"" help:"The id of a change (webhook-id), a delivery, a record or a person, or a provider's ref."`
}

// Run says what a word is, and where.
func (cmd *findCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	v, err := cl.Search(c.ctx, cmd.Word)
	if err != nil {
		return err
	}
	if cmd.JSON {
		err = c.show(v)
	} else {
		c.found(&v)
	}
	if err == nil && len(v.Data) == 0 {
		return errNo
	}
	return err
}

// found prints what was found, and the deliveries of it.
func (c *console) found(v *api.Search) {
	if !v.Complete {
		fmt.Fprintln(c.err, "what finds ids is being made: one may be there and not found yet") //nolint:errcheck // a terminal that is gone is no error of ours
	}
	if len(v.Data) == 0 {
		fmt.Fprintln(c.err, "nothing is found") //nolint:errcheck // as above
		return
	}
	t := &table{head: []string{"KIND", "SUBJECT", "SEQ", "WHAT", "SOURCE", "AT"}}
	told := &table{head: []string{"ID", "STATUS", "SUBJECT", "SEQ", "TYPE", "CREATED", "ATTEMPTS", "NEXT", "ENDED", "LAST"}}
	for i := range v.Data {
		f := &v.Data[i]
		seq := ""
		if f.Sequence != 0 {
			seq = sequence(f.Sequence)
		}
		t.add(f.Kind, deliverySubject(&api.Delivery{Partner: f.Partner, Subject: f.Subject, Livemode: f.Livemode}), seq, foundWhat(f), f.Source, when(f.At))
		for j := range f.Deliveries {
			addDelivery(told, &f.Deliveries[j])
		}
	}
	c.print(t)
	if len(told.rows) > 0 {
		c.printf("\n")
		c.print(told)
	}
}

// foundWhat is what a thing that was found says.
func foundWhat(f *api.Found) string {
	switch {
	case f.Contested:
		return "contested"
	case f.Kind == "record" && len(f.Changes) > 0:
		all := make([]string, len(f.Changes))
		for i, n := range f.Changes {
			all[i] = sequence(n)
		}
		return f.Verdict + ", changed " + strings.Join(all, " ")
	case f.Kind == "record":
		return f.Verdict
	}
	return f.Type
}
