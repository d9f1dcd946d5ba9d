package control

import "time"

// Settings are what of a Server can change while it serves; see Options for what each means.
type Settings struct {
	Tokens         []Token
	Sources        map[string]bool
	SourcePartners map[string]string
	AuditKeep      time.Duration
}

func (o *Options) settings() *Settings {
	return &Settings{Tokens: o.Tokens, Sources: o.Sources, SourcePartners: o.SourcePartners, AuditKeep: o.AuditKeep}
}

// Configure makes these count from the next call on. Tokens that were made at run time stay; one
// that has gone from the config is refused from now on.
func (s *Server) Configure(to Settings) {
	if err := s.tokens.fix(to.Tokens); err != nil {
		s.o.Logger.Warn("token_use_unreadable", "error", err)
	}
	s.settings.Store(&to)
}
