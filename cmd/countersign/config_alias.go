package main

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxRepeated is how many values of a file may come from aliases and merge keys: far more than a
// config needs, and far less than a few lines that repeat each other can come to.
const maxRepeated = 200_000

// aliases puts in the place of each alias what its anchor names, and in the place of each merge key
// the entries that it leads to, so that whoever reads the tree finds plain values. What is repeated
// keeps its line. Nothing is copied: the tree has as many nodes as the file.
type aliases struct {
	l     *loader
	state map[*yaml.Node]int // of a node that has been seen: how many values it stands for, or open
}

const open = -1 // whoever leads here again leads to itself

// resolve does it for a whole file; nil: something is wrong with it, which has been said.
func (l *loader) resolve(root *yaml.Node) *yaml.Node {
	if !repeats(root) {
		return root
	}
	a := aliases{l: l, state: map[*yaml.Node]int{}}
	written := count(root)
	root, _ = a.follow(root, "")
	if root == nil {
		return nil
	}
	if repeated := a.state[root] - written; repeated > maxRepeated {
		l.wrong(root, "", mistake{"has aliases that repeat more than " + strconv.Itoa(maxRepeated) + " values", "write out what is meant, or name less in each anchor"})
		return nil
	}
	return root
}

// repeats reports whether there is an alias or a merge key anywhere.
func repeats(n *yaml.Node) bool {
	return n.Kind == yaml.AliasNode || n.Kind == yaml.MappingNode && merges(n) || slices.ContainsFunc(n.Content, repeats)
}

// count is how many nodes are written.
func count(n *yaml.Node) (all int) {
	for _, c := range n.Content {
		all += count(c)
	}
	return all + 1
}

// follow returns what stands at a place, and for how many values; nil: it leads to itself.
func (a *aliases) follow(n *yaml.Node, at string) (*yaml.Node, int) {
	named := n
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch size, seen := a.state[n]; {
	case seen && size == open:
		a.l.wrong(named, at, mistake{"is an alias of a value that contains it", "write the value out"})
		return nil, 0
	case seen:
		return n, size
	}
	a.state[n] = open
	size := 1
	for i, c := range n.Content {
		here := at
		switch {
		case n.Kind == yaml.SequenceNode:
			here += "[" + strconv.Itoa(i) + "]"
		case i%2 == 1:
			here = join(at, show(n.Content[i-1].Value))
		}
		to, its := a.follow(c, here)
		if to == nil {
			return nil, 0
		}
		n.Content[i] = to
		size = min(size+its, 1<<40) // else it could come round to few again
	}
	if n.Kind == yaml.MappingNode {
		more, ok := a.merge(n, at)
		if !ok {
			return nil, 0
		}
		size = min(size+more, 1<<40)
	}
	a.state[n] = size
	return n, size
}

// merge puts the entries that merge keys lead to behind those of a mapping. What the mapping says
// itself stands, and of what is merged the first.
func (a *aliases) merge(n *yaml.Node, at string) (size int, ok bool) {
	if !merges(n) {
		return 0, true
	}
	has := map[string]bool{}
	var own, from []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if !mergeKey(k) {
			own, has[k.Value] = append(own, k, v), true
			continue
		}
		if from != nil {
			a.l.wrong(k, join(at, "<<"), mistake{"is duplicated", "write one <<, with a list of what is merged"})
			return 0, false
		}
		if from = []*yaml.Node{v}; v.Kind == yaml.SequenceNode {
			from = v.Content
		}
	}
	for _, m := range from {
		if m.Kind != yaml.MappingNode {
			a.l.wrong(n, join(at, "<<"), mistake{"expected a mapping or a list of mappings, got " + kindOf(m), "name an anchor of keys and values: <<: *name"})
			return 0, false
		}
		for i := 0; i+1 < len(m.Content); i += 2 {
			if k := m.Content[i]; !has[k.Value] {
				own, has[k.Value], size = append(own, k, m.Content[i+1]), true, size+1+max(a.state[m.Content[i+1]], 1)
			}
		}
	}
	n.Content = own
	return size, true
}

func mergeKey(k *yaml.Node) bool {
	return k.Kind == yaml.ScalarNode && k.Value == "<<" && k.ShortTag() == "!!merge"
}

func merges(n *yaml.Node) bool {
	for i := 0; i < len(n.Content); i += 2 {
		if mergeKey(n.Content[i]) {
			return true
		}
	}
	return false
}

// extension reports whether a key of the whole file is only a place for anchors.
func extension(at, key string) bool { return at == "" && strings.HasPrefix(key, "x-") }
