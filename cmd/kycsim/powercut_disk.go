package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// faultyDisk is the process that shows a disk whose calls fail and whose power goes
// (outbox/store/powercut). It is a program of its own, so that its file system is no part of what
// judges. Orders are given by one goroutine.
type faultyDisk struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers chan diskAnswer
	events  chan diskEvent // never blocks the disk: it holds all that one plan can tell
	ended   chan struct{}
}

// diskPlan is what goes wrong, and when the power goes: see Plan in outbox/store/powercut/disk,
// whose words these are.
type diskPlan struct {
	Call     string        `json:"call"`
	After    int           `json:"after"`
	Times    int           `json:"times"`
	Errno    syscall.Errno `json:"errno"`
	Part     bool          `json:"part"`
	Slow     time.Duration `json:"slow"`
	Hang     bool          `json:"hang"`
	CutAfter int           `json:"cut_after"`
	Below    int64         `json:"below"`
	Seed     uint64        `json:"seed"`
}

// diskEvent is what the disk tells by itself: that a call went wrong, or that the power is gone.
type diskEvent struct {
	Event string `json:"event"`
	Call  string `json:"call"`
	Errno string `json:"errno"`
}

// The events.
const (
	eventFault = "fault"
	eventCut   = "cut"
)

// diskAnswer follows an order.
type diskAnswer struct {
	Answer string     `json:"answer"`
	Error  string     `json:"error"`
	Counts diskCounts `json:"counts"`
}

// diskCounts tell what a cut found that was not flushed, and how much of it is there now.
type diskCounts struct {
	Unflushed int `json:"unflushed"`
	Left      int `json:"left"`
}

// obeysWithin bounds how long an order may take.
const obeysWithin = 20 * time.Second

// startDisk starts the program and has it show an empty disk at a directory, which is made. What it
// says goes to the log.
func startDisk(ctx context.Context, binary, at string, log io.Writer) (*faultyDisk, error) {
	if err := os.MkdirAll(at, 0o700); err != nil {
		return nil, fmt.Errorf("start the disk: %w", err)
	}
	d := &faultyDisk{cmd: exec.CommandContext(ctx, binary), answers: make(chan diskAnswer, 1), events: make(chan diskEvent, 4096), ended: make(chan struct{})}
	d.cmd.Cancel = func() error { return d.cmd.Process.Signal(os.Interrupt) } // it unmounts
	d.cmd.Stderr = log
	var err error
	if d.in, err = d.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start the disk: %w", err)
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the disk: %w", err)
	}
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the disk: %w", err)
	}
	go d.read(out)
	if _, err := d.order(map[string]any{"do": "mount", "at": at}); err != nil {
		return nil, errors.Join(err, d.end())
	}
	return d, nil
}

func (d *faultyDisk) read(out io.Reader) {
	defer close(d.ended)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var line struct {
			diskAnswer
			diskEvent
		}
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			continue
		}
		if line.Event == "" {
			d.answers <- line.diskAnswer
			continue
		}
		select {
		case d.events <- line.diskEvent:
		default: // more than anybody asked for
		}
	}
}

// order gives one and waits until it is carried out.
func (d *faultyDisk) order(o map[string]any) (diskAnswer, error) {
	if err := json.NewEncoder(d.in).Encode(o); err != nil {
		return diskAnswer{}, fmt.Errorf("tell the disk to %s: %w", o["do"], err)
	}
	t := time.NewTimer(obeysWithin)
	defer t.Stop()
	select {
	case a := <-d.answers:
		if a.Error != "" {
			return a, errors.New(a.Error)
		}
		return a, nil
	case <-d.ended:
		return diskAnswer{}, fmt.Errorf("the disk has ended before it could %s", o["do"])
	case <-t.C:
		return diskAnswer{}, fmt.Errorf("the disk did not %s within %s", o["do"], obeysWithin)
	}
}

func (d *faultyDisk) arm(p diskPlan) error {
	for len(d.events) > 0 { // of the plan before
		<-d.events
	}
	_, err := d.order(map[string]any{"do": "arm", "plan": p})
	return err
}

// told waits until all that has happened so far is among the events.
func (d *faultyDisk) told() error {
	_, err := d.order(map[string]any{"do": "tell"})
	return err
}

func (d *faultyDisk) cut() error {
	_, err := d.order(map[string]any{"do": "cut"})
	return err
}

// release lets go who waits for a disk without power.
func (d *faultyDisk) release() error {
	_, err := d.order(map[string]any{"do": "release"})
	return err
}

// restore has the power back, with a part of what was not flushed.
func (d *faultyDisk) restore(style string, seed uint64) (diskCounts, error) {
	a, err := d.order(map[string]any{"do": "restore", "style": style, "seed": seed})
	return a.Counts, err
}

// end unmounts and waits for the process.
func (d *faultyDisk) end() error {
	err := d.in.Close()
	<-d.ended
	if werr := d.cmd.Wait(); werr != nil {
		err = errors.Join(err, fmt.Errorf("end the disk: %w", werr))
	}
	return err
}
