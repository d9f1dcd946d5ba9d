// Program site makes the documentation a static site: the pages of docs/, the runbooks, and the
// reference of the control API from its own description. It is a module of its own so that its
// reader of Markdown never enters the product's.
//
//	go -C docs/site run . --out ../../bin/site
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	root := flag.String("root", "../..", "the checkout")
	out := flag.String("out", "../../bin/site", "the directory to write; it is made if it is missing")
	flag.Parse()
	n, err := build(*root, *out)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprintf(os.Stdout, "%d pages in %s\n", n, *out) //nolint:errcheck // nobody reads it
}
