// Countersign is a KYC webhook gateway: verified in, signed out. Verification providers post
// callbacks; it proves who sent them, makes them durable, works out what changed for the person,
// and tells each partner in a webhook that the partner can prove came from us.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"countersign/outbox/store"
	"countersign/relay/control/client"
)

// console is where a command reads and writes: main's streams, or a test's.
type console struct {
	in       io.Reader
	out, err io.Writer // run makes them visible ones
	bar      io.Writer // err as it is, for a line of progress that is written over itself
	env      func(string) (string, bool)
	terminal bool                   // somebody sits at in
	shown    bool                   // out is a terminal
	watched  bool                   // err is a terminal
	json     bool                   // errors are told to a script
	asked    *client.Client         // the gateway that a command has asked; nil: none
	ctx      context.Context        //nolint:containedctx // ends with the first interrupt; commands take it from here
	orderly  atomic.Bool            // the command ends by itself soon after ctx: it has something to finish
	last     atomic.Pointer[func()] // what is done before a second interrupt ends the process; nil: nothing
}

// commands is the command line.
type commands struct {
	Serve      serveCommand      `cmd:"" group:"run" help:"Run the gateway."`
	Demo       demoCommand       `cmd:"" group:"run" help:"Run a complete round trip on this machine; nothing else is needed."`
	Check      checkCommand      `cmd:"" group:"run" help:"Report every problem in a config, or check a database file."`
	Health     healthCommand     `cmd:"" group:"run" help:"Show whether a gateway lives and what it is doing, and with --ready whether it takes callbacks; no token is needed."`
	Doctor     doctorCommand     `cmd:"" group:"run" help:"Check clock, disk, limits, DNS, TLS, partners, brokers and pending deliveries; print what is wrong and what to do."`
	Trigger    triggerCommand    `cmd:"" group:"run" help:"Send a signed sample callback to a running gateway."`
	Subject    subjectCommand    `cmd:"" group:"people" help:"Show what is known about a person; list and rebuild persons with damaged records."`
	Deliveries deliveriesCommand `cmd:"" group:"told" help:"List deliveries by status, endpoint, person, type and time; show, retry, skip or cancel one."`
	Redeliver  redeliverCommand  `cmd:"" group:"told" help:"Retry a failed delivery, or send a delivered one again, or to another endpoint."`
	Replay     replayCommand     `cmd:"" group:"told" help:"Replay to an endpoint: failed deliveries, a time range, or the current status of each person."`
	Find       findCommand       `cmd:"" group:"told" help:"Show what an id or a provider's ref is, and where."`
	Withheld   withheldCommand   `cmd:"" group:"told" help:"List, or acknowledge, rejections and suspensions that an endpoint has not received."`
	Partners   partnersCommand   `cmd:"" group:"told" help:"List, show, create, update or remove partners."`
	Endpoints  endpointsCommand  `cmd:"" group:"told" help:"List, show, create, update or remove endpoints; re-enable one; rotate and revoke keys."`
	Quarantine quarantineCommand `cmd:"" group:"held" help:"List, show, release or discard quarantined callbacks."`
	Questions  questionsCommand  `cmd:"" group:"held" help:"List or close open questions to providers."`
	Submit     submitCommand     `cmd:"" group:"people" help:"Register which person a provider's ref belongs to."`
	Refs       refsCommand       `cmd:"" group:"people" help:"List refs that more than one person claims, or say whose one is."`
	Decide     decideCommand     `cmd:"" group:"people" help:"Decide about a check of a person: set a status, or release a hold."`
	Policy     policyCommand     `cmd:"" group:"people" help:"Show or apply a partner's newest policy."`
	Audit      auditCommand      `cmd:"" group:"keep" help:"List who changed what, and verify the audit trail."`
	Token      tokenCommand      `cmd:"" group:"keep" help:"List, create or revoke tokens of the control API."`
	Reload     reloadCommand     `cmd:"" group:"run" help:"Reload the config of a running gateway, or show what a reload would change."`
	Backup     backupCommand     `cmd:"" group:"keep" help:"Copy the database of a running gateway, and check the copy."`
	Compact    compactCommand    `cmd:"" group:"keep" help:"Compact the database while the gateway runs: return free pages to the disk and leave no trace of deleted data."`
	Restore    restoreCommand    `cmd:"" group:"keep" help:"Restore a backup as the database of a stopped gateway."`
	Monitoring monitoringCommand `cmd:"" group:"keep" help:"Print the rules, the dashboard and the runbooks for Prometheus, Alertmanager and Grafana."`
	Providers  providersCommand  `cmd:"" group:"try" help:"List the verification providers this program knows."`
	Formats    formatsCommand    `cmd:"" group:"try" help:"List the partner formats this program knows."`
	Verify     verifyCommand     `cmd:"" group:"try" help:"Explain step by step whether a captured callback is genuine."`
	Translate  translateCommand  `cmd:"" group:"try" help:"Show what a captured callback means."`
	Sign       signCommand       `cmd:"" group:"try" help:"Sign a body as a partner would receive it."`
	Listen     listenCommand     `cmd:"" group:"try" help:"Receive webhooks like a partner: verify, print, forward."`
	Version    versionCommand    `cmd:"" group:"about" help:"Print the version."`
	Help       helpCommand       `cmd:"" group:"about" help:"Show what a command does, how it is used and its exit codes."`
	Completion completionCommand `cmd:"" group:"about" help:"Print the completion script for bash, zsh or fish."`
	Man        manCommand        `cmd:"" group:"about" help:"Print manual pages, or write them all to a directory."`
}

