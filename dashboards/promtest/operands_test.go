//go:build realprometheus

package promtest

import (
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

// operands are what an alert compares: its expression, divided at comparisons and at and, or and
// unless between them, without the numbers. An alert is quiet as long as all is well; what it
// compares must be there all the same, or it is quiet for ever. Offsets are taken away, for nothing
// is a day old here.
func operands(expr string) (parts []string, err error) {
	e, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		return nil, err
	}
	present(e)
	var divide func(parser.Expr)
	divide = func(e parser.Expr) {
		switch n := e.(type) {
		case *parser.ParenExpr:
			divide(n.Expr)
		case *parser.BinaryExpr:
			apart := n.Op.IsComparisonOperator() || n.Op == parser.LAND || n.Op == parser.LUNLESS || n.Op == parser.LOR && (compares(n.LHS) || compares(n.RHS))
			if apart {
				divide(n.LHS)
				divide(n.RHS)
				return
			}
			parts = append(parts, bare(n).String())
		case *parser.NumberLiteral:
		default:
			parts = append(parts, bare(e).String())
		}
	}
	divide(e)
	return parts, nil
}

// present takes the offsets away.
func present(e parser.Expr) {
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok {
			s.OriginalOffset, s.Offset = 0, time.Duration(0)
		}
		return nil
	})
}

// compares reports whether there is a comparison outside of functions and aggregations.
func compares(e parser.Expr) bool {
	switch n := e.(type) {
	case *parser.ParenExpr:
		return compares(n.Expr)
	case *parser.BinaryExpr:
		return n.Op.IsComparisonOperator() || compares(n.LHS) || compares(n.RHS)
	default:
		return false
	}
}

// bare takes the comparisons within a part away.
func bare(e parser.Expr) parser.Expr {
	switch n := e.(type) {
	case *parser.ParenExpr:
		n.Expr = bare(n.Expr)
	case *parser.UnaryExpr:
		n.Expr = bare(n.Expr)
	case *parser.AggregateExpr:
		n.Expr = bare(n.Expr)
	case *parser.Call:
		for i := range n.Args {
			n.Args[i] = bare(n.Args[i])
		}
	case *parser.BinaryExpr:
		if n.LHS, n.RHS = bare(n.LHS), bare(n.RHS); n.Op.IsComparisonOperator() {
			return n.LHS
		}
	}
	return e
}
