//go:build realkafka

package cluster

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestOneNode starts a node, kills it, starts it again on its data, pauses it and stops it.
func TestOneNode(t *testing.T) {
	dir := t.TempDir()
	c, err := Start(t.Context(), Options{Dir: dir, Properties: map[string]string{"message.max.bytes": "2000000"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
		if c.nodes[0].running() {
			t.Error("the node runs after Stop")
		}
	}()
	n := c.nodes[0]
	if len(c.Addrs()) != 1 || c.NodeID(0) != 1 {
		t.Errorf("addresses %v, id %d", c.Addrs(), c.NodeID(0))
	}
	meta := filepath.Join(n.dir, "data", "meta.properties")
	before, err := os.ReadFile(meta)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Restart(t.Context(), 0); err == nil {
		t.Error("a node that runs was started again")
	}
	if err := c.Kill(0); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.DialTimeout("tcp", c.Addrs()[0], time.Second); err == nil {
		conn.Close()
		t.Error("a killed node listens")
	}
	if err := c.Kill(0); err != nil {
		t.Errorf("killed twice: %v", err)
	}
	if err := c.Pause(0); err == nil {
		t.Error("a node that does not run was paused")
	}
	if err := c.Restart(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(meta); err != nil || string(after) != string(before) {
		t.Errorf("the data is another: %s, %v; want %s", after, err, before)
	}
	if err := c.Pause(0); err != nil {
		t.Fatal(err)
	}
	if err := n.ask(t.Context()); err == nil {
		t.Error("a paused node answers")
	}
	if err := c.Resume(0); err != nil {
		t.Fatal(err)
	}
	if err := n.ask(t.Context()); err != nil {
		t.Errorf("a resumed node does not answer: %v", err)
	}
	if err := c.Pause(0); err != nil { // Stop ends a paused one, too
		t.Fatal(err)
	}
}

// TestThreeNodes holds that a killed minority comes back, and that all of them come back from
// nothing.
func TestThreeNodes(t *testing.T) {
	c, err := Start(t.Context(), Options{Nodes: 3, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	for _, gone := range [][]int{{1}, {0, 1, 2}} {
		for _, i := range gone {
			if err := c.Kill(i); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Restart(t.Context(), gone...); err != nil {
			t.Fatal(err)
		}
	}
}