func main() {
	ctx, stop := context.WithCancel(context.Background())
	slog.SetDefault(slog.New(slog.DiscardHandler)) // net/http may print what a partner sent, through package log
	c := &console{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.LookupEnv, terminal: isTerminal(os.Stdin), shown: isTerminal(os.Stdout), watched: isTerminal(os.Stderr), ctx: ctx}
	asked := make(chan os.Signal, 2)
	signal.Notify(asked, os.Interrupt, syscall.SIGTERM)
	go c.obey(asked, stop)
	os.Exit(run(c, os.Args[1:]))
}

// unasked is how long a command may go on after an interrupt that it does not heed: it may be busy,
// or wait for a file or for somebody who types.
const unasked = time.Second

// obey ends the context with the first interrupt or SIGTERM, and the process with the second:
// whoever asks twice does not want to wait. A command that finishes nothing is not waited for at
// all.
func (c *console) obey(asked <-chan os.Signal, stop func()) {
	<-asked
	stop()
	select {
	case <-asked:
	case <-c.overdue():
		fmt.Fprintln(c.err, "countersign:", errInterrupted) //nolint:errcheck // nowhere left to say it
	}
	if last := c.last.Load(); last != nil {
		(*last)()
	}
	os.Exit(exitNo)
}

var errInterrupted = errors.New("interrupted")

// overdue says when a command that has been interrupted is ended; nil: it ends by itself.
func (c *console) overdue() <-chan time.Time {
	if c.orderly.Load() {
		return nil
	}
	return time.After(unasked)
}

