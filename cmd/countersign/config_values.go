package main

import (
	"encoding/hex"
	"errors"
	"math"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign/relay/registry"
)

func parseText(s string) (string, *mistake) {
	if strings.TrimSpace(s) == "" {
		return "", &mistake{"is empty", "give it a value, or remove the key"}
	}
	return s, nil
}

func parseName(s string) (string, *mistake) { return s, ofRule(registry.CheckName(s)) }

// ofRule is what a rule of package registry finds wrong, as a mistake in a config; nil: nothing.
func ofRule(m *registry.ValueError) *mistake {
	if m == nil {
		return nil
	}
	return &mistake{m.What, m.Remedy}
}

// oneOf accepts the words of a closed list.
func oneOf[T ~string](words ...T) func(string) (T, *mistake) {
	return func(s string) (T, *mistake) {
		if slices.Contains(words, T(s)) {
			return T(s), nil
		}
		list := make([]string, len(words))
		for i, w := range words {
			list[i] = string(w)
		}
		return "", &mistake{"unknown value " + show(s), didYouMean(s, words) + "use one of " + strings.Join(list, ", ")}
	}
}

func parseFlag(s string) (bool, *mistake) { return s == "true" || s == "True" || s == "TRUE", nil }

// whole accepts integers from low to high.
func whole[T int | int64](low, high T) func(string) (T, *mistake) {
	return func(s string) (T, *mistake) {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || T(n) < low || T(n) > high {
			span := strconv.FormatInt(int64(low), 10) + " to " + strconv.FormatInt(int64(high), 10)
			return 0, &mistake{"is not a whole number from " + span, "write plain digits within these bounds"}
		}
		return T(n), nil
	}
}

// number accepts decimals from low to high.
func number(low, high float64) func(string) (float64, *mistake) {
	return func(s string) (float64, *mistake) {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(f) || f < low || f > high {
			span := strconv.FormatFloat(low, 'g', -1, 64) + " to " + strconv.FormatFloat(high, 'g', -1, 64)
			return 0, &mistake{"is not a number from " + span, "write it like 0.5 or 3"}
		}
		return f, nil
	}
}

// parseRate returns 0 for unlimited.
func parseRate(s string) (float64, *mistake) {
	if s == "unlimited" {
		return 0, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || f < registry.MinRate || f > registry.MaxRate {
		return 0, &mistake{"is not a rate", "write how many per second, from 0.001 to 1000000, without a unit; or unlimited"}
	}
	return f, nil
}

var sizeForm = regexp.MustCompile(`^([0-9]{1,12})(B|KiB|MiB|GiB|TiB)?$`)

var sizeUnit = map[string]int64{"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}

// size accepts bytes from low to high.
func size(low, high int64) func(string) (int64, *mistake) {
	return func(s string) (int64, *mistake) {
		m := sizeForm.FindStringSubmatch(s)
		if m == nil {
			return 0, &mistake{"is not a size", "write it like 512KiB, 1MiB or 64GiB"}
		}
		n, _ := strconv.ParseInt(m[1], 10, 64) // twelve digits at most
		unit := sizeUnit[m[2]]
		if n < (low+unit-1)/unit || n > high/unit {
			return 0, &mistake{"is not between " + formatSize(low) + " and " + formatSize(high), "choose a size within these bounds"}
		}
		return n * unit, nil
	}
}

func formatSize(n int64) string {
	for _, u := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if n >= sizeUnit[u] && n%sizeUnit[u] == 0 {
			return strconv.FormatInt(n/sizeUnit[u], 10) + u
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

const (
	day  = 24 * time.Hour
	year = 365 * day
)

// duration accepts Go's spellings, days (90d) and years of 365 days (5y), from low to high.
func duration(low, high time.Duration) func(string) (time.Duration, *mistake) {
	return func(s string) (time.Duration, *mistake) {
		d, err := registry.ParseDuration(s)
		switch {
		case err != nil:
			return 0, &mistake{"is not a duration", "write a number and its unit, like 500ms, 15s, 12h, 90d or 5y"}
		case d < low || d > high:
			return 0, &mistake{"is not between " + registry.FormatDuration(low) + " and " + registry.FormatDuration(high), "choose a duration within these bounds"}
		}
		return d, nil
	}
}

// neverDisabled is the disable_after of an endpoint that is tried for ever.
const neverDisabled = registry.NeverDisabled

func parseDisableAfter(s string) (time.Duration, *mistake) {
	if s == "never" {
		return neverDisabled, nil
	}
	d, m := duration(registry.MinDisableAfter, registry.MaxDisableAfter)(s)
	if m != nil {
		m.remedy += ", or never"
	}
	return d, m
}

func parseTime(s string) (time.Time, *mistake) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, &mistake{"is not a time", "write it like 2026-12-01 (midnight UTC) or 2026-12-01T08:00:00Z"}
}

func parseSince(s string) (time.Time, *mistake) {
	if s == "always" {
		return time.Time{}, nil
	}
	t, m := parseTime(s)
	if m != nil {
		m.remedy = "write always, or a time like 2026-12-01T08:00:00Z"
	}
	return t, m
}

// parsePrefix wants networks spelled exactly: 10.1.2.3/8 is more often a slip for /32 than a
// network.
func parsePrefix(s string) (netip.Prefix, *mistake) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
			return p, &mistake{"expected a network, got an address", "write " + netip.PrefixFrom(a, a.BitLen()).String()}
		}
		return p, &mistake{"is not a network in CIDR form", "write it like 10.0.0.0/8 or 2001:db8::/32"}
	}
	switch {
	case p != p.Masked():
		return p, &mistake{"has bits set beyond its length", "write " + p.Masked().String() + ", or make the prefix longer"}
	case p.Bits() == 0:
		return p, &mistake{"covers every address", "name the networks you mean"}
	}
	return p, nil
}

