package main

import (
	"context"
	"errors"
	"regexp"
	"time"
)

const (
	manyEndpoints = 1000
	manyEvents    = 5
	maxManyMiB    = 100
	maxSeries     = 20               // of an endpoint in a scrape
	manyRest      = 15 * time.Second // of connections, which stay open for 90
)

// many is what a thousand endpoints cost when each has been told a few things: memory while nothing
// is to be done, and at the most, and series in a scrape.
func (c *isolationCmd) many(ctx context.Context) (rows []row, err error) {
	const name = "1,000 endpoints"
	b := benchCmd{Dir: c.Dir, Keep: c.Keep, Seed: c.Seed}
	set := setup{endpoints: manyEndpoints, retry: "-"}
	g, clean, err := b.place(ctx, "many", c.Gateway, "", &set)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, clean()) }()
	p, err := startPartner(ctx, partnerOptions{Addr: set.partner, Key: set.key, Format: "standard"})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if err := g.start(ctx); err != nil {
		return nil, err
	}
	if err := g.ready(ctx); err != nil {
		return nil, err
	}
	stopWatch := watch(ctx, g.pid())
	defer stopWatch()
	load, err := b.load(&set, g.url)
	if err != nil {
		return nil, err
	}
	load.Count, load.Rate, load.Events, load.Duplicates = manyEvents, 1, 1, 0
	if _, err := fire(ctx, load); err != nil {
		return nil, err
	}
	if _, err := g.settled(ctx, settleWithin); err != nil {
		return nil, err
	}
	if err := pause(ctx, manyRest); err != nil {
		return nil, err
	}
	top := stopWatch()
	rest, err := residentOf(g.pid())
	if err != nil {
		return nil, err
	}
	_, text, err := get(ctx, g.control+"/metrics")
	if err != nil {
		return nil, err
	}
	series := len(ofEndpoint.FindAll(text, -1))
	_, detail, err := get(ctx, g.control+"/metrics?endpoint="+endpointID(0))
	if err != nil {
		return nil, err
	}
	exact := shown(name, "deliveries of "+number(manyEndpoints*manyEvents), float64(p.accepted.Load()), "")
	exact.Bound, exact.OK = "all", p.accepted.Load() == manyEndpoints*manyEvents
	_, err = g.stop()
	return []row{
		exact,
		atMost(name, "anonymous memory at rest", mib(rest.anon), maxManyMiB, "MiB", ""),
		atMost(name, "anonymous memory at the most", mib(top.anon), maxManyMiB, "MiB", ""),
		atMost(name, "series of each in a scrape", float64(series)/manyEndpoints, maxSeries-1, "", number(float64(len(text))/1024)+" KiB in all"),
		shown(name, "series of one, on demand", float64(len(anySeries.FindAll(detail, -1))), ""),
	}, err
}

var (
	ofEndpoint = regexp.MustCompile(`(?m)^[a-z_]+\{[^}]*endpoint="[^"]+"[^}]*\} `)
	anySeries  = regexp.MustCompile(`(?m)^[a-z_]+\{`)
)
