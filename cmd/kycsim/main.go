// Command kycsim is the other side of both wires of a Countersign gateway: a provider that signs
// and fires callbacks, a partner that verifies deliveries and misbehaves as told, and a judge.
//
// Its promise: the judge knows nothing of the gateway. It holds one ledger written before anything
// was sent against another written before anything was answered, both outside the process that is
// killed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

// cli is the command line.
type cli struct {
	Fire      fireCmd      `cmd:"" help:"Send signed callbacks, as a provider does: again and again until acknowledged."`
	Partner   partnerCmd   `cmd:"" help:"Receive deliveries, verify them, write them down, and misbehave as told."`
	Judge     judgeCmd     `cmd:"" help:"Hold what was received against what was sent. Exit 1 if anything is wrong."`
	Topics    topicsCmd    `cmd:"" help:"Read the gateway's Kafka topics and write down what stands there."`
	Soak      soakCmd      `cmd:"" help:"Kill a gateway under load, again and again, and judge what came through."`
	Powercut  powercutCmd  `cmd:"" help:"Fail a gateway's disk and take its power under load, again and again, and judge what came through."`
	Bitrot    bitrotCmd    `cmd:"" help:"Damage a gateway's database in many ways, one a life, and judge what partners are told then."`
	Diskfull  diskfullCmd  `cmd:"" help:"Fill a gateway's disk under load, three ways, make room, and judge what came through. Needs root: it mounts a small tmpfs."`
	Chaos     chaosCmd     `cmd:"" help:"Kill real Kafka and the gateway under load, and judge what came through."`
	Kafka     kafkaCmd     `cmd:"" help:"Run real Apache Kafka on loopback until a signal; prints its addresses."`
	Bench     benchCmd     `cmd:"" help:"Measure a gateway against its bounds. Exit 1 if one is missed."`
	Isolation isolationCmd `cmd:"" help:"What sick endpoints cost the healthy ones."`
	Replay    replayCmd    `cmd:"" help:"What is told when an endpoint that was out is told what died meanwhile."`
	Attack    attackCmd    `cmd:"" help:"Attack a gateway as strangers do, and report what should not have been."`

	AttackAddresses attackAddressesCmd `cmd:"" hidden:""`
	BareWork        bareWorkCmd        `cmd:"" hidden:""`
}

// errNo is the answer no: exit 1, and nothing more to say.
var errNo = errors.New("no")

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run returns the exit code: 0 yes, 1 no, 2 usage.
func run(args []string, out, errs io.Writer) int {
	var c cli
	parser, err := kong.New(&c, kong.Name("kycsim"), kong.Description("The other side of both wires of a Countersign gateway."), kong.Writers(out, errs))
	if err != nil {
		_, _ = fmt.Fprintln(errs, "kycsim:", err)
		return 2
	}
	k, err := parser.Parse(args)
	if err != nil {
		_, _ = fmt.Fprintln(errs, "kycsim:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process
	k.BindTo(ctx, (*context.Context)(nil))
	k.BindTo(out, (*io.Writer)(nil))
	switch err := k.Run(); {
	case err == nil:
		return 0
	case errors.Is(err, errNo):
		return 1
	default:
		_, _ = fmt.Fprintln(errs, "kycsim:", err)
		return 1
	}
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// freshRun names a run, so that no two runs share a subject.
func freshRun() string { return strconv.FormatInt(time.Now().UnixMicro(), 36) }
