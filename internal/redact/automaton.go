package redact

import "slices"

// automaton finds forms in text. It is a trie with failure links: the node that a text leads to stands for the
// longest end of the text that begins a form. A node's children are a linked list, 24 bytes a node; the first two
// bytes of forms, where text spends most of its time, have tables of their own. Nothing in it changes once it is built.
type automaton struct {
	nodes []node
	first [256]int32           // child of the root by byte
	pairs [1 << 16 / 64]uint64 // bit set of the two bytes that forms begin with
}

type node struct {
	child, next int32 // first child, next sibling; 0 is none
	parent      int32
	fail        int32 // node of the longest proper end that begins a form; 0 is the root
	out         int32 // length of the longest form that ends here, 0 for none
	label       byte
}

// newAutomaton builds the automaton of all forms of the values, and of rests as they are.
func newAutomaton(values map[string]bool, rests []string) *automaton {
	a := &automaton{nodes: make([]node, 1)}
	for _, rest := range rests {
		a.insert(rest)
	}
	for v := range values {
		for _, form := range forms(v) {
			a.insert(form)
		}
	}
	a.nodes = slices.Clip(a.nodes)
	a.link()
	return a
}

func (a *automaton) insert(form string) {
	at := int32(0)
	for i := range len(form) {
		next := a.child(at, form[i])
		if next == 0 {
			next = int32(len(a.nodes))
			a.nodes = append(a.nodes, node{parent: at, next: a.nodes[at].child, label: form[i]})
			a.nodes[at].child = next
			if at == 0 {
				a.first[form[i]] = next
			}
		}
		at = next
	}
	a.nodes[at].out = int32(len(form))
	pair := uint16(form[0])<<8 | uint16(form[1])
	a.pairs[pair/64] |= 1 << (pair % 64)
}

// link sets the failure links, in order of depth because each builds on shorter ones.
func (a *automaton) link() {
	queue := make([]int32, 1, len(a.nodes))
	for i := 0; i < len(queue); i++ {
		at := queue[i]
		for c := a.nodes[at].child; c != 0; c = a.nodes[c].next {
			n := &a.nodes[c]
			if at != 0 {
				n.fail = a.step(a.nodes[at].fail, n.label)
			}
			n.out = max(n.out, a.nodes[n.fail].out)
			queue = append(queue, c)
		}
	}
}

// child returns the child of a node by byte, 0 for none.
func (a *automaton) child(at int32, b byte) int32 {
	if at == 0 {
		return a.first[b]
	}
	c := a.nodes[at].child
	for c != 0 && a.nodes[c].label != b {
		c = a.nodes[c].next
	}
	return c
}

// step returns the node after one more byte.
func (a *automaton) step(at int32, b byte) int32 {
	for {
		if c := a.child(at, b); c != 0 || at == 0 {
			return c
		}
		at = a.nodes[at].fail
	}
}

// scan goes over text from a node on and returns the node that it leads to. It calls match with the end of each match
// in text, and its length, which may reach back before text; of matches with one end the longest only.
func (a *automaton) scan(at int32, text []byte, match func(end, length int)) int32 {
	for i := 0; i < len(text); i++ {
		if at == 0 {
			i += a.skip(text[i:])
		}
		at = a.step(at, text[i])
		if n := a.nodes[at].out; n != 0 {
			match(i+1, int(n))
		}
	}
	return at
}

// skip returns how many bytes at the begin of text begin no form.
func (a *automaton) skip(text []byte) int {
	for i := 0; i+1 < len(text); i++ {
		pair := uint16(text[i])<<8 | uint16(text[i+1])
		if a.pairs[pair/64]&(1<<(pair%64)) != 0 {
			return i
		}
	}
	return max(0, len(text)-1) // of the last byte step decides
}

// prefix returns the bytes that lead from the root to a node.
func (a *automaton) prefix(at int32) []byte {
	var p []byte
	for ; at != 0; at = a.nodes[at].parent {
		p = append(p, a.nodes[at].label)
	}
	slices.Reverse(p)
	return p
}

// unfinished returns how many bytes at the end of a text that leads to the node are the begin of a form that is longer.
func (a *automaton) unfinished(at int32) int {
	for at != 0 && a.nodes[at].child == 0 {
		at = a.nodes[at].fail
	}
	n := 0
	for ; at != 0; at = a.nodes[at].parent {
		n++
	}
	return n
}
