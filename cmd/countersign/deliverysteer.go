package main

import "countersign/relay/control/api"

type deliveriesRetryCommand struct {
	gatewayFlags
	jsonFlag
	ID string `arg:"" help:"The delivery's id, as countersign deliveries prints it."`
}

// Run has one tried now.
func (cmd *deliveriesRetryCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	v, err := cl.RetryNow(c.ctx, cmd.ID)
	if err != nil {
		return err
	}
	text := "%s is due now"
	switch {
	case v.InFlight:
		text = "%s is under way at this moment"
	case v.WaitsFor != "":
		text += ", and waits: " + waitsFor(v.WaitsFor)
	}
	if v.Tried != v.ID {
		text += "; what waits behind it goes when it is through"
	}
	return cmd.say(c, v, text+"\n", v.Tried)
}

// waitsFor is what holds up an endpoint, in words.
func waitsFor(why string) string {
	switch why {
	case "breaker":
		return "its endpoint is down, and is probed"
	case "rest":
		return "its endpoint has asked for a rest"
	case "orphaned":
		return "its endpoint is not in the config"
	}
	return "its endpoint is " + escape(why, "")
}

type deliveriesSkipCommand struct {
	gatewayFlags
	jsonFlag
	ID string `arg:"" help:"The delivery's id, as countersign deliveries prints it."`
}

// Run puts one down.
func (cmd *deliveriesSkipCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	v, err := cl.Skip(c.ctx, cmd.ID)
	if err != nil {
		return err
	}
	return cmd.say(c, v, "%s is dead-lettered (skipped), and the deliveries behind it continue; countersign redeliver sends it again, and a rejection stays alerted until it is acknowledged\n", v.ID)
}

type deliveriesCancelCommand struct {
	gatewayFlags
	jsonFlag
	ID      string `arg:"" help:"The delivery's id, as countersign deliveries prints it."`
	Because string `required:"" help:"The reason, for whoever must explain it later; recorded in the person's history."`
	Force   bool   `help:"Also cancel a rejection or suspension. Its alert stays until somebody acknowledges that the partner knows."`
}

// Run cancels one.
func (cmd *deliveriesCancelCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	v, err := cl.Cancel(c.ctx, cmd.ID, api.CancelAsk{Because: cmd.Because, Force: cmd.Force})
	if err != nil {
		return err
	}
	text := "%s is cancelled: it is never sent\n"
	if v.Withheld {
		text = "%s is cancelled: it is never sent; tell the partner, and then countersign withheld acknowledge\n"
	}
	return cmd.say(c, v, text, v.ID)
}

type endpointsRetryNowCommand struct {
	gatewayFlags
	jsonFlag
	ID string `arg:"" help:"The endpoint's id, or one that it had before it was renamed."`
}

// Run has all that an endpoint waits to try again tried now, some at a time.
func (cmd *endpointsRetryNowCommand) Run(c *console) error {
	cl, err := cmd.client(c)
	if err != nil {
		return err
	}
	all := api.HurriedAll{}
	for more := true; more; {
		v, err := cl.RetryAllNow(c.ctx, cmd.ID)
		if err != nil {
			return err
		}
		v.Moved += all.Moved
		more = v.More && v.Moved > all.Moved
		all = v
	}
	text := "%d deliveries to %s are due now, one after the other"
	if all.WaitsFor != "" {
		text += ", and wait: " + waitsFor(all.WaitsFor)
	}
	return cmd.say(c, all, text+"\n", all.Moved, all.ID)
}
