package review

import (
	"slices"
	"strings"

	"github.com/airlock-run/airlock/packages/internal/powershell/syntax"
)

// checkRoles notes which privileges a role is given.
func (c *code) checkRoles() {
	for _, s := range c.scopes {
		s.each(func(n *syntax.Node) {
			switch n.Kind {
			case syntax.Command:
				a := c.arguments(n)
				switch c.command(n) {
				case "new-virole":
					c.noteRole(s, n, a.get(1, "privilege"), a)
				case "set-virole":
					if v := a.get(-1, "addprivilege"); v != nil {
						c.noteRole(s, n, v, a)
					}
				}
			case syntax.Invoke:
				name, _ := field(n.Kids[0])
				if (name == "addauthorizationrole" || name == "updateauthorizationrole") && len(n.Kids) > 2 {
					c.noteRole(s, n, n.Kids[len(n.Kids)-1], arguments{})
				}
			}
		})
	}
}

func (c *code) noteRole(s *scope, n, privileges *syntax.Node, a arguments) {
	for _, splat := range a.splats {
		for _, v := range c.assignments(s, strings.ToLower(splat.Text)) {
			if h := hashOf(v); h != nil && privileges == nil {
				privileges = h
			}
		}
	}
	var texts []string
	c.texts(s, privileges, map[string]bool{}, &texts)
	if len(texts) == 0 {
		c.find(rolePrivileges, s, n, "A role gets privileges that are computed: look at where they come from.")
		return
	}
	slices.Sort(texts)
	c.find(rolePrivileges, s, n, "A role gets the privileges %s: look whether it needs them.", strings.Join(slices.Compact(texts), ", "))
}

// texts collects the constant strings of which a value is made, through variables.
func (c *code) texts(s *scope, n *syntax.Node, seen map[string]bool, texts *[]string) {
	if n == nil {
		return
	}
	switch n.Kind {
	case syntax.String:
		text, _ := n.Constant()
		*texts = append(*texts, text)
	case syntax.Var:
		name, _ := variableName(n)
		if seen[name] {
			return
		}
		seen[name] = true
		for _, v := range c.assignments(s, name) {
			c.texts(s, v, seen, texts)
		}
		for _, p := range s.params {
			if strings.EqualFold(p.Name, name) {
				c.texts(s, p.Default, seen, texts)
			}
		}
	case syntax.Command:
		for _, k := range n.Kids[min(1, len(n.Kids)):] { // without its name
			c.texts(s, k, seen, texts)
		}
	case syntax.Hash:
		for i := 1; i < len(n.Kids); i += 2 {
			c.texts(s, n.Kids[i], seen, texts)
		}
	default:
		for _, k := range n.Kids {
			c.texts(s, k, seen, texts)
		}
	}
}
