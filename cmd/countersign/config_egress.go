package main

import (
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"countersign/relay/send"
)

// egress reads what deliveries may reach, and through whom.
func (l *loader) egress(n *yaml.Node, at string) {
	var proxy string
	var auth Secret
	l.object(
		n, at,
		field{"allow", false, l.prefixes(true, &l.cfg.EgressAllow)},
		field{"proxy", false, value(l, &proxy, tagText, func(s string) (string, *mistake) {
			_, err := send.NewProxy(s, "")
			return s, ofURL(err)
		})},
		field{"proxy_auth", false, value(l, &auth, tagText, l.parseProxyAuth)},
	)
	if has(n, "proxy_auth") && !has(n, "proxy") {
		l.wrong(n, join(at, "proxy_auth"), mistake{"is of no use without proxy", "add proxy, or remove it"})
	}
	if proxy == "" {
		return
	}
	var err error
	if l.cfg.EgressProxy, err = send.NewProxy(proxy, auth.Reveal()); err != nil {
		l.wrong(n, join(at, "proxy"), *ofURL(err))
	}
}

// ofURL is what package send finds wrong with a URL, as a mistake in a config.
func ofURL(err error) *mistake {
	if err == nil {
		return nil
	}
	if ue, ok := errors.AsType[*send.URLError](err); ok {
		return &mistake{ue.Problem, ue.Remedy}
	}
	return &mistake{"cannot be used", "write it like https://hooks.example.com/kyc"}
}

// parseProxyAuth wants user:password.
func (l *loader) parseProxyAuth(ref string) (Secret, *mistake) {
	s, m := l.parseSecret(ref)
	if m == nil && (strings.IndexByte(s.Reveal(), ':') < 1 || hasControl(s.Reveal())) {
		return Secret{}, &mistake{"the secret is not user:password in one line", "write it as the proxy wants it, with a colon between the two"}
	}
	return s, m
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// endpointTLS reads the files for the connections to one endpoint, and tries them.
func (l *loader) endpointTLS(e *EndpointConfig) setter {
	return func(n *yaml.Node, at string) {
		f := &e.TLS
		before := len(l.problems)
		l.object(
			n, at,
			field{"ca", false, value(l, &f.CA, tagText, l.parseFileRef)},
			field{"cert", false, value(l, &f.Cert, tagText, l.parseFileRef)},
			field{"key", false, value(l, &f.Key, tagText, l.parseFileRef)},
		)
		if len(l.problems) > before {
			return
		}
		if f.Key != "" {
			l.holdsSecret(f.Key)
		}
		if strings.HasPrefix(strings.ToLower(e.URL), "http:") {
			l.wrong(n, at, mistake{"is of no use: the endpoint's url is plain http", "use https, or remove it"})
			return
		}
		if te, ok := errors.AsType[*send.TLSError](f.Check()); ok {
			l.wrong(n, join(at, te.Key), mistake{te.Problem, te.Remedy})
		}
	}
}

// headers reads what every request to an endpoint carries beside the format's headers. A value is
// the text itself, or a reference to a secret.
func (l *loader) headers(dst *[]send.Header) setter {
	return func(n *yaml.Node, at string) {
		size := 0
		l.pairs(n, at, func(name string, k, v *yaml.Node) {
			at := join(at, show(name))
			var text string
			before := len(l.problems)
			if l.plain(v, at) {
				value(l, &text, tagAny, l.parseHeaderValue)(v, at)
			}
			canonical := http.CanonicalHeaderKey(name)
			twice := slices.ContainsFunc(*dst, func(h send.Header) bool { return h.Name == canonical })
			he, wrong := errors.AsType[*send.HeaderError](send.CheckHeader(name, text))
			switch {
			case len(l.problems) > before:
				return
			case wrong:
				l.wrong(k, at, mistake{he.Problem, he.Remedy})
				return
			case l.known.Signing[canonical]:
				l.wrong(k, at, mistake{"is a header of the signature, of this format or of another", "remove it"})
				return
			case twice:
				l.wrong(k, at, mistake{"is duplicated (only the case differs)", "keep one of them"})
				return
			}
			h := send.NewHeader(canonical, text)
			size += h.Size()
			*dst = append(*dst, h)
		})
		if len(*dst) > send.MaxHeaders || size > send.MaxHeaderBytes {
			l.wrong(n, at, mistake{"are too many, or too long together", "keep at most " + strconv.Itoa(send.MaxHeaders) + ", of 16 KiB together"})
		}
	}
}

func (l *loader) parseHeaderValue(s string) (string, *mistake) {
	if strings.HasPrefix(s, "env:") || strings.HasPrefix(s, "file:") {
		return l.readSecret(s)
	}
	return s, nil
}

// auth reads what a server in front of an endpoint wants, as the header Authorization.
func (l *loader) auth(dst *[]send.Header) setter {
	return func(n *yaml.Node, at string) {
		var user string
		var password, bearer Secret
		before := len(l.problems)
		l.object(
			n, at,
			field{"basic", false, func(n *yaml.Node, at string) {
				l.object(
					n, at,
					field{"user", true, value(l, &user, tagText, parseUser)},
					field{"password", true, value(l, &password, tagText, l.parsePassword)},
				)
			}},
			field{"bearer", false, value(l, &bearer, tagText, l.parseBearer)},
		)
		switch {
		case has(n, "basic") == has(n, "bearer"):
			l.wrong(n, at, mistake{"expected exactly one of basic and bearer", "write basic: {user: …, password: env:NAME}, or bearer: env:NAME"})
		case slices.ContainsFunc(*dst, func(h send.Header) bool { return h.Name == authorization }):
			l.wrong(n, at, mistake{"cannot be used with the header Authorization", "keep one of them"})
		}
		if len(l.problems) > before {
			return
		}
		text := "Bearer " + bearer.Reveal()
		if user != "" {
			text = "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password.Reveal()))
		}
		*dst = append(*dst, send.NewHeader(authorization, text))
	}
}

const authorization = "Authorization"

func parseUser(s string) (string, *mistake) {
	if s == "" || len(s) > 256 || strings.Contains(s, ":") || hasControl(s) {
		return "", &mistake{"is no user name", "use 1 to 256 characters, no colon and no control characters"}
	}
	return s, nil
}

func (l *loader) parsePassword(ref string) (Secret, *mistake) {
	s, m := l.parseSecret(ref)
	if m == nil && (len(s.Reveal()) > 2048 || hasControl(s.Reveal())) {
		return Secret{}, &mistake{"the password is over 2 KiB, or holds control characters", "use one in one line"}
	}
	return s, m
}

// parseBearer wants a token that fits into a header as it is.
func (l *loader) parseBearer(ref string) (Secret, *mistake) {
	s, m := l.parseSecret(ref)
	if m == nil && (send.CheckHeader(authorization, "Bearer "+s.Reveal()) != nil || strings.Contains(s.Reveal(), " ")) {
		return Secret{}, &mistake{"the token holds blanks or control characters, or is over 4 KiB", "use the token alone, in one line"}
	}
	return s, m
}
