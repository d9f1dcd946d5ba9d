package provider

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"

	"countersign/kyc"
)

// The bounds of an expression. Together they keep a callback's expressions within milliseconds,
// whatever the body holds: texts, lists and objects of a body that are larger cannot be used at
// all, loops are counted, and nothing in an expression makes a text longer than these.
const (
	maxNodes    = 200     // of one expression, at load
	maxText     = 1 << 10 // bytes of a text that an expression may use
	maxItems    = 1_000   // of a list or an object that an expression may use
	maxSteps    = 10_000  // turns of loops in all expressions of one callback
	maxElements = 10_000  // that one expression may put into lists
)

// class is what an expression must give.
type class byte

const (
	aText  class = iota // or a whole number, or nil
	aFlag               // or nil
	aTime               // or a text in RFC 3339, or nil
	aCount              // or nil
	aList               // of texts and whole numbers; or a single one, or nil
)

// GenericKey is one thing that an expression of a GenericSpec can say.
type GenericKey struct {
	Name    string
	Need    bool
	Meaning string
	class   class
	words   []string // that may stand there without quotes
}

// genericKeys are in the order of the reference.
var genericKeys = []GenericKey{
	{Name: "ignore", class: aFlag, Meaning: "true for an event without a status: nothing else is read"},
	{Name: "event_type", class: aText, Need: true, Meaning: "the provider's name of the event"},
	{Name: "event_id", class: aText, Meaning: "the provider's id of the event, the same in every repeat"},
	{Name: "dedupe", class: aList, Meaning: "what identifies the event, if it has no id. Without both: the digest of the body"},
	{Name: "occurred_at", class: aTime, Meaning: "when it happened; events are ordered by this time"},
	{Name: "revision", class: aCount, Meaning: "a number of the object that grows with every event; it orders events of the same time"},
	{Name: "livemode", class: aFlag, Meaning: "whether the body says live (true) or test (false)"},
	{Name: "subject", class: aText, Meaning: "our own id of the person"},
	{Name: "provider_ref", class: aText, Meaning: "a provider's id that belongs to one person only: later callbacks without our id are recognized by it"},
	{Name: "kind", class: aText, words: []string{kyc.Individual, kyc.Company}, Meaning: "individual (the default) or company"},
	{Name: "ref", class: aText, Meaning: "the session: inquiry, request, transaction; a new one is a new attempt"},
	{Name: "parent_ref", class: aText, Meaning: "a group of sessions"},
	{Name: "attempt_ref", class: aText, Meaning: "one attempt within a session"},
	{Name: "workflow", class: aText, Meaning: "level, template or flow, to which the source's check may be mapped"},
	{Name: "scope", class: aText, words: words(kyc.Overall, kyc.CheckScope, kyc.DocumentScope), Meaning: "overall (the default), check (one step) or document"},
	{Name: "check", class: aText, words: words(kyc.Checks...), Meaning: "the check type. Not set: identity_verification; for a company business_verification, for a document document_verification"},
	{Name: "document_id", class: aText, Meaning: "with scope document: the provider's id of it, never its number"},
	{Name: "document_type", class: aText, Meaning: "the provider's word for its type"},
	{Name: "status", class: aText, Need: true, Meaning: "a word of the table statuses; without a table, one of our statuses. Any other word is in_review, and the body is kept"},
	{Name: "expiry_kind", class: aText, words: words(kyc.ExpiryValidity, kyc.ExpiryAttempt), Meaning: "for status expired: validity (an approval expired, the default) or attempt (a link expired)"},
	{Name: "reasons", class: aList, Meaning: "the provider's codes; a code that is not in the table reasons is other. An approval with a match, fraud or age is in_review"},
	{Name: "retryable", class: aFlag, Meaning: "for a rejection: whether the person may try again. It wins over the table; if neither says, the rejection is terminal"},
	{Name: "expires_at", class: aTime, Meaning: "until when an approval is valid"},
	{Name: "keep", class: aFlag, Meaning: "true to also keep the body in quarantine"},
}

// GenericKeys lists what an expression can say.
func GenericKeys() []GenericKey { return slices.Clone(genericKeys) }

func genericKeyNames() (names []string) {
	for _, k := range genericKeys {
		names = append(names, k.Name)
	}
	return names
}

func words[T ~string](ws ...T) (out []string) {
	for _, w := range ws {
		out = append(out, string(w))
	}
	return out
}

// program is one expression, ready to run as often as wanted.
type program struct {
	code    *vm.Program
	headers []string // it reads
	names   []string // that keys must have to be read by it
	anyKey  bool     // it can read a key of any name
}

// stepName is no name an expression can spell.
const stepName = "(step)"

// compile checks types and names, then the parts that expressions are made of, and at last has
// every loop counted.
func (k *GenericKey) compile(text string) (*program, error) {
	if slices.Contains(k.words, strings.TrimSpace(text)) {
		text = strconv.Quote(strings.TrimSpace(text))
	}
	options := []expr.Option{
		expr.Env(env{}), expr.MaxNodes(maxNodes), expr.Optimize(false), expr.DisableAllBuiltins(), expr.EnableBuiltin("len"),
	}
	code, err := expr.Compile(text, options...)
	if err != nil {
		return nil, k.wrong(err)
	}
	g, node := &grammar{}, code.Node()
	ast.Walk(&node, g)
	if !k.class.fits(node) {
		g.refuse(node, "it gives "+typeName(node)+" and should give "+k.class.String())
	}
	if g.err != nil {
		return nil, k.wrong(g.err.Bind(code.Source()))
	}
	if code, err = expr.Compile(text, append(options, expr.Patch(stepper{}))...); err != nil {
		return nil, k.wrong(err)
	}
	return &program{code, g.headers, g.names, g.anyKey}, nil
}

