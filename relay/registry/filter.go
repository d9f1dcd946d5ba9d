package registry

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"

	"countersign/kyc"
)

const (
	maxFilter      = 1000 // bytes of a filter
	maxFilterNodes = 200  // of its tree
)

// Filter is a condition on a change, compiled. What it may say is so little that it always ends,
// and soon: no arithmetic, no ranges, no assignments, one loop inside none, so that it costs at
// most its length times the reasons of a change. It is safe for concurrent use.
type Filter struct {
	text    string
	program *vm.Program
	failed  atomic.Bool
}

// NewFilter compiles a condition; its errors are *ValueError, with the column. An empty text is no
// filter: nil.
func NewFilter(text string) (*Filter, error) {
	switch {
	case text == "":
		return nil, nil
	case len(text) > maxFilter:
		return nil, &ValueError{"filter", fmt.Sprintf("is longer than %d bytes", maxFilter), "shorten it"}
	}
	tree, err := parser.Parse(text)
	if err != nil {
		return nil, filterMistake(err)
	}
	w := &bounds{}
	if ast.Walk(&tree.Node, w); w.mistake == nil {
		ast.Walk(&tree.Node, loops{w, false})
	}
	if w.mistake != nil {
		return nil, w.mistake
	}
	p, err := expr.Compile(text, expr.Env(filterEnv{}), expr.AsBool(), expr.MaxNodes(maxFilterNodes))
	if err != nil {
		return nil, filterMistake(err)
	}
	return &Filter{text: text, program: p}, nil
}

// First reports whether it is asked for the first time: one failure of a filter is worth a line in
// the log.
func (f *Filter) First() bool { return f.failed.CompareAndSwap(false, true) }

// String is the condition as it was written.
func (f *Filter) String() string {
	if f == nil {
		return ""
	}
	return f.text
}

// Match reports whether a change meets the condition. An error says that it could not be told:
// whoever asks owes the change then, for nothing is withheld for a filter that is broken.
func (f *Filter) Match(c *kyc.Change) (bool, error) {
	if f == nil {
		return true, nil
	}
	if f.program == nil {
		return true, errors.New("the filter cannot be compiled any more")
	}
	out, err := vm.Run(f.program, filterEnv{newFilterChange(c)}) // what panics in there is an error of it
	if err != nil {
		return true, fmt.Errorf("the filter failed: %w", errors.New(filterMistake(err).What))
	}
	yes, ok := out.(bool)
	if !ok {
		return true, errors.New("the filter is neither true nor false")
	}
	return yes, nil
}

// filterMistake says what is wrong with a filter, and where, without the text itself.
func filterMistake(err error) *ValueError {
	var fe *file.Error
	if !errors.As(err, &fe) {
		return &ValueError{"filter", "cannot be compiled: " + err.Error(), filterRemedy}
	}
	return &ValueError{"filter", fmt.Sprintf("cannot be used at line %d, column %d: %s", max(1, fe.Line), fe.Column+1, fe.Message), filterRemedy}
}

const filterRemedy = `write a condition like change.status == "rejected" || change.check.source startsWith "sumsub"`

// filterEnv is what a filter sees.
type filterEnv struct {
	Change filterChange `expr:"change"`
}

// filterChange is a change as a partner sees it in format standard: times are text, and none is "".
type filterChange struct {
	ID                string         `expr:"id"`
	Type              string         `expr:"type"`
	Sequence          int            `expr:"sequence"`
	Partner           string         `expr:"partner"`
	Livemode          bool           `expr:"livemode"`
	Subject           filterSubject  `expr:"subject"`
	Status            string         `expr:"status"`
	PreviousStatus    string         `expr:"previous_status"`
	Check             filterCheck    `expr:"check"`
	Document          filterDocument `expr:"document"`
	Reasons           []filterReason `expr:"reasons"`
	Retryable         bool           `expr:"retryable"`
	Terminal          bool           `expr:"terminal"`
	NeedsConfirmation bool           `expr:"needs_confirmation"`
	ClaimedStatus     string         `expr:"claimed_status"`
	ApprovedAt        string         `expr:"approved_at"`
	ExpiresAt         string         `expr:"expires_at"`
	OccurredAt        string         `expr:"occurred_at"`
}

type filterSubject struct {
	ID   string `expr:"id"`
	Kind string `expr:"kind"`
}

