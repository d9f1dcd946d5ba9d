package main

import (
	"strings"
)

type checkCommand struct {
	configFlag
	jsonFlag
	File       string   `help:"Check a database file in place of a config." type:"path"`
	Repair     string   `help:"With --file: if something is damaged, write what can be read to this new file. The original is not changed." type:"path"`
	Answers    bool     `hidden:"" help:"With --file: print a line of JSON for each step (used by the program itself)."`
	Against    string   `help:"Check this config against a data directory or a backup: what it would refuse or orphan. Nothing is changed." type:"path"`
	Explain    bool     `help:"Print every key of the config, its default and its meaning."`
	Role       string   `help:"The role of the process, as with serve." enum:"all,ingest,relay" default:"all"`
	Passed     []string `help:"Sockets that a service manager passes at the start: callbacks, control." enum:"callbacks,control"`
	ConfigOnly bool     `help:"Check the file only: not this machine's ports and limits, and not the data directory."`
	Offline    bool     `help:"Do not connect to anything; without this, the Kafka brokers in the config are checked."`
}

// Run says what is wrong, or what a right config amounts to.
func (cmd *checkCommand) Run(c *console) error {
	if cmd.File != "" {
		return cmd.file(c)
	}
	if cmd.Explain {
		return cmd.explain(c)
	}
	cfg, problems := loadConfig(cmd.Config, c.env, knownNames())
	refused, orphans, err := cmd.against(c, cfg)
	if err != nil {
		return err
	}
	problems = append(problems, refused...)
	var seen rehearsal
	if cfg != nil && !cmd.ConfigOnly {
		seen = rehearse(c, cfg, cmd.Role, cmd.Passed)
		problems, orphans = merged(problems, seen.problems), merged(orphans, seen.doubts)
	}
	if c.ctx.Err() != nil { // what was found is not all
		return errInterrupted
	}
	if cmd.JSON {
		return cmd.report(c, cfg, problems, orphans, seen.notes)
	}
	for _, p := range problems {
		c.printf("%s\n", p)
	}
	if cfg == nil || len(problems) > 0 {
		return errNo
	}
	cmd.summary(c, cfg)
	for _, n := range seen.notes {
		c.printf("note: %s\n", n)
	}
	for _, p := range append(warnings(cfg), orphans...) {
		c.printf("warning: %s\n", p)
	}
	wrong := cmd.connect(c, cfg, c.printf)
	for _, p := range wrong {
		c.printf("%s\n", p)
	}
	if len(wrong) > 0 {
		return errNo
	}
	return nil
}

// report is the same for scripts.
func (cmd *checkCommand) report(c *console, cfg *Config, problems, orphans []problem, notes []string) error {
	type view struct {
		File   string `json:"file"`
		Line   int    `json:"line,omitempty"`
		Key    string `json:"key,omitempty"`
		What   string `json:"what"`
		Remedy string `json:"remedy,omitempty"`
	}
	views, doubts := []view{}, []view{}
	for _, p := range append(problems, cmd.connect(c, cfg, func(string, ...any) {})...) {
		views = append(views, view(p))
	}
	if cfg != nil {
		for _, p := range append(warnings(cfg), orphans...) {
			doubts = append(doubts, view(p))
		}
	}
	err := c.show(map[string]any{"ok": len(views) == 0, "problems": views, "warnings": doubts, "notes": append([]string{}, notes...)})
	if err == nil && len(views) > 0 {
		err = errNo
	}
	return err
}

// connect asks Kafka, where it is configured.
func (cmd *checkCommand) connect(c *console, cfg *Config, say func(string, ...any)) (wrong []problem) {
	if cfg == nil || cfg.Kafka == nil || cmd.Offline {
		return nil
	}
	for _, text := range kafkaProblems(c.ctx, cfg.Kafka, say) {
		wrong = append(wrong, problem{File: cfg.Path, Key: "kafka", What: text})
	}
	return wrong
}

func (cmd *checkCommand) explain(c *console) error {
	if cmd.JSON {
		return c.show(configReference())
	}
	for _, k := range configReference() {
		c.printf("%-38s %-24s %s\n", k.Key, k.Default, k.Meaning)
	}
	return nil
}

func (cmd *checkCommand) summary(c *console, cfg *Config) {
	c.printf("%s is in order: mode %s, %d source(s), %d partner(s)\n", cfg.Path, cfg.Mode, len(cfg.Sources), len(cfg.Partners))
	for _, s := range cfg.Sources {
		a, err := adapterOf(s)
		if err != nil {
			continue // the loader has refused it
		}
		proves := proved(a, sourceOptions(s))
		c.printf("  source %s (%s): %d key(s), evidence: %s; required: %s", s.Name, s.Provider, len(s.Keys), proves, s.Evidence)
		if !proves.AtLeast(s.Evidence) {
			c.printf(": approvals stay in_review until they are confirmed")
			if a.API != nil && s.API == nil {
				c.printf("; without api nothing confirms them")
			}
		}
		if len(s.Workflows) > 0 {
			c.printf(": only workflows %s approve", strings.Join(s.Workflows, ", "))
		}
		if s.Evidence != "signed" {
			c.printf(": weaker than the default (set explicitly)")
		}
		c.printf("\n")
	}
	for _, p := range cfg.receivers() {
		for _, e := range p.Endpoints {
			c.printf("  partner %s endpoint %s: %s, %d key(s), %s\n", p.ID, e.ID, e.Format, len(e.Keys), strings.Join(e.Events, " "))
		}
	}
}
