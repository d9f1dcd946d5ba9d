package main

import (
	"io"
	"log/slog"
	"slices"
	"testing"

	dto "github.com/prometheus/client_model/go"

	web "countersign/dashboards/console"
	"countersign/kyc"
)

// TestOffersLookOnce: what check says of thousands of partners takes one look at each source.
func TestOffersLookOnce(t *testing.T) {
	sources := make([]SourceConfig, 3000)
	for i := range sources {
		sources[i] = SourceConfig{Provider: "veriff", Partner: string(rune('a' + i%20))}
	}
	sources[7] = SourceConfig{Provider: "checkr", PartnerFrom: "submission"}
	looks := 0
	given := offers(sources, func(s *SourceConfig) ([]kyc.Check, bool) {
		looks++
		return gives(s)
	})
	for range 100 {
		for _, p := range []string{"a", "b", "nobody"} {
			o := given(p)
			o.missing([]kyc.Check{kyc.IdentityVerification}, nil)
		}
	}
	if looks != len(sources) {
		t.Errorf("%d looks at %d sources", looks, len(sources))
	}
	for partner, want := range map[string]int{"a": 151, "nobody": 1} {
		if o := given(partner); o.sources != want {
			t.Errorf("%s has %d sources, want %d", partner, o.sources, want)
		}
	}
}

// TestConsoleReads: the console is given every metric that it shows, and of callbacks the sums: none
// of its readings grows with the sources.
func TestConsoleReads(t *testing.T) {
	read := func(n int) (series int) {
		t.Helper()
		path, _ := bigConfig(t, n)
		cfg, problems := loadConfig(path, bigEnv, knownNames())
		if len(problems) > 0 {
			t.Fatal(problems[0])
		}
		cfg.Listen.Callbacks, cfg.Listen.Control = freeAddr(t), freeAddr(t)
		g, err := newGateway(cfg, roleAll, slog.New(slog.DiscardHandler), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		defer g.close()
		all, err := g.reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		shown, err := g.shown.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range all {
			i := slices.IndexFunc(shown, func(s *dto.MetricFamily) bool { return s.GetName() == f.GetName() })
			if i < 0 && slices.Contains(web.Families(), f.GetName()) {
				t.Errorf("%s is not given to the console", f.GetName())
			}
			if i >= 0 && n > 100 && len(shown[i].GetMetric()) >= n {
				t.Errorf("of %s the console is given %d series, with %d sources", f.GetName(), len(shown[i].GetMetric()), n)
			}
			if f.GetName() == "countersign_ingest_callbacks_total" {
				series = len(shown[i].GetMetric())
				if n == 10 && len(f.GetMetric()) != 11*series {
					t.Errorf("%d series for 10 sources and none, %d sums", len(f.GetMetric()), series)
				}
			}
		}
		return series
	}
	few := read(10)
	many := read(1000)
	if few != many || few == 0 {
		t.Errorf("%d series of callbacks for 10 sources, %d for 1000", few, many)
	}
}