type filterCheck struct {
	Type        string `expr:"type"`
	Status      string `expr:"status"`
	Source      string `expr:"source"`
	Provider    string `expr:"provider"`
	ProviderRef string `expr:"provider_ref"`
}

type filterDocument struct {
	ID      string `expr:"id"`
	Type    string `expr:"type"`
	Subtype string `expr:"subtype"`
}

type filterReason struct {
	Code         string `expr:"code"`
	ProviderCode string `expr:"provider_code"`
}

func newFilterChange(c *kyc.Change) filterChange {
	f := filterChange{
		ID: c.ID, Type: c.Type, Sequence: int(c.Sequence), Partner: c.Partner, Livemode: c.Livemode, Subject: filterSubject{c.Subject.ID, c.Subject.Kind}, //nolint:gosec // no subject has so many
		Status: string(c.Status), PreviousStatus: string(c.PreviousStatus),
		Check:    filterCheck{string(c.Check.Type), c.Check.Status, c.Check.Source, c.Check.Provider, c.Check.ProviderRef},
		Document: filterDocument(c.Document), Reasons: make([]filterReason, len(c.Reasons)), Retryable: c.Retryable, Terminal: c.Terminal,
		NeedsConfirmation: c.NeedsConfirmation, ClaimedStatus: string(c.ClaimedStatus),
		ApprovedAt: filterTime(c.ApprovedAt), ExpiresAt: filterTime(c.ExpiresAt), OccurredAt: filterTime(c.OccurredAt),
	}
	for i, r := range c.Reasons {
		f.Reasons[i] = filterReason{string(r.Code), r.ProviderCode}
	}
	return f
}

func filterTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// What a filter may say.
var (
	filterOperators = []string{"==", "!=", "<", "<=", ">", ">=", "and", "&&", "or", "||", "not", "!", "in", "contains", "startsWith", "endsWith", "matches", "??"}
	filterFunctions = []string{"all", "any", "none", "one", "len", "lower", "upper", "trim"}
)

// bounds looks for what a filter may not say.
type bounds struct {
	nodes   int
	mistake *ValueError
}

func (b *bounds) wrong(n ast.Node, what string) {
	if b.mistake == nil {
		b.mistake = &ValueError{"filter", fmt.Sprintf("cannot be used at column %d: %s", n.Location().From+1, what), filterRemedy}
	}
}

// Visit implements ast.Visitor.
func (b *bounds) Visit(node *ast.Node) {
	if b.nodes++; b.nodes > maxFilterNodes {
		b.wrong(*node, fmt.Sprintf("it has more than %d parts", maxFilterNodes))
		return
	}
	switch n := (*node).(type) {
	case *ast.NilNode, *ast.IdentifierNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.StringNode, *ast.ChainNode, *ast.MemberNode, *ast.PredicateNode, *ast.PointerNode,
		*ast.ConditionalNode, *ast.ArrayNode:
	case *ast.UnaryNode:
		b.operator(n, n.Operator)
	case *ast.BinaryNode:
		if b.operator(n, n.Operator); n.Operator == "matches" {
			if _, fixed := n.Right.(*ast.StringNode); !fixed {
				b.wrong(n, "what is matched is not written out")
			}
		}
	case *ast.BuiltinNode:
		b.function(n, n.Name)
	case *ast.CallNode:
		name := ""
		if id, ok := n.Callee.(*ast.IdentifierNode); ok {
			name = id.Value
		}
		b.function(n, name)
	default:
		b.wrong(n, "no ranges, assignments, maps or slices are known here")
	}
}

func (b *bounds) operator(n ast.Node, op string) {
	if !slices.Contains(filterOperators, op) {
		b.wrong(n, "the operator "+op+" is not known here")
	}
}

func (b *bounds) function(n ast.Node, name string) {
	if !slices.Contains(filterFunctions, name) {
		b.wrong(n, "the function "+name+" is not known here")
	}
}

// loops refuses a loop inside another.
type loops struct {
	*bounds
	inside bool
}

// Visit implements ast.Visitor.
func (l loops) Visit(node *ast.Node) {
	p, ok := (*node).(*ast.PredicateNode)
	switch {
	case ok && l.inside:
		l.wrong(p, "a loop inside another is not known here")
	case ok:
		ast.Walk(&p.Node, loops{l.bounds, true})
	}
}
