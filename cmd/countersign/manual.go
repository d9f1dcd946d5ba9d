package main

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// page is what the manual says of a command beyond its flags. --help, help and the man pages are
// made of it.
type page struct {
	about    string   // what it does, in sentences; "": its one line says so
	examples []string // as they are typed, without the program's name; a test parses each
	no       string   // what exit 1 means of it; "": it was refused, or failed
	next     string   // where to go on; "": nowhere in particular
	plain    string   // why it has no --json; "": it has
}

// The groups of commands and of flags, in the order in which they are listed.
var groups = []kong.Group{
	{Key: "run", Title: "Run a gateway:"},
	{Key: "people", Title: "People, and what was decided about them:"},
	{Key: "told", Title: "Partners, endpoints and deliveries:"},
	{Key: "held", Title: "What waits for somebody:"},
	{Key: "keep", Title: "Look after a gateway:"},
	{Key: "try", Title: "Try and explain, without a gateway:"},
	{Key: "about", Title: "About this program:"},
	{Key: "list", Title: "Pages of the list:"},
	{Key: "gateway", Title: "Which gateway, and who asks:", Description: "A URL and a token are all that is needed; see docs/CLI.md."},
}

// general stands in the help of the program as a whole.
const general = `Commands that ask a running gateway need its URL and a token, and nothing else:

    $ export COUNTERSIGN_URL=https://gateway.example:8481
    $ export COUNTERSIGN_TOKEN=cs_...
    $ countersign endpoints

Where the gateway's own countersign.yaml is, neither is needed. --json prints what the API answers.`

// The exit codes, as the manual has them.
const (
	codesLocal   = "0 yes or done, 1 %s, 2 the command line cannot be meant."
	codesGateway = "0 yes or done, 1 %s, 2 the command line cannot be meant, 3 no gateway answers or not now, 4 the gateway knows nothing by that name, 5 the token does not permit it."
	itFailed     = "no: it was refused, or failed"
)

// asks reports whether a command asks a running gateway. To doctor one that does not answer is a
// finding like any other.
func asks(n *kong.Node) bool { return flagOf(n, "token-file") != nil && n.Name != "doctor" }

// flagOf is the flag of a command by its name; nil: it has none of that name.
func flagOf(n *kong.Node, name string) *kong.Flag {
	for _, f := range n.Flags {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// typedAs is a command as it is typed, without the program's name.
func typedAs(n *kong.Node) string {
	_, rest, _ := strings.Cut(n.FullPath(), " ")
	return rest
}

// exitCodes is the line about them.
func exitCodes(n *kong.Node, p page) string {
	no := p.no
	if no == "" {
		no = itFailed
	}
	if asks(n) {
		return fmt.Sprintf(codesGateway, no)
	}
	return fmt.Sprintf(codesLocal, no)
}

// detail is what --help says of a command beyond its flags, as go/doc formats it.
func detail(n *kong.Node) string {
	p, ok := manual[typedAs(n)]
	if !ok {
		return ""
	}
	var b strings.Builder
	if p.about != "" {
		b.WriteString(p.about + "\n\n")
	}
	b.WriteString("Examples:\n\n")
	for _, e := range p.examples {
		b.WriteString("    $ countersign " + e + "\n")
	}
	b.WriteString("\nExit: " + exitCodes(n, p))
	if p.plain != "" {
		b.WriteString("\n\nNo --json: " + p.plain)
	}
	if p.next != "" {
		b.WriteString("\n\nSee also: " + p.next)
	}
	return b.String()
}

// teach gives every command its page.
func teach(k *kong.Kong) {
	for _, n := range k.Model.Leaves(false) {
		n.Detail = detail(n)
	}
	for _, n := range k.Model.Children {
		if n.DefaultCmd != nil {
			n.Detail = fmt.Sprintf("countersign %s alone is countersign %s; each has an example in its --help.", n.Name, typedAs(n.DefaultCmd))
		}
	}
	k.Model.Detail = general
}

// helpCommand is --help for those who type help.
type helpCommand struct {
	Command []string `arg:"" optional:"" help:"The command, such as endpoints rotate."`
}

// Run prints the help of a command.
func (cmd *helpCommand) Run(c *console) error {
	shown := false
	parser, err := newParser(c, func(int) { shown = true })
	if err != nil {
		return err
	}
	at, rest := descend(parser.Model.Node, cmd.Command)
	if len(rest) > 0 {
		return misused(parser.Model.Node, cmd.Command, fmt.Errorf("there is no command %s", strings.Join(cmd.Command, " ")))
	}
	args := append([]string{}, cmd.Command...)
	if _, err := parser.Parse(append(args, "--help")); !shown {
		return fmt.Errorf("help of %s: %w", at.FullPath(), err)
	}
	return nil
}