// endure keeps the process from ending with the terminal it was started at, and has the gateway
// that runs read its config again for each SIGHUP.
func endure(ctx context.Context, log *slog.Logger, runs *atomic.Pointer[gateway]) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-hangup:
			g := runs.Load()
			if g == nil {
				log.Warn("sighup_ignored", "reason", "the gateway is starting; send it again when it is ready")
				continue
			}
			done := make(chan struct{})
			go func() { // a disk that hangs holds it up, and must not hold up the stop
				defer close(done)
				g.hangup(ctx)
			}()
			select {
			case <-done:
			case <-ctx.Done():
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// isTerminal reports whether somebody may answer at a file: it is a device of characters, and not
// the one that never says anything.
func isTerminal(f *os.File) bool {
	fi, err := f.Stat()
	if err != nil || fi.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(fi, null)
}

// defaultPath is where the config is looked for.
const defaultPath = "countersign.yaml"

// configFlag is the flag of every command that is about a config itself.
type configFlag struct {
	Config string `help:"The config file." default:"countersign.yaml" type:"path"`
}

// load reads the config, or says every problem of it.
func (f configFlag) load(c *console) (*Config, error) {
	cfg, problems := loadConfig(f.Config, c.env, knownNames())
	if len(problems) > 0 {
		return nil, &configError{path: f.Config, problems: problems}
	}
	return cfg, nil
}

type serveCommand struct {
	configFlag
	Role string `help:"The role of this process." enum:"all,ingest,relay" default:"all"`
}

// Run serves until an interrupt or SIGTERM, then stops gracefully; a second one ends the process at
// once, with exit 1. A component that fails ends it with exit 1 too.
func (cmd *serveCommand) Run(c *console) error {
	cfg, err := cmd.load(c)
	if err != nil {
		return err
	}
	c.orderly.Store(true)
	if _, set := c.env("GOGC"); !set {
		tend(memoryLimit("/"))
	}
	signal.Ignore(syscall.SIGPIPE) // a write to a pipe that nobody reads fails, and no more
	level := new(slog.LevelVar)
	cfg.Log.set(level)
	form := func(w io.Writer) *slog.Logger { return cfg.Log.loggerAt(w, c.watched, level) }
	lines := newLogWriter(c.err, form)
	log := form(lines)
	house := newProcess(log) // what is there before the gateway, and after it
	house.start("log", lines.run)
	house.start("memory", ease)
	var runs atomic.Pointer[gateway]
	house.start("signals", func(ctx context.Context) error { return endure(ctx, log, &runs) })
	defer house.stop() //nolint:errcheck // it has nothing to say
	last := func() {
		log.Error("stop_forced", "reason", "a second signal; the next start checks the file")
		lines.drain()
	}
	c.last.Store(&last)
	load := func() (*Config, []problem) { return loadConfig(cmd.Config, c.env, knownNames()) }
	return cmd.serve(c, cfg, outside{ctx: c.ctx, log: log, collectors: lines.collectors(), load: load, level: level}, lines, &runs)
}

// serve is Run with a log, which is where errors go: stderr may be a pipe that nobody reads any
// more.
func (cmd *serveCommand) serve(c *console, cfg *Config, o outside, lines *logWriter, runs *atomic.Pointer[gateway]) error {
	log := o.log
	if c.watched {
		o.terminal = c.err
	}
	err := o.measure(c, cfg)
	var g *gateway
	if err == nil {
		g, err = openGateway(cfg, cmd.Role, o)
	}
	if err != nil && c.ctx.Err() != nil && errors.Is(err, context.Canceled) {
		log.Info("stopped", "clean", true, "while", "starting")
		return nil
	}
	if err != nil {
		return lastLine(log, lines, "start", err)
	}
	runs.Store(g)
	log.Info("ready", "version", version(), "role", cmd.Role, "mode", cfg.Mode, "callbacks", g.callbackAddr(), "control", g.control.Addr().String(),
		"sources", len(cfg.Sources), "partners", len(cfg.Partners))
	failed := g.process.wait(c.ctx)
	if failed != nil {
		log.Error("component_failed", "error", failed)
	} else {
		log.Info("stopping")
	}
	err = errors.Join(failed, g.close())
	if g.store.Failure() == nil {
		log.Info("stopped", "clean", err == nil)
	}
	if err != nil {
		return lastLine(log, lines, "stop", err)
	}
	return nil
}

// lastLine logs why a process ends. If the disk ended it, that is said with the file, the call and
// what it answered: nothing else has to be said then.
func lastLine(log *slog.Logger, lines *logWriter, what string, err error) error {
	if lost, ok := errors.AsType[*store.IOError](err); ok {
		lines.finish(func(log *slog.Logger) { // callbacks are still being refused, which would be said after it
			log.Error("store_failed", "path", lost.Path, "call", lost.Call, "errno", lost.Errno, "error", lost.Err)
		})
		return errNo
	}
	log.Error("serve_failed", "in", what, "error", err)
	return errNo
}

func (g *gateway) callbackAddr() string {
	in := g.ingress.Load()
	if in == nil {
		return ""
	}
	return in.Addr().String()
}

type versionCommand struct{ jsonFlag }

// Run prints the version.
func (cmd *versionCommand) Run(c *console) error {
	return cmd.say(c, map[string]string{"version": version(), "go": runtime.Version()}, "countersign %s\n", version())
}

// stamp is the version that a release is built with (-ldflags "-X main.stamp=v1.2.3"); "": none.
var stamp string //nolint:gochecknoglobals // the linker sets it

// version is that of the release or of the module, or the commit it was built from.
func version() string {
	if stamp != "" {
		return stamp
	}
	b, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if b.Main.Version != "" && b.Main.Version != "(devel)" {
		return b.Main.Version
	}
	for _, s := range b.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "dev-" + s.Value[:12]
		}
	}
	return "dev"
}
