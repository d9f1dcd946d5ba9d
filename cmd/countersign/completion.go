package main

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"countersign/ingest/provider"
	"countersign/kyc"
)

// completeWord is what the scripts call this program with: the shell, and the words so far, of
// which the last is the one to complete.
const completeWord = "__complete"

//go:embed completion/countersign.bash
var bashScript string

//go:embed completion/countersign.zsh
var zshScript string

//go:embed completion/countersign.fish
var fishScript string

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Run prints the script of a shell.
func (cmd *completionCommand) Run(c *console) error { //nolint:unparam // kong calls nothing that returns no error
	fmt.Fprint(c.out, map[string]string{"bash": bashScript, "zsh": zshScript, "fish": fishScript}[cmd.Shell]) //nolint:errcheck // a terminal that is gone is no error of ours
	return nil
}

// candidate is a word that may come next, and what it is.
type candidate struct{ word, about string }

// onlyFiles is what the scripts read where a file comes next, which the shell completes.
const onlyFiles = ":files"

// complete prints what may come next, as a shell's script reads it.
func (c *console) complete(root *kong.Node, args []string) int {
	if len(args) < 2 {
		return exitUsage
	}
	shell, words := args[0], args[1:]
	if shell == "bash" { // its words are broken at : and =, so it hands over the line
		words = split(words[0])[1:]
	}
	last := words[len(words)-1]
	all, files := next(root, words)
	if files {
		fmt.Fprintln(c.out, onlyFiles) //nolint:errcheck // nobody is there any more
		return exitYes
	}
	for _, one := range all {
		if !strings.HasPrefix(one.word, last) {
			continue
		}
		switch shell {
		case "bash": // which replaces only what stands behind the last : or =
			fmt.Fprintln(c.out, one.word[strings.LastIndexAny(last, ":=")+1:]) //nolint:errcheck // as above
		case "zsh":
			fmt.Fprintf(c.out, "%s:%s\n", strings.ReplaceAll(one.word, ":", `\:`), one.about) //nolint:errcheck // as above
		default:
			fmt.Fprintf(c.out, "%s\t%s\n", one.word, one.about) //nolint:errcheck // as above
		}
	}
	return exitYes
}

// split takes a line apart as a shell does, as far as a line is typed: the last word is what is
// being typed, and may be empty.
func split(line string) []string {
	words, word, quote := []string{}, strings.Builder{}, rune(0)
	escaped, any := false, false
	for _, r := range line {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped = true
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, any = r, true
		case quote == 0 && (r == ' ' || r == '\t'):
			if word.Len() > 0 || any {
				words = append(words, word.String())
			}
			any = false
			word.Reset()
		default:
			word.WriteRune(r)
		}
	}
	words = append(words, word.String())
	if len(words) == 1 { // the program's own name is being typed
		words = append(words, "")
	}
	return words
}

// position is where a command line stands: at a command, behind so many of its arguments.
type position struct {
	at      *kong.Node
	behind  int        // arguments that it has
	pending *kong.Flag // whose value comes next; nil: none
	plain   bool       // behind --, where nothing is a flag
}

// next is what may come as the last of words; files: a file.
func next(root *kong.Node, words []string) (all []candidate, files bool) {
	p := position{at: root}
	for _, w := range words[:len(words)-1] {
		p.take(w)
	}
	last := words[len(words)-1]
	name, _, assigned := strings.Cut(last, "=")
	switch {
	case p.pending != nil:
		return values(p.pending.Value)
	case !p.plain && assigned && strings.HasPrefix(last, "--"):
		f := p.flag(name)
		if f == nil {
			return nil, false
		}
		all, files = values(f.Value)
		for i := range all {
			all[i].word = name + "=" + all[i].word
		}
		return all, files
	case !p.plain && strings.HasPrefix(last, "-"):
		return p.flags(), false
	}
	return p.arguments()
}

// take goes over one word.
func (p *position) take(w string) {
	switch {
	case p.pending != nil:
		p.pending = nil
	case !p.plain && w == "--":
		p.plain = true
	case !p.plain && strings.HasPrefix(w, "-"):
		if f := p.flag(w); f != nil && !f.IsBool() && !strings.Contains(w, "=") {
			p.pending = f
		}
	default:
		if p.behind == 0 {
			if to, rest := descend(p.at, []string{w}); len(rest) == 0 {
				p.at = to
				return
			}
		}
		if p.at.DefaultCmd != nil {
			p.at = p.at.DefaultCmd
		}
		p.behind++
	}
}

// nodes are the command, the one that is meant where none of its own is named, and those above.
func (p *position) nodes() (all []*kong.Node) {
	if p.at.DefaultCmd != nil {
		all = append(all, p.at.DefaultCmd)
	}
	for n := p.at; n != nil; n = n.Parent {
		all = append(all, n)
	}
	return all
}

func (p *position) flag(word string) *kong.Flag {
	name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
	for _, n := range p.nodes() {
		for _, f := range n.Flags {
			if f.Name == name || slices.Contains(f.Aliases, name) || f.Short != 0 && name == string(f.Short) {
				return f
			}
		}
	}
	return nil
}

func (p *position) flags() (all []candidate) {
	for _, n := range p.nodes() {
		for _, f := range n.Flags {
			if f.Hidden {
				continue
			}
			all = append(all, candidate{"--" + f.Name, f.Help})
			if f.IsBool() && f.Tag.Negatable != "" {
				all = append(all, candidate{"--no-" + f.Name, f.Help})
			}
		}
	}
	return all
}

// arguments are the commands that may follow, and the words of the next argument.
func (p *position) arguments() (all []candidate, files bool) {
	n := p.at
	if p.behind == 0 {
		for _, child := range n.Children {
			if !child.Hidden {
				all = append(all, candidate{child.Name, child.Help})
			}
		}
		if n.DefaultCmd != nil {
			n = n.DefaultCmd
		}
	}
	if len(n.Positional) == 0 {
		return all, false
	}
	i := min(p.behind, len(n.Positional)-1)
	arg := n.Positional[i]
	if p.behind > i && !arg.IsSlice() {
		return all, false
	}
	if arg.Name == "command" { // of help and man
		root := n
		for root.Parent != nil {
			root = root.Parent
		}
		return (&position{at: root}).arguments()
	}
	more, files := values(arg)
	return append(all, more...), files
}

// values are the words of a flag or an argument that this program knows.
func values(v *kong.Value) (all []candidate, files bool) {
	var words []string
	switch {
	case v.Enum != "":
		words = slices.Sorted(maps.Keys(v.EnumMap()))
	case v.Tag.Type == "path", v.Name == "body", v.Name == "headers", v.Name == "file":
		return nil, true
	case v.Name == "provider":
		words = providerNames()
	case v.Name == "format", v.Name == "scheme":
		words = formatNames()
	case v.Name == "check", v.Name == "required", v.Name == "required-company":
		words = texts(kyc.Checks)
	case v.Name == "status":
		words = []string{"approved", "in_review", "rejected", "expired", "suspended"}
	case v.Name == "reasons":
		words = texts(kyc.Priority)
	case v.Name == "event":
		words = samples()
	}
	for _, w := range words {
		if w != "" {
			all = append(all, candidate{word: w})
		}
	}
	return all, false
}

func texts[T ~string](words []T) (all []string) {
	for _, w := range words {
		all = append(all, string(w))
	}
	return all
}

// samples are the samples of all providers: which one a source is of, the config says.
func samples() (all []string) {
	for _, a := range provider.All {
		all = append(all, provider.SampleNames(a.Name)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
