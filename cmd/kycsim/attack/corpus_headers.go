package attack

import (
	"fmt"
	"strings"
)

// headerForms are the ways to write headers.
func headerForms() (fs []form) {
	with := func(name, line string, want []int) {
		fs = append(fs, one("header: "+name, whole(post, line+"\r\n"), want))
	}
	bare := func(name, host string, want []int) {
		fs = append(fs, one("header: "+name, post+host+"SIGNEDLENGTH\r\nBODY", want))
	}
	bare("no Host", "", either)
	bare("two Hosts", "Host: gateway\r\nHost: other\r\n", either)
	bare("an empty Host", "Host:\r\n", either)
	bare("a Host with a blank", "Host: gate way\r\n", either)
	bare("the first goes on from nowhere", " Host: gateway\r\n", bad)
	with("a space before the colon", "X-Some : value", bad)
	with("no colon", "X-Some value", bad)
	with("no name", ": value", bad)
	with("a zero byte in the name", "X-So\x00me: value", bad)
	with("a zero byte in the value", "X-Some: va\x00lue", bad)
	with("a carriage return in the value", "X-Some: va\rlue", bad)
	with("a line feed in the value", "X-Some: va\nlue", bad)
	with("a blank in the name", "X Some: value", bad)
	with("a bracket in the name", "X(Some): value", bad)
	with("an umlaut in the name", "X-S\u00f6me: value", bad)
	with("bytes over 127 in the value", "X-Some: \xff\xfe", either)
	with("a second line", "X-Some: a\r\n b", bad)
	with("a second line with a tab", "X-Some: a\r\n\tb", bad)
	with("a hundred of them", strings.TrimSuffix(strings.Repeat("X-Some: value\r\n", 100), "\r\n"), taken)
	with("two thousand of them", strings.TrimSuffix(strings.Repeat("X-Some: value\r\n", 2000), "\r\n"), headers)
	with("one of 8 KiB", "X-Some: "+strings.Repeat("a", 8<<10), taken)
	with("one of 20 KiB", "X-Some: "+strings.Repeat("a", 20<<10), headers)
	with("one of 200 KiB", "X-Some: "+strings.Repeat("a", 200<<10), headers)
	with("a second Content-Type", "Content-Type: text/plain", bad)
	with("two Content-Encodings", "Content-Encoding: identity\r\nContent-Encoding: identity", bad)
	for _, e := range []string{"gzip", "br", "deflate", "identity, gzip", "x-gzip"} {
		with("Content-Encoding "+e, "Content-Encoding: "+e, []int{400, 415})
	}
	for _, e := range []string{"identity", "Identity", "IDENTITY"} {
		with("Content-Encoding "+e, "Content-Encoding: "+e, taken)
	}
	with("Expect: 100-continue", "Expect: 100-continue", taken)
	with("Expect of something else", "Expect: a-miracle", []int{200, 417})
	with("Upgrade to h2c", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__", taken)
	with("Upgrade to a web socket", "Connection: Upgrade\r\nUpgrade: websocket", taken)
	with("Connection names Content-Length", "Connection: Content-Length", taken)
	with("Connection names the signature", "Connection: X-Payload-Digest", taken)
	with("Connection: close", "Connection: close", taken)
	with("X-HTTP-Method-Override", "X-HTTP-Method-Override: DELETE", taken)
	with("a second signature", "X-Payload-Digest: "+strings.Repeat("0", 64), []int{200, 401})
	with("the signature with underscores", "X_Payload_Digest: "+strings.Repeat("0", 64), either)
	for _, f := range []struct{ name, line string }{
		{"none", ""},
		{"empty", "X-Payload-Digest:\r\n"},
		{"no hexadecimal", "X-Payload-Digest: " + strings.Repeat("z", 64) + "\r\n"},
		{"of another key", "X-Payload-Digest: " + strings.Repeat("0", 64) + "\r\n"},
		{"half of it", "X-Payload-Digest: " + strings.Repeat("0", 32) + "\r\n"},
		{"of 8 KiB", "X-Payload-Digest: " + strings.Repeat("0", 8<<10) + "\r\n"},
	} {
		fs = append(fs, one("signature: "+f.name, fmt.Sprintf("%sHost: gateway\r\nX-Payload-Digest-Alg: HMAC_SHA256_HEX\r\n%sLENGTH\r\nBODY", post, f.line), []int{401}))
	}
	return fs
}

// lengths are the ways to say how long a body is.
func lengths() (fs []form) {
	with := func(name, line, body string, want []int) {
		fs = append(fs, one("length: "+name, post+"Host: gateway\r\nSIGNED"+line+"\r\n"+body, want))
	}
	for _, v := range []string{
		"-1", "-0", "+BODYLEN", "0xBODYLEN", "BODYLEN.0", "1e3", "BODYLEN,BODYLEN", "BODYLEN, 7", "BODYLEN BODYLEN", "", "many", "\u0661", "BODYLEN\x00", "9223372036854775808",
		"18446744073709551616", "99999999999999999999999999999999",
	} {
		with(fmt.Sprintf("%q", v), "Content-Length: "+v+"\r\n", "BODY", []int{400, 411, 413, silence})
	}
	with("with zeros before", "Content-Length: 000BODYLEN\r\n", "BODY", either)
	with("with blanks around", "Content-Length: \t BODYLEN \t\r\n", "BODY", either)
	with("a blank before the colon", "Content-Length : BODYLEN\r\n", "BODY", []int{400, 411})
	with("twice, the same", "LENGTHLENGTH", "BODY", either)
	with("twice, another", "LENGTHContent-Length: 7\r\n", "BODY", bad)
	with("none", "", "BODY", framing)
	with("none, and the body is a request", "", "HIDDEN", framing)
	with("0", "Content-Length: 0\r\n", "", unproved)
	with("0, and the body is a request", "Content-Length: 0\r\nConnection: close\r\n", "HIDDEN", unproved)
	with("a byte too few", "Content-Length: 10\r\nConnection: close\r\n", "BODY", unproved)
	with("more than comes", "Content-Length: 5000\r\n", "BODY", refused)
	with("2 MiB announced", "Content-Length: 2097152\r\n", "BODY", []int{413})
	with("1 TiB announced", "Content-Length: 1099511627776\r\n", "BODY", []int{413})
	with("2 MiB sent", "Content-Length: 2097152\r\n", strings.Repeat("a", 2<<20), []int{413})
	return fs
}