// parseHostPort is for addresses to listen on and to connect to.
func parseHostPort(s string) (string, *mistake) {
	host, port, err := net.SplitHostPort(s)
	n, perr := strconv.ParseUint(port, 10, 16)
	if err != nil || perr != nil || strconv.FormatUint(n, 10) != port || strings.ContainsAny(host, "/@ ") {
		return "", &mistake{"is not an address and a port", "write host:port, like 127.0.0.1:8480"}
	}
	return s, nil
}

var hostForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$`)

// parseHost is for names in Host headers, and addresses.
func parseHost(s string) (string, *mistake) {
	if _, err := netip.ParseAddr(s); err != nil && !hostForm.MatchString(s) {
		return "", &mistake{"is not a host name", "write the name or the address alone, without scheme, port and path, like countersign.internal"}
	}
	return strings.ToLower(s), nil
}

// parsePrivate is for an address to listen on that asks for no token.
func parsePrivate(s string) (string, *mistake) {
	if _, m := parseHostPort(s); m != nil {
		return "", m
	}
	host, _, _ := net.SplitHostPort(s)
	if a, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !within(a)) {
		return "", &mistake{"is not a loopback or private address", "whoever reaches it needs no token: write the address of this machine in its private network, or 127.0.0.1, with a port"}
	}
	return s, nil
}

// carrierGrade are the addresses of RFC 6598, which networks of containers use too.
var carrierGrade = netip.MustParsePrefix("100.64.0.0/10")

// within reports whether an address is of this machine or of a private network, and of one machine
// only.
func within(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || carrierGrade.Contains(a)
}

func parseEvent(s string) (string, *mistake) {
	if m := ofRule(registry.CheckEvent(s)); m != nil {
		return "", &mistake{m.what + ": " + show(s), m.remedy}
	}
	return s, nil
}

// parseFilter wants a condition on a change that compiles.
func parseFilter(s string) (string, *mistake) {
	if _, err := registry.NewFilter(s); err != nil {
		if m, ok := errors.AsType[*registry.ValueError](err); ok {
			return "", ofRule(m)
		}
		return "", &mistake{"cannot be used", "write a condition on change"}
	}
	return s, nil
}

func parseDigest(s string) (d [32]byte, _ *mistake) {
	if b, err := hex.DecodeString(s); err == nil && copy(d[:], b) == len(d) && len(b) == len(d) {
		return d, nil
	}
	return d, &mistake{"is not a SHA-256 digest", "write the 64 hexadecimal digits of printf %s TOKEN | sha256sum"}
}