// wrong says where in the expression the mistake is.
func (k *GenericKey) wrong(err error) error {
	what, _, _ := strings.Cut(err.Error(), "\n")
	if at, ok := errors.AsType[*file.Error](err); ok {
		what = fmt.Sprintf("column %d: %s", at.Column+1, at.Message)
		if at.Line > 1 {
			what = fmt.Sprintf("line %d, column %d: %s", at.Line, at.Column+1, at.Message)
		}
	}
	return &GenericError{"map." + k.Name, what, "correct the expression; docs/ADDING.md says what may stand in one"}
}

// stepper makes each turn of a loop count.
type stepper struct{}

// Visit implements ast.Visitor.
func (stepper) Visit(node *ast.Node) {
	if p, ok := (*node).(*ast.PredicateNode); ok {
		p.Node = &ast.SequenceNode{Nodes: []ast.Node{&ast.CallNode{Callee: &ast.IdentifierNode{Value: stepName}}, p.Node}}
	}
}

// grammar is the part of the language that ends soon whatever the body holds, and makes nothing
// large. Left out are arithmetic (text joins texts, in bounds), variables, ranges, loops that
// gather, methods, and comparisons of what may be whole trees.
type grammar struct {
	headers []string
	names   []string // every text in it, among which are the keys that it names
	anyKey  bool     // a name of a key comes from the body
	err     *file.Error
}

// Visit implements ast.Visitor.
func (g *grammar) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.NilNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.ChainNode, *ast.SliceNode, *ast.PredicateNode, *ast.PointerNode,
		*ast.ConditionalNode, *ast.ArrayNode:
	case *ast.StringNode:
		g.names = append(g.names, n.Value)
	case *ast.MemberNode:
		g.anyKey = g.anyKey || !constant(n.Property)
	case *ast.IdentifierNode:
		if strings.HasPrefix(n.Value, "$") {
			g.refuse(n, "unknown name "+n.Value)
		}
	case *ast.UnaryNode:
	case *ast.BinaryNode:
		g.binary(n)
	case *ast.BuiltinNode:
		if !slices.Contains([]string{"all", "any", "none", "one", "filter", "map", "find", "count", "len"}, n.Name) {
			g.refuse(n, n.Name+" is not among the functions of an expression")
		}
	case *ast.CallNode:
		g.call(n)
	default:
		g.refuse(n, "neither variables nor objects are part of an expression")
	}
}

func (g *grammar) refuse(at ast.Node, what string) {
	if g.err == nil {
		g.err = &file.Error{Location: at.Location(), Message: what}
	}
}

func (g *grammar) binary(n *ast.BinaryNode) {
	switch n.Operator {
	case "&&", "and", "||", "or", "<", ">", "<=", ">=", "??", "contains", "startsWith", "endsWith":
	case "==", "!=":
		if !single(n.Left) && !single(n.Right) {
			g.refuse(n, "one side of "+n.Operator+" must be text, a number or true or false: write text(…) or int(…) around it")
		}
	case "in":
		g.anyKey = g.anyKey || !constant(n.Left) // it may be looked for among the keys of an object
		if !single(n.Left) {
			g.refuse(n, "what is looked for must be text or a number: write text(…) or int(…) around it")
		}
	case "matches":
		if _, constant := n.Right.(*ast.StringNode); !constant {
			g.refuse(n, "a pattern must stand in the expression itself")
		}
	default:
		g.refuse(n, n.Operator+" is not among the operators of an expression; text(a, b) joins texts")
	}
}

func (g *grammar) call(n *ast.CallNode) {
	name, ok := n.Callee.(*ast.IdentifierNode)
	switch {
	case !ok:
		g.refuse(n, "values have no methods")
	case name.Value == "header":
		text, constant := n.Arguments[0].(*ast.StringNode)
		if !constant {
			g.refuse(n, "the name of a header must stand in the expression itself")
			return
		}
		g.headers = append(g.headers, text.Value)
	default:
	}
}

// constant reports a text or a number that stands in the expression itself.
func constant(n ast.Node) bool {
	switch n.(type) {
	case *ast.StringNode, *ast.IntegerNode:
		return true
	default:
		return false
	}
}

var timeType = reflect.TypeFor[time.Time]()

// single reports whether a value is known to be no list and no object, so that comparing it costs
// nothing.
func single(n ast.Node) bool {
	if _, ok := n.(*ast.NilNode); ok {
		return true
	}
	switch t := n.Type(); t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Float64:
		return true
	default:
		return t == timeType
	}
}

// fits reports whether an expression may give this class, as far as its type tells before there is
// a body.
func (c class) fits(n ast.Node) bool {
	if _, ok := n.(*ast.NilNode); ok {
		return true
	}
	t := n.Type()
	switch kind := t.Kind(); {
	case kind == reflect.Interface:
		return true
	case c == aText:
		return kind == reflect.String || kind == reflect.Int
	case c == aFlag:
		return kind == reflect.Bool
	case c == aTime:
		return t == timeType || kind == reflect.String
	case c == aCount:
		return kind == reflect.Int
	default:
		return kind == reflect.Slice || kind == reflect.String || kind == reflect.Int
	}
}

// String names a class.
func (c class) String() string {
	switch c {
	case aText:
		return "text"
	case aFlag:
		return "true or false"
	case aTime:
		return "a time, or text in RFC 3339; time(…) reads others"
	case aCount:
		return "a whole number"
	default:
		return "a list of codes"
	}
}

func typeName(n ast.Node) string {
	switch t := n.Type(); t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list"
	case reflect.Func:
		return "a function"
	default:
		if t == timeType {
			return "a time"
		}
		return "something else"
	}
}
