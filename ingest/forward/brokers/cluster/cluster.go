// Package cluster runs real Apache Kafka on loopback, for tests: KRaft nodes that can be killed,
// paused and started again.
//
// Its promise: it signals only processes that it started itself, through their handles; it waits
// for nothing without a bound; and no broker outlives the program that started it, however that
// ends (on Linux; elsewhere, if Stop is called). What a node has acknowledged with acks=all
// survives Kill, and the death of a minority.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Options say what to start. Dir is required.
type Options struct {
	Nodes      int               // default 1
	Dir        string            // each node gets a folder in it, for its data, its settings and its log. Data that is there already is kept
	Partitions int               // of topics whose maker names no number; default 12
	Security   string            // of the listener that clients are told: PLAINTEXT (default), SSL, SASL_PLAINTEXT or SASL_SSL. Its name in properties is client
	Properties map[string]string // further lines of server.properties; they come before ours
	Format     []string          // further arguments of the storage tool, such as --add-scram
	Libs       string            // default: Libs
}

// Cluster is a number of nodes, each of them broker and controller. Its methods are not for
// concurrent use on the same node.
type Cluster struct {
	nodes []*node
}

const (
	startWithin = 2 * time.Minute
	stopWithin  = 10 * time.Second
)

// Start formats what has no data yet, starts every node and waits until each of them answers. After
// an error nothing is left running.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	o.Nodes, o.Partitions = max(1, o.Nodes), max(o.Partitions, 0)
	if o.Partitions == 0 {
		o.Partitions = 12
	}
	if o.Security == "" {
		o.Security = "PLAINTEXT"
	}
	var err error
	if o.Libs == "" {
		if o.Libs, err = Libs(ctx); err != nil {
			return nil, err
		}
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, fmt.Errorf("start Kafka: %w", err)
	}
	c := &Cluster{}
	ports, err := FreeAddrs(ctx, listeners*o.Nodes)
	if err != nil {
		return nil, err
	}
	for i := range o.Nodes {
		c.nodes = append(c.nodes, newNode(i+1, &o, ports[listeners*i:listeners*(i+1)]))
	}
	for _, n := range c.nodes {
		if err := n.prepare(ctx, c.properties(n, &o), o.Format); err != nil {
			return nil, err
		}
	}
	all := make([]int, len(c.nodes))
	for i := range all {
		all[i] = i
	}
	if err := c.Restart(ctx, all...); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

// properties is the text of server.properties.
func (c *Cluster) properties(n *node, o *Options) string {
	voters := make([]string, len(c.nodes))
	for i, v := range c.nodes {
		voters[i] = fmt.Sprintf("%d@%s", v.id, v.controller)
	}
	copies, inSync := 1, 1
	if o.Nodes >= 3 {
		copies, inSync = 3, 2
	}
	ours := map[string]string{
		"process.roles":                            "broker,controller",
		"node.id":                                  strconv.Itoa(n.id),
		"controller.quorum.voters":                 strings.Join(voters, ","),
		"listeners":                                "CLIENT://" + n.client + ",BROKER://" + n.broker + ",CONTROLLER://" + n.controller,
		"advertised.listeners":                     "CLIENT://" + n.client + ",BROKER://" + n.broker,
		"controller.listener.names":                "CONTROLLER",
		"inter.broker.listener.name":               "BROKER",
		"listener.security.protocol.map":           "CLIENT:" + o.Security + ",BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"log.dirs":                                 "data",
		"num.partitions":                           strconv.Itoa(o.Partitions),
		"auto.create.topics.enable":                "false",
		"default.replication.factor":               strconv.Itoa(copies),
		"min.insync.replicas":                      strconv.Itoa(inSync),
		"offsets.topic.replication.factor":         strconv.Itoa(copies),
		"offsets.topic.num.partitions":             "4",
		"transaction.state.log.replication.factor": strconv.Itoa(copies),
		"transaction.state.log.min.isr":            strconv.Itoa(inSync),
		"group.initial.rebalance.delay.ms":         "0",
	}
	maps.Copy(ours, o.Properties)
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(ours)) {
		fmt.Fprintf(&b, "%s=%s\n", k, ours[k])
	}
	return b.String()
}

// Addrs are where clients reach the nodes, running or not.
func (c *Cluster) Addrs() []string {
	addrs := make([]string, len(c.nodes))
	for i, n := range c.nodes {
		addrs[i] = n.client
	}
	return addrs
}

// NodeID is what Kafka calls the i-th node.
func (c *Cluster) NodeID(i int) int32 { return int32(c.nodes[i].id) } //nolint:gosec // a handful

// Kill ends a node as a power cut would, and waits until it is gone. One that does not run is left
// alone.
func (c *Cluster) Kill(i int) error { return c.nodes[i].kill() }

// Pause stops a node where it stands: its connections stay open, and nobody answers. Resume lets it
// go on.
func (c *Cluster) Pause(i int) error { return c.nodes[i].signal(pauseSignal) }

// Resume lets a paused node go on.
func (c *Cluster) Resume(i int) error { return c.nodes[i].signal(resumeSignal) }

// Restart starts nodes that do not run, with the data and the address they had, and waits until
// they answer: all at once, for a node alone waits for a majority.
func (c *Cluster) Restart(ctx context.Context, nodes ...int) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	for _, i := range nodes {
		if err := c.nodes[i].start(); err != nil {
			return err
		}
	}
	for _, i := range nodes {
		if err := c.nodes[i].answers(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Stop ends every node: asked first, killed after 10 s.
func (c *Cluster) Stop() error {
	var err error
	for _, n := range c.nodes {
		if n.running() {
			err = errors.Join(err, n.signal(resumeSignal), n.signal(stopSignal)) // who is paused hears nothing
		}
	}
	deadline := time.NewTimer(stopWithin)
	defer deadline.Stop()
	for _, n := range c.nodes {
		if n.exited == nil {
			continue
		}
		select {
		case <-n.exited:
			continue
		case <-deadline.C:
			deadline.Reset(0) // for the others too
		}
		err = errors.Join(err, n.kill())
	}
	return err
}

// Log is the file that a node writes to.
func (c *Cluster) Log(i int) string { return c.nodes[i].log() }

// write makes a file that only we read.
func write(path, text string) error {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("start Kafka: %w", err)
	}
	return nil
}
