package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// clusterID is any 16 bytes; every node of a cluster has the same.
const clusterID = "AAAAAAAAAAAAAAAAAAAAAQ"

const (
	formatWithin = time.Minute
	pauseSignal  = syscall.SIGSTOP
	resumeSignal = syscall.SIGCONT
	stopSignal   = syscall.SIGTERM
)

// node is one process. Only what start started is ever signalled, and only through its handle.
type node struct {
	id                         int
	dir, libs                  string
	client, broker, controller string // addresses
	cmd                        *exec.Cmd
	exited                     chan struct{} // closed when the process is gone; nil: it was never started
}

// listeners is how many addresses a node takes.
const listeners = 3

func newNode(id int, o *Options, addrs []string) *node {
	return &node{id: id, dir: filepath.Join(o.Dir, strconv.Itoa(id)), libs: o.Libs, client: addrs[0], broker: addrs[1], controller: addrs[2]}
}

func (n *node) log() string { return filepath.Join(n.dir, "log") }

// prepare writes the settings, and formats the data unless there is some.
func (n *node) prepare(ctx context.Context, properties string, format []string) error {
	if err := os.MkdirAll(n.dir, 0o750); err != nil {
		return fmt.Errorf("start Kafka: %w", err)
	}
	if err := write(filepath.Join(n.dir, "server.properties"), properties); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(n.dir, "data", "meta.properties")); err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, formatWithin)
	defer cancel()
	args := append([]string{"-XX:TieredStopAtLevel=1", "-cp", filepath.Join(n.libs, "*"), "kafka.tools.StorageTool", "format", "-t", clusterID, "-c", "server.properties"}, format...)
	cmd := exec.CommandContext(ctx, "java", args...) //nolint:gosec // arguments of ours
	cmd.Dir = n.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("format node %d of Kafka: %w: %s", n.id, err, bytes.TrimSpace(out))
	}
	return nil
}

// start starts the process; it does not answer yet. The thread that starts it waits for it, too:
// the kernel ends the process when that thread ends, and Go's threads may end long before the
// program.
func (n *node) start() error {
	if n.running() {
		return fmt.Errorf("node %d of Kafka runs already", n.id)
	}
	log, err := os.OpenFile(n.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("start Kafka: %w", err)
	}
	//nolint:gosec,noctx // arguments of ours; Stop and Kill end it
	cmd := exec.Command("java", "-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", filepath.Join(n.libs, "*"), "kafka.Kafka", "server.properties")
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = n.dir, log, log, attributes()
	started, exited := make(chan error, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer log.Close() //nolint:errcheck // the process wrote it
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended stands in ProcessState
			close(exited)
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start Kafka: %w", err)
	}
	n.cmd, n.exited = cmd, exited
	return nil
}

func (n *node) running() bool {
	if n.exited == nil {
		return false
	}
	select {
	case <-n.exited:
		return false
	default:
		return true
	}
}

// answers waits until the node answers its clients.
func (n *node) answers(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := n.ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-n.exited:
			return fmt.Errorf("node %d of Kafka ended by itself (%s); see %s", n.id, n.cmd.ProcessState, n.log())
		case <-ctx.Done():
			return fmt.Errorf("node %d of Kafka does not answer: %w; see %s", n.id, errors.Join(ctx.Err(), err), n.log())
		}
	}
}

func (n *node) kill() error {
	if !n.running() {
		return nil
	}
	if err := n.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill node %d of Kafka: %w", n.id, err)
	}
	timer := time.NewTimer(stopWithin)
	defer timer.Stop()
	select {
	case <-n.exited:
		return nil
	case <-timer.C:
		return fmt.Errorf("node %d of Kafka was killed, but is not gone after %s", n.id, stopWithin)
	}
}

func (n *node) signal(s os.Signal) error {
	if !n.running() {
		return fmt.Errorf("node %d of Kafka does not run; see %s", n.id, n.log())
	}
	if err := n.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal node %d of Kafka: %w", n.id, err)
	}
	return nil
}
