package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// goodSets are set-ups that serve takes.
var goodSets = map[string]func(s *site){
	"a first start":           func(*site) {},
	"a second start":          func(s *site) { s.used() },
	"below what is not there": func(s *site) { s.change("/data\n", "/a/b/data\n") },
	"not as root":             func(s *site) { s.asUser() },
	"a key that is made":      func(s *site) { s.change(", keys: [file:acme.key]", "") },
	"a key that was made":     func(s *site) { s.change(", keys: [file:acme.key]", ""); s.used() },
	"a partner of another name": func(s *site) {
		s.used()
		s.change("id: acme\n", "id: acme2\n    renamed_from: acme\n")
		s.change("partner: acme", "partner: acme2")
	},
	"an endpoint of another name": func(s *site) { s.used(); s.change("id: acme-main", "id: acme-2, renamed_from: acme-main") },
	"taking alone":                func(s *site) { s.args = []string{"--role", "ingest"} },
	"a socket that is passed": func(s *site) {
		s.take(s.setting("callbacks"))
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			s.t.Fatal(err)
		}
		if s.socket, err = ln.(*net.TCPListener).File(); err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { s.socket.Close(); ln.Close() })
		s.shell = `if [ "$1" = serve ]; then export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=callbacks; else set -- "$@" --passed callbacks; fi;`
	},
	"telling alone, without a port": func(s *site) { s.take(s.setting("callbacks")); s.args = []string{"--role", "relay"} },
	"Kafka that does not answer":    func(s *site) { s.add(`kafka: {brokers: ["127.0.0.1:1"], ack: kafka}`) },
	"a listener for metrics":        func(s *site) { s.change("listen: {", "listen: {metrics: \""+freeAddr(s.t)+"\", ") },
	"TLS":                           func(s *site) { s.pair("a"); s.add("tls: {cert: file:a.pem, key: file:a.key, client_ca: file:a.pem}") },
	"after a kill": func(s *site) {
		s.used()
		s.write("data/countersign.unclean", "1\n")
	},
	"one damaged record": func(s *site) {
		s.used()
		s.damage()
	},
}

// damage cuts a record of the file short.
func (s *site) damage() {
	db, err := bolt.Open(s.path("data/countersign.db"), 0o600, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("registry"))
		k, v := b.Cursor().First()
		v = bytes.Clone(v)
		if len(v) < 8 {
			return errors.New("nothing is kept of the registry")
		}
		rand.Read(v[4:8])
		return b.Put(bytes.Clone(k), v)
	})
	if err != nil || db.Close() != nil {
		s.t.Fatal(err)
	}
}

// TestCheckTakesWhatServeTakes: a set-up that is right is right for both, before a start and after
// it.
func TestCheckTakesWhatServeTakes(t *testing.T) {
	for name, prepare := range goodSets {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			prepare(s)
			for range 2 {
				code, out := s.check()
				if refused, log := s.serve(); refused {
					t.Fatalf("serve refuses it: %s\ncheck: exit %d: %s", log, code, out)
				}
				if code != exitYes {
					t.Errorf("serve takes it, and check says exit %d:\n%s", code, out)
				}
			}
		})
	}
}

// TestCheckBesideTheGateway: check of a gateway's config while it runs is a yes, with the remark
// that it runs, and the gateway goes on.
func TestCheckBesideTheGateway(t *testing.T) {
	s := newSite(t)
	t.Cleanup(s.run())
	for range 3 {
		code, out := s.check()
		if code != exitYes || !strings.Contains(out, "note: a gateway is running with this data directory") {
			t.Fatalf("exit %d: %s", code, out)
		}
	}
	code, out, errs := cli(t, nil, "endpoints", "--config", s.config)
	if code != exitYes {
		t.Errorf("the gateway does not go on: %s%s", out, errs)
	}
	s.change("provider: sumsub", "provider: sumsup")
	if code, out := s.check(); code != exitNo || !strings.Contains(out, "unknown provider") {
		t.Errorf("a mistake beside a gateway that runs: exit %d: %s", code, out)
	}
}

// TestCheckTellsNobody: check starts nothing of what it goes through. Neither a partner that is
// owed something, nor a broker, hears of it.
func TestCheckTellsNobody(t *testing.T) {
	var heard atomic.Int64
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() { // a partner, and a broker, that hang up
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			heard.Add(1)
			c.Close()
		}
	}()
	s := newSite(t)
	s.change("http://127.0.0.1:9/", "http://"+ln.Addr().String()+"/")
	stop := s.run()
	if code, out, errs := cli(t, nil, "trigger", "--config", s.config, "sumsub-eu", "approved"); code != exitYes {
		t.Fatal(out, errs)
	}
	eventually(t, "a delivery has failed", func() bool { return heard.Load() > 0 })
	stop()
	s.add(`kafka: {brokers: ["` + ln.Addr().String() + `"], ack: kafka}`)
	before := heard.Load()
	for range 5 {
		if code, out := s.check(); code != exitYes {
			t.Errorf("exit %d: %s", code, out)
		}
	}
	if n := heard.Load() - before; n > 0 {
		t.Errorf("check was heard of %d times", n)
	}
}
