package main

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

// Exit codes, for scripts: a closed table, which docs/CLI.md explains.
const (
	exitYes         = 0 // yes, or done
	exitNo          = 1 // no: it was refused, it failed, or the answer is no
	exitUsage       = 2 // the command line cannot be meant; nothing was done
	exitNotNow      = 3 // no gateway answers, or it cannot just now: again later
	exitUnknown     = 4 // the gateway knows nothing by that name
	exitUnpermitted = 5 // the token is none, or does not permit it
)

// errNo is a plain "no": the command has said why, exit 1.
var errNo = errors.New("no")

// usageError is a call that cannot be meant: exit 2.
type usageError string

// Error implements error.
func (e usageError) Error() string { return string(e) }

// run is main without the process: it returns the exit code.
func run(c *console, args []string) int {
	c.out, c.err, c.bar = visible{c.out}, visible{c.err}, c.err
	k, code, err := parse(c, args)
	if code >= 0 {
		return code
	}
	c.json = slices.Contains(args, "--json")
	if err == nil {
		err = k.Run()
	}
	if refused, ok := errors.AsType[*client.Error](err); ok && refused.Status == http.StatusNotFound {
		if near := c.guess(k); near != "" {
			err = fmt.Errorf("%w; did you mean %s?", err, near)
		}
	}
	if err != nil && !errors.Is(err, errNo) {
		c.fail(err)
	}
	return c.exit(err)
}

// parse reads a command line. A code of 0 or more says that nothing is left to be done.
func parse(c *console, args []string) (k *kong.Context, code int, err error) {
	if k = directly(c, args); k != nil {
		return k, -1, nil
	}
	code = -1
	parser, err := newParser(c, func(at int) { code = at })
	if err != nil {
		fmt.Fprintln(c.err, "countersign:", err) //nolint:errcheck // nowhere left to say it
		return nil, exitUsage, nil
	}
	switch {
	case len(args) == 0: // somebody who does not know yet what it does
		parser.Stdout = c.err
		parser.Parse([]string{"--help"}) //nolint:errcheck,gosec // the help is printed
		return nil, exitUsage, nil
	case args[0] == "--version":
		args = append([]string{"version"}, args[1:]...)
	case args[0] == completeWord:
		return nil, c.complete(parser.Model.Node, args[1:]), nil
	}
	if k, err = parser.Parse(args); code >= 0 { // --help
		return nil, code, nil
	}
	if err != nil {
		return nil, -1, misused(parser.Model.Node, args, err)
	}
	return k, -1, nil
}

// directly reads a command line with nothing but the command that it names, for to lay out all of
// them takes longer than most of them run. nil: the whole has to say what may be meant.
func directly(c *console, args []string) *kong.Context {
	if len(args) == 0 || slices.Contains(args, "--help") || slices.Contains(args, "-h") {
		return nil
	}
	all := reflect.TypeFor[commands]()
	field, ok := all.FieldByNameFunc(func(name string) bool { return strings.ToLower(name) == args[0] })
	if !ok {
		return nil
	}
	one := reflect.New(reflect.StructOf([]reflect.StructField{field}))
	parser, err := layOut(c, one.Interface(), func(int) {})
	if err != nil {
		return nil
	}
	k, err := parser.Parse(args)
	if err != nil {
		return nil
	}
	return k
}

// misused is a command line that cannot be read, with what may have been meant and where help is.
func misused(root *kong.Node, args []string, err error) error {
	at, rest := descend(root, args)
	meant := ""
	if len(rest) > 0 && len(at.Children) > 0 && !strings.Contains(err.Error(), "did you mean") {
		var names []string
		for _, child := range at.Children {
			names = append(names, child.Name)
		}
		if near := nearest(rest[0], names); near != "" {
			meant = fmt.Sprintf(", did you mean %q?", near)
		}
	}
	return usageError(fmt.Sprintf("%v%s (try %s --help)", err, meant, at.FullPath()))
}

// descend follows a command line to the command that it names, and returns what stands behind that.
func descend(at *kong.Node, args []string) (*kong.Node, []string) {
	for len(args) > 0 {
		i := slices.IndexFunc(at.Children, func(child *kong.Node) bool { return child.Name == args[0] })
		if i < 0 {
			break
		}
		at, args = at.Children[i], args[1:]
	}
	return at, args
}

// newParser is the command line, which reads and writes at c. exit is called where nothing is left
// to be done.
func newParser(c *console, exit func(int)) (*kong.Kong, error) {
	return layOut(c, &commands{}, exit)
}

// layOut is a command line of some commands.
func layOut(c *console, some any, exit func(int)) (*kong.Kong, error) {
	explain := func(o kong.HelpOptions, ctx *kong.Context) error { // only then are the pages needed
		teach(ctx.Kong)
		return kong.DefaultHelpPrinter(o, ctx)
	}
	return kong.New(some, kong.Name("countersign"), kong.Description("KYC webhook gateway: verified in, signed out."),
		kong.Writers(c.out, c.err), kong.Exit(exit), kong.UsageOnError(), kong.Bind(c), kong.ExplicitGroups(groups), kong.Help(explain),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 110}))
}

// exit is the code of what a command ended with.
func (c *console) exit(err error) int {
	if err == nil {
		return exitYes
	}
	if _, misused := errors.AsType[usageError](err); misused {
		return exitUsage
	}
	if refused, ok := errors.AsType[*client.Error](err); ok {
		switch refused.Status {
		case http.StatusUnauthorized, http.StatusForbidden:
			return exitUnpermitted
		case http.StatusNotFound:
			return exitUnknown
		case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return exitNotNow
		default:
			return exitNo
		}
	}
	if errors.Is(err, client.ErrUnreachable) && c.ctx.Err() == nil { // an interrupt is nobody's silence
		return exitNotNow
	}
	return exitNo
}

// failure is an error for scripts: as the API words it, with the exit code.
type failure struct {
	api.Fault
	Exit int `json:"exit"`
}

// fail says why a command did not do what it was asked, to people or, with --json, to scripts.
func (c *console) fail(err error) {
	if _, strange := errors.AsType[*tls.CertificateVerificationError](err); strange {
		err = fmt.Errorf("%w; name the authorities that vouch for it with --ca FILE", err)
	} else if errors.Is(err, client.ErrUnreachable) {
		err = fmt.Errorf("%w; is it running, and is that its control listener?", err)
	}
	if !c.json {
		c.complain(err)
		return
	}
	f := failure{Exit: c.exit(err)}
	switch f.Exit {
	case exitUsage:
		f.Type, f.Code = api.TypeRequest, "usage"
	case exitNotNow:
		f.Type, f.Code = api.TypeUnavailable, "unreachable"
	default:
		f.Type, f.Code = "failed", "failed"
	}
	f.Message = err.Error()
	if said, ok := errors.AsType[*client.Error](err); ok {
		f.Type, f.Code, f.Param, f.Problems = cmp.Or(said.Type, f.Type), cmp.Or(said.Code, f.Code), said.Param, said.Problems
	}
	if bad, ok := errors.AsType[*configError](err); ok {
		f.Type, f.Code, f.Problems = api.TypeRequest, "config", faults(bad.problems)
	}
	encode(c.err, map[string]failure{"error": f}) //nolint:errcheck,gosec // nowhere left to say it
}
