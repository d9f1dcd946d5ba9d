package main

import "go.yaml.in/yaml/v3"

func (l *loader) token(n *yaml.Node, at string) {
	var t TokenConfig
	ok := l.object(
		n, at,
		field{"name", true, l.named(&t.Name, "token")},
		field{"sha256", true, value(l, &t.SHA256, tagAny, parseDigest)}, // digits alone are a number to YAML
		field{"scope", true, value(l, &t.Scope, tagText, oneOf("admin", "operator", "viewer", "partner"))},
		field{"partner", false, l.declaredPartner(&t.Partner)},
	)
	if !ok {
		return
	}
	switch has := has(n, "partner"); {
	case t.Scope == "partner" && !has:
		l.wrong(n, join(at, "partner"), mistake{"is missing", "scope partner needs the id of the partner"})
	case t.Scope != "partner" && t.Scope != "" && has:
		l.wrong(n, join(at, "partner"), mistake{"goes with scope partner only", "remove it, or set scope: partner"})
	}
	l.cfg.Tokens = append(l.cfg.Tokens, t)
}
