package main

import "go.yaml.in/yaml/v3"

// place reads of the whole file only where the gateway listens for orders and keeps its data.
func (l *loader) place(root *yaml.Node) {
	c := l.cfg
	l.pairs(root, "", func(key string, _, v *yaml.Node) {
		switch {
		case key == "data" && l.plain(v, key):
			value(l, &c.Data, tagText, parseText)(v, key)
		case key == "listen":
			l.pairs(v, key, func(key string, _, v *yaml.Node) {
				if at := join("listen", key); key == "control" && l.plain(v, at) {
					value(l, &c.Listen.Control, tagText, parseHostPort)(v, at)
				}
			})
		}
	})
	l.override("COUNTERSIGN_DATA", value(l, &c.Data, tagText, parseText))
	l.override("COUNTERSIGN_LISTEN_CONTROL", value(l, &c.Listen.Control, tagText, parseHostPort))
}
