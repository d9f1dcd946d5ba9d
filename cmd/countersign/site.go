package main

import (
	"net/http"

	web "countersign/dashboards/console"
)

// openConsole makes the console, which asks the API in this process. Without one there is the API
// all the same.
func (g *gateway) openConsole(calls http.Handler) http.Handler {
	c, err := web.New(web.Options{API: calls, Gatherer: g.shown, Logger: g.log})
	if err != nil {
		g.log.Error("console_not_made", "error", err)
		return nil
	}
	g.pages = c
	return c
}
