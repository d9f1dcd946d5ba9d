package main

import (
	"net/netip"
	"testing"
	"time"

	"countersign/relay/registry"
)

// try runs a parser and says "" when the value is refused.
func try[T any](parse func(string) (T, *mistake), s string) (v T, refused string) {
	v, m := parse(s)
	if m != nil {
		return v, m.remedy
	}
	return v, ""
}

func TestDurations(t *testing.T) {
	f := func(s string, want time.Duration, wantOK bool) {
		t.Helper()
		got, refused := try(duration(time.Millisecond, 100*year), s)
		if got != want || (refused == "") != wantOK {
			t.Errorf("duration(%q) = %v, %q; want %v, %v", s, got, refused, want, wantOK)
		}
	}
	f("15s", 15*time.Second, true)
	f("1h30m", 90*time.Minute, true)
	f("90d", 90*24*time.Hour, true)
	f("5y", 5*365*24*time.Hour, true)
	f("100y", 100*365*24*time.Hour, true)
	f("101y", 0, false)
	f("9999y", 0, false)
	f("1us", 0, false)
	f("-5s", 0, false)
	f("15", 0, false)
	f("15 s", 0, false)
	f("1.5d", 0, false)
	f("1w", 0, false)
	f("", 0, false)
}

func TestDurationsAreShownAsTheyAreWritten(t *testing.T) {
	f := func(s string) {
		t.Helper()
		if d, err := registry.ParseDuration(s); err != nil || registry.FormatDuration(d) != s {
			t.Errorf("%q shows as %q, %v", s, registry.FormatDuration(d), err)
		}
	}
	f("100ms")
	f("10s")
	f("2m")
	f("20m")
	f("1m30s")
	f("1h")
	f("10h")
	f("1h30m")
	f("7d")
	f("100y")
}

func TestSizes(t *testing.T) {
	f := func(s string, want int64, wantRefused string) {
		t.Helper()
		if got, refused := try(size(1024, 1<<50), s); got != want || refused != wantRefused {
			t.Errorf("size(%q) = %d, %q; want %d, %q", s, got, refused, want, wantRefused)
		}
	}
	const form, bounds = "write it like 512KiB, 1MiB or 64GiB", "choose a size within these bounds"
	f("2048", 2048, "")
	f("2048B", 2048, "")
	f("1KiB", 1024, "")
	f("64GiB", 64<<30, "")
	f("1023", 0, bounds)
	f("0KiB", 0, bounds)
	f("1025TiB", 0, bounds)
	f("999999999999TiB", 0, bounds)
	f("1MB", 0, form)
	f("1 MiB", 0, form)
	f("1.5MiB", 0, form)
	f("-1MiB", 0, form)
	f("", 0, form)
}

func TestEvents(t *testing.T) {
	f := func(s string, want bool) {
		t.Helper()
		if _, refused := try(parseEvent, s); (refused == "") != want {
			t.Errorf("parseEvent(%q): %q", s, refused)
		}
	}
	f("kyc.*", true)
	f("kyc.status.*", true)
	f("kyc.check.failed", true)
	f("kyc.status.approved", true)
	f("kyc.status.approved.*", false)
	f("kyc.stat*", false)
	f("kyc.status.", false)
	f(".*", false)
	f("*", true)
	f("kyc*", false)
	f("kyc", false)
	f("", false)
}

func TestFilters(t *testing.T) {
	f := func(s string, want bool) {
		t.Helper()
		if _, m := parseFilter(s); (m == nil) != want || m != nil && (m.what == "" || m.remedy == "") {
			t.Errorf("parseFilter(%q): %v", s, m)
		}
	}
	f(`change.status == "rejected" || change.check.source startsWith "sumsub"`, true)
	f("change.status", false)
	f("any(1..9, true)", false)
}

func TestPrefixes(t *testing.T) {
	f := func(s, wantRefused string) {
		t.Helper()
		p, refused := try(parsePrefix, s)
		if refused != wantRefused || refused == "" && p != netip.MustParsePrefix(s) {
			t.Errorf("parsePrefix(%q) = %v, %q; want %q", s, p, refused, wantRefused)
		}
	}
	f("10.0.0.0/8", "")
	f("2001:db8::/32", "")
	f("10.1.2.3/32", "")
	f("10.1.2.3", "write 10.1.2.3/32")
	f("::1", "write ::1/128")
	f("10.1.2.3/8", "write 10.0.0.0/8, or make the prefix longer")
	f("0.0.0.0/0", "name the networks you mean")
	f("::/0", "name the networks you mean")
	f("10.0.0.0/33", "write it like 10.0.0.0/8 or 2001:db8::/32")
	f("localhost", "write it like 10.0.0.0/8 or 2001:db8::/32")
}

func TestHostPorts(t *testing.T) {
	f := func(s string, want bool) {
		t.Helper()
		if _, refused := try(parseHostPort, s); (refused == "") != want {
			t.Errorf("parseHostPort(%q): %q", s, refused)
		}
	}
	f("127.0.0.1:8480", true)
	f(":0", true)
	f("[::1]:8480", true)
	f("localhost:8480", true)
	f("127.0.0.1", false)
	f("127.0.0.1:", false)
	f("127.0.0.1:http", false)
	f("127.0.0.1:65536", false)
	f("127.0.0.1:080", false)
	f("http://127.0.0.1:80", false)
	f("::1:80", false)
}

func TestRates(t *testing.T) {
	f := func(s string, want float64, wantOK bool) {
		t.Helper()
		if got, refused := try(parseRate, s); got != want || (refused == "") != wantOK {
			t.Errorf("parseRate(%q) = %v, %q", s, got, refused)
		}
	}
	f("100", 100, true)
	f("0.5", 0.5, true)
	f("unlimited", 0, true)
	f("0", 0, false)
	f("-1", 0, false)
	f("1e7", 0, false)
	f(".inf", 0, false)
	f("NaN", 0, false)
	f("10/s", 0, false)
}

func TestShowHidesWhatMayBeASecret(t *testing.T) {
	f := func(s, want string) {
		t.Helper()
		if got := show(s); got != want {
			t.Errorf("show(%q) = %q, want %q", s, got, want)
		}
	}
	f("kyc.status.*", "kyc.status.*")
	f("whsec_abc", "(not shown)")
	f("sk_live_abc", "(not shown)")
	f("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw+MfKQ9r8GKYqrTwj", "(not shown)")
	f("two words", "(not shown)")
}
