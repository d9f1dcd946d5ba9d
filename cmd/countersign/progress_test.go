package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestWorking: long work is shown to whoever watches, from the first second on, and leaves no trace
// when it ends; nothing is written where nobody watches.
func TestWorking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bar, none notebook
		c := &console{bar: &bar, watched: true}
		w := c.working("back up to \x1b[2J")
		synctest.Wait()
		if bar.String() != "" {
			t.Errorf("what is quick is shown: %q", bar.String())
		}
		time.Sleep(2500 * time.Millisecond)
		synctest.Wait()
		w.percent(1, 4)
		time.Sleep(time.Second)
		synctest.Wait()
		w.end()
		w.end()
		lines := strings.Split(bar.String(), "\r")
		if len(lines) != 6 || lines[1] != `back up to \u001b[2J: 1 s` || lines[3] != `back up to \u001b[2J: 3 s, 25 %` || strings.TrimSpace(lines[4]) != "" || len(lines[4]) != len(lines[3]) || lines[5] != "" {
			t.Errorf("%q", lines)
		}
		c.watched, c.bar = false, &none
		quiet := c.working("back up")
		time.Sleep(5 * time.Second)
		quiet.tell("half")
		quiet.end()
		if none.String() != "" {
			t.Errorf("nobody watches: %q", none.String())
		}
	})
}
