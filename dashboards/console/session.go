package console

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"
	"sync"
	"time"
)

// How long a session lasts, and how many there are.
const (
	sessionLife = 12 * time.Hour // from sign-in
	sessionIdle = time.Hour      // since the last page that somebody asked for; live pages do not count
	maxSessions = 512            // the oldest makes room for a new one
	maxOfOne    = 16             // of one token, so that one cannot push out everybody else
)

// session is somebody who is signed in. It lives in memory only.
type session struct {
	token string
	form  string // what each form of it carries
	made  time.Time
	key   [sha256.Size]byte // of the cookie

	mu     sync.Mutex // guards what follows
	used   time.Time
	notice string // said on the next page
}

// sessions are all of them, by the digest of their cookie. They are bounded.
type sessions struct {
	random io.Reader
	now    func() time.Time

	mu   sync.Mutex // guards what follows
	open map[[sha256.Size]byte]*session
	all  []*session // the oldest first
}

func newSessions(random io.Reader, now func() time.Time) *sessions {
	return &sessions{random: random, now: now, open: map[[sha256.Size]byte]*session{}}
}

// secret is 256 random bits as text.
func secret(random io.Reader) (string, error) {
	var b [32]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("make a secret: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}

// begin opens a session, and says what its cookie is.
func (ss *sessions) begin(token string) (cookie string, err error) {
	if cookie, err = secret(ss.random); err != nil {
		return "", err
	}
	form, err := secret(ss.random)
	if err != nil {
		return "", err
	}
	now := ss.now()
	s := &session{token: token, form: form, made: now, used: now, key: sha256.Sum256([]byte(cookie))}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.sweep(now)
	ss.crowd(token)
	ss.open[s.key], ss.all = s, append(ss.all, s)
	return cookie, nil
}

// sweep forgets those that have ended, for whoever holds mu.
func (ss *sessions) sweep(now time.Time) {
	kept := ss.all[:0]
	for _, s := range ss.all {
		if _, in := ss.open[s.key]; in && !s.over(now) {
			kept = append(kept, s)
			continue
		}
		delete(ss.open, s.key)
	}
	clear(ss.all[len(kept):])
	ss.all = kept
}

// crowd makes room for one more of a token, for whoever holds mu.
func (ss *sessions) crowd(token string) {
	same, oldest := 0, -1
	for i, s := range ss.all {
		if s.token != token {
			continue
		}
		if same++; oldest < 0 {
			oldest = i
		}
	}
	switch {
	case same >= maxOfOne:
	case len(ss.all) >= maxSessions:
		oldest = 0
	default:
		return
	}
	delete(ss.open, ss.all[oldest].key)
	ss.all = append(ss.all[:oldest], ss.all[oldest+1:]...)
}

// of finds a session by its cookie; nil: there is none, or it has ended. seen: somebody asked for a
// page, so it is not idle.
func (ss *sessions) of(cookie string, seen bool) *session {
	if cookie == "" {
		return nil
	}
	now := ss.now()
	ss.mu.Lock()
	s := ss.open[sha256.Sum256([]byte(cookie))]
	ss.mu.Unlock()
	if s == nil || s.over(now) {
		return nil
	}
	if seen {
		s.mu.Lock()
		s.used = now
		s.mu.Unlock()
	}
	return s
}

// end closes one.
func (ss *sessions) end(s *session) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	delete(ss.open, s.key)
	ss.sweep(ss.now())
}

// over reports whether a session has had its time.
func (s *session) over(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Sub(s.made) >= sessionLife || now.Sub(s.used) >= sessionIdle
}

// formed reports whether a form came from a page of this session.
func (s *session) formed(text string) bool {
	return subtle.ConstantTimeCompare([]byte(text), []byte(s.form)) == 1
}

// say keeps what the next page says; take is that page's.
func (s *session) say(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notice = text
}

func (s *session) take() (text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, s.notice = s.notice, ""
	return text
}
