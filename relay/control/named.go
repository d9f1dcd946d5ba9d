package control

import (
	"net/http"
	"regexp"
	"strings"

	"countersign/outbox"
	"countersign/relay"
)

// What of a call's path is shown in the audit trail and in the log. The pattern always is; of what
// stands in place of its wildcards, only what is known not to name a person: ids of partners,
// endpoints and keys that there are, names of tokens, and ids that this program makes itself. All
// else is a digest, such as the id of a subject, or of a delivery that was damaged, which holds one.

// Ids that this program makes.
var (
	ownItem    = regexp.MustCompile(`^(unrouted_[0-9a-f]{1,8}_[0-9a-f]{16}|unrouted_[0-9a-f]{16}|[0-9A-HJKMNP-TV-Z]{26})$`)
	ownReplay  = regexp.MustCompile(`^rpl_[0-9A-HJKMNP-TV-Z]{26}$`)
	ownKey     = regexp.MustCompile(`^key_[0-9a-f]{16}$`)
	ownWebhook = regexp.MustCompile(`^(evt_[0-9A-HJKMNP-TV-Z]{1,26}|ntc_[0-9]{8}T[0-9]{6}_[0-9]{8,20})$`)
)

// named is a call's path as it is shown, and notes whom it is about.
func (s *Server) named(req *http.Request, r Route, t Token, c *calling) string {
	_, pattern, _ := strings.Cut(r.Pattern, " ")
	segments := strings.Split(pattern, "/")
	for i, segment := range segments {
		name, ok := strings.CutPrefix(segment, "{")
		if !ok || i == 0 {
			continue
		}
		value, of := req.PathValue(strings.TrimSuffix(name, "}")), segments[i-1]
		if name == "partner}" {
			of = "partners"
		}
		switch {
		case segments[1] == "v1" && segments[2] == "subjects" && name == "id}":
			segments[i] = s.person(c, req.PathValue("partner"), value)
		case of == "users":
			partner := t.Partner
			if t.Scope != Partner {
				partner = req.URL.Query().Get("partner")
			}
			segments[i] = s.person(c, partner, value)
		case s.shows(of, value):
			if segments[i] = bounded(value); of == "endpoints" {
				c.entry.Endpoints = append(c.entry.Endpoints, s.o.Registry.Read().Current(value))
			}
		default:
			c.raw = append(c.raw, value)
			segments[i] = s.o.Registry.Digest(strings.TrimSuffix(of, "s"), value)
		}
	}
	return strings.Join(segments, "/")
}

// person notes a person who stands in the path, and is what stands there in their place.
func (s *Server) person(c *calling, partner, id string) string {
	digest := s.o.Registry.PersonDigest(partner, id)
	c.raw = append(c.raw, id)
	c.entry.Persons = append(c.entry.Persons, digest)
	return digest
}

// shows reports whether a value in a path, behind the segment given, may be shown as it is.
func (s *Server) shows(of, value string) bool {
	switch of {
	case "tokens":
		return tokenName.MatchString(value)
	case "quarantine":
		return ownItem.MatchString(value)
	case "deliveries", "withheld":
		webhook, endpoint, ok := outbox.SplitID(value)
		return ok && ownWebhook.MatchString(webhook) && s.shows("endpoints", endpoint)
	case "partners", "policies":
		return s.o.Registry != nil && s.o.Registry.Read().Partner(value) != nil
	case "endpoints":
		if s.o.Registry == nil {
			return false
		}
		now := s.o.Registry.Read()
		return now.Endpoint(value) != nil || now.Current(value) != value || now.Owner(value) != ""
	case "sources":
		return s.settings.Load().Sources[value]
	case "replays":
		return ownReplay.MatchString(value)
	case "keys":
		return ownKey.MatchString(value)
	}
	return false
}

// concernsDelivery notes whom a delivery tells of, as far as it is dead: of others nothing is known
// by their id.
func (s *Server) concernsDelivery(req *http.Request, id string) {
	if s.o.Outbox == nil || s.o.Relay == nil {
		return
	}
	if lane, ok := s.o.Relay.Whose(id); ok {
		s.concernsLane(req, lane)
	}
}

// concernsLane notes whose a lane is.
func (s *Server) concernsLane(req *http.Request, lane string) {
	partner, id, _ := relay.SubjectOf(lane)
	s.concerns(req, partner, id)
}
