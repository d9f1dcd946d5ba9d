package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/alecthomas/kong"
)

type manCommand struct {
	Command []string `arg:"" optional:"" help:"The command, such as endpoints rotate; without one, the program."`
	Dir     string   `help:"Write every page here, as NAME.1." type:"path"`
}

// Run prints a page, or writes all.
func (cmd *manCommand) Run(c *console) error {
	parser, err := newParser(c, func(int) {})
	if err != nil {
		return err
	}
	root := parser.Model.Node
	if cmd.Dir != "" && len(cmd.Command) > 0 {
		return usageError("--dir writes every page: leave the command out")
	}
	if cmd.Dir != "" {
		return cmd.all(c, root)
	}
	at, rest := descend(root, cmd.Command)
	if len(rest) > 0 {
		return misused(root, cmd.Command, fmt.Errorf("there is no command %s", strings.Join(cmd.Command, " ")))
	}
	_, err = c.out.Write(manPage(at))
	if err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// all writes a page for each command.
func (cmd *manCommand) all(c *console, root *kong.Node) error {
	if err := os.MkdirAll(cmd.Dir, 0o755); err != nil { //nolint:gosec // for everybody to read
		return fmt.Errorf("a place for the pages: %w", err)
	}
	n := 0
	var write func(at *kong.Node) error
	write = func(at *kong.Node) error {
		if at.Hidden {
			return nil
		}
		n++
		err := os.WriteFile(filepath.Join(cmd.Dir, manName(at)+".1"), manPage(at), 0o644) //nolint:gosec // as above
		for _, child := range at.Children {
			err = errors.Join(err, write(child))
		}
		return err
	}
	if err := write(root); err != nil {
		return fmt.Errorf("write the pages: %w", err)
	}
	c.printf("%d pages are in %s\n", n, cmd.Dir)
	return nil
}

// manName is how a page is called: countersign-endpoints-rotate.
func manName(n *kong.Node) string { return strings.ReplaceAll(n.FullPath(), " ", "-") }

// madeOn is the day of the commit that this program was built from, or the first of all days: the
// same program makes the same pages.
func madeOn() string {
	if b, ok := debug.ReadBuildInfo(); ok {
		for _, s := range b.Settings {
			if day, _, ok := strings.Cut(s.Value, "T"); ok && s.Key == "vcs.time" {
				return day
			}
		}
	}
	return "1970-01-01"
}

// roff writes a page in the macros of man(7).
type roff struct{ bytes.Buffer }

// text is a text as roff takes it: nothing in it is a request or an escape.
func text(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, "…", "...", "–", `\(en`).Replace(s)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}

func (r *roff) line(format string, args ...any) { fmt.Fprintf(r, format+"\n", args...) } //nolint:errcheck // memory

func (r *roff) section(title string) { r.line(".SH %s", title) }

// term is what stands in bold, with what it means.
func (r *roff) term(bold, means string) {
	r.line(".TP")
	r.line(`\fB%s\fR`, text(bold))
	r.line("%s", text(means))
}

// manPage is the page of a command.
func manPage(n *kong.Node) []byte {
	r := &roff{}
	p := manual[typedAs(n)]
	r.line(`.\" made by countersign man`)
	r.line(`.TH %s 1 "%s" "countersign %s" "Countersign"`, strings.ToUpper(text(manName(n))), madeOn(), text(version()))
	r.section("NAME")
	r.line(`%s \- %s`, text(manName(n)), text(strings.TrimSuffix(n.Help, ".")))
	r.section("SYNOPSIS")
	r.line(`\fB%s\fR`, text(n.FullPath()))
	if rest := strings.TrimSpace(strings.TrimPrefix(synopsis(n), n.Path())); rest != "" {
		r.line("%s", text(rest))
	}
	if about := strings.TrimSpace(p.about); about != "" || n.Parent == nil {
		r.section("DESCRIPTION")
		if n.Parent == nil {
			about = general
		}
		r.prose(about)
	}
	if len(n.Positional) > 0 {
		r.section("ARGUMENTS")
		for _, a := range n.Positional {
			r.term(a.Summary(), a.Help)
		}
	}
	r.flags(n)
	r.children(n)
	r.end(n, p)
	return r.Bytes()
}

// synopsis is a command with its arguments.
func synopsis(n *kong.Node) string {
	if len(n.Children) > 0 && n.Parent == nil {
		return "<command> [flags]"
	}
	return n.Summary()
}

// prose is text whose indented lines are as they are typed.
func (r *roff) prose(s string) {
	for i, part := range strings.Split(s, "\n\n") {
		switch {
		case strings.HasPrefix(part, "    "):
			r.line(".PP\n.nf\n.RS\n%s\n.RE\n.fi", text(strings.ReplaceAll(strings.TrimPrefix(part, "    "), "\n    ", "\n")))
		case i > 0:
			r.line(".PP\n%s", text(part))
		default:
			r.line("%s", text(part))
		}
	}
}

func (r *roff) flags(n *kong.Node) {
	first := true
	for level := n; level != nil; level = level.Parent {
		for _, f := range level.Flags {
			if f.Hidden {
				continue
			}
			if first {
				r.section("OPTIONS")
				first = false
			}
			r.term(strings.TrimSpace(f.String()), f.Help)
		}
	}
}

func (r *roff) children(n *kong.Node) {
	if len(n.Children) == 0 {
		return
	}
	r.section("COMMANDS")
	for _, child := range n.Children {
		if !child.Hidden {
			r.term(manName(child)+"(1)", child.Help)
		}
	}
	if n.DefaultCmd != nil {
		r.line(".PP\nWithout a command it is %s.", text(n.DefaultCmd.Name))
	}
}

// end is what every page ends with.
func (r *roff) end(n *kong.Node, p page) {
	if len(p.examples) > 0 {
		r.section("EXAMPLES")
		r.line(".nf")
		for _, e := range p.examples {
			r.line("%s", text("$ countersign "+e))
		}
		r.line(".fi")
		r.section("EXIT STATUS")
		r.line("%s", text(exitCodes(n, p)))
	}
	if asks(n) || n.Parent == nil {
		r.section("ENVIRONMENT")
		r.term(urlVariable, "The URL of the gateway's control API, where none is named.")
		r.term(tokenVariable, "The token, where no file with one is named.")
	}
	var also []string
	if n.Parent != nil {
		also = append(also, `\fB`+text(manName(n.Parent))+`\fR(1)`)
	}
	if p.next != "" {
		also = append(also, text(p.next))
	}
	if len(also) > 0 {
		r.section("SEE ALSO")
		r.line("%s", strings.Join(also, ", "))
	}
}
