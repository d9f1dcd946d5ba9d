package attack

import "strings"

// requestLines are the ways to begin.
func requestLines() (fs []form) {
	for _, m := range []string{"GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "post", "Post", "PROPFIND", "POSTPOST"} {
		fs = append(fs, one("method "+m, whole(m+" /v1/callbacks/open HTTP/1.1\r\n", "Connection: close\r\n"), methods))
	}
	return append(
		fs,
		one("as it should be", whole(post, ""), taken),
		form{name: "twice on one connection", text: whole(post, "") + "HIDDEN", want: taken, more: 1},
		one("HTTP/1.0", whole("POST /v1/callbacks/open HTTP/1.0\r\n", ""), versions),
		one("HTTP/1.2", whole("POST /v1/callbacks/open HTTP/1.2\r\n", ""), versions),
		one("HTTP/2.0", whole("POST /v1/callbacks/open HTTP/2.0\r\n", ""), versions),
		one("HTTP/9.9", whole("POST /v1/callbacks/open HTTP/9.9\r\n", ""), versions),
		one("http in lower case", whole("POST /v1/callbacks/open http/1.1\r\n", ""), versions),
		one("a version without a number", whole("POST /v1/callbacks/open HTTP/\r\n", ""), refused),
		one("no version", whole("POST /v1/callbacks/open\r\n", ""), []int{400, 404, 505, silence}),
		one("words after the version", whole("POST /v1/callbacks/open HTTP/1.1 HTTP/1.1\r\n", ""), nowhere),
		one("no method", whole(" /v1/callbacks/open HTTP/1.1\r\n", ""), []int{400, 404, 405, silence}),
		one("two spaces before the path", whole("POST  /v1/callbacks/open HTTP/1.1\r\n", ""), nowhere),
		one("a tab before the path", whole("POST\t/v1/callbacks/open HTTP/1.1\r\n", ""), []int{400, 404, 405, silence}),
		one("an empty line before", "\r\n"+whole(post, ""), either),
		one("many empty lines before", strings.Repeat("\r\n", 40)+whole(post, ""), []int{200, 400, silence}),
		one("a space before", " "+whole(post, ""), []int{400, 404, 405, silence}),
		one("a byte order mark before", "\ufeff"+whole(post, ""), []int{400, 404, 405, silence}),
		one("a zero byte in the method", whole("PO\x00ST /v1/callbacks/open HTTP/1.1\r\n", ""), []int{400, 405, silence}),
		form{name: "only line feeds", text: whole(post, ""), want: either, ends: "\n"},
		form{name: "only carriage returns", text: whole(post, ""), want: refused, ends: "\r"},
	)
}

// paths are the ways to name a source.
func paths() (fs []form) {
	at := func(name, path string, want []int) {
		fs = append(fs, one("path: "+name, whole("POST "+path+" HTTP/1.1\r\n", ""), want))
	}
	at("with a query", "/v1/callbacks/open?a=b&c=%2e%2e", taken)
	at("one slash at the end", "/v1/callbacks/open/", taken)
	at("two slashes at the end", "/v1/callbacks/open//", nowhere)
	at("a doubled slash", "/v1//callbacks/open", nowhere)
	at("two slashes first", "//v1/callbacks/open", nowhere)
	at("a host and the path", "http://gateway/v1/callbacks/open", either)
	at("a host with a user", "http://user:pass@gateway/v1/callbacks/open", []int{200, 400, 404})
	at("a segment .", "/v1/./callbacks/open", nowhere)
	at("a segment ..", "/v1/callbacks/closed/../open", nowhere)
	at("an encoded segment ..", "/v1/callbacks/closed/%2e%2e/open", nowhere)
	at("an encoded slash", "/v1/callbacks%2Fopen", nowhere)
	at("an encoded letter", "/v1/callbacks/%6fpen", nowhere)
	at("an encoded zero", "/v1/callbacks/open%00", nowhere)
	at("a zero byte", "/v1/callbacks/open\x00", nowhere)
	at("a backslash", "/v1/callbacks\\open", nowhere)
	at("a parameter", "/v1/callbacks/open;a=b", nowhere)
	at("a fragment", "/v1/callbacks/open#a", []int{200, 400, 404})
	at("in upper case", "/v1/callbacks/OPEN", nowhere)
	at("in full-width letters", "/v1/callbacks/\uff4fpen", nowhere)
	at("no source", "/v1/callbacks/", nowhere)
	at("not even a slash", "/v1/callbacks", nowhere)
	at("the root", "/", nowhere)
	at("a star", "*", nowhere)
	at("a host and a port", "gateway:8480", nowhere)
	at("no slash first", "v1/callbacks/open", nowhere)
	at("the control listener's", "/v1/subjects/acme/user-1", nowhere)
	at("a token where none is", "/v1/callbacks/open/token", nowhere)
	at("the source's token is missing", "/v1/callbacks/secret", nowhere)
	at("a wrong token", "/v1/callbacks/secret/"+strings.ToUpper(pathToken), nowhere)
	at("a part of the token", "/v1/callbacks/secret/"+pathToken[:len(pathToken)-1], nowhere)
	at("more than the token", "/v1/callbacks/secret/"+pathToken+"x", nowhere)
	at("an empty token", "/v1/callbacks/secret/", nowhere)
	at("the token", "/v1/callbacks/secret/"+pathToken, taken)
	at("the token and a slash", "/v1/callbacks/secret/"+pathToken+"/", taken)
	at("of nine thousand letters", "/v1/callbacks/"+strings.Repeat("a", 9000), []int{400, 404, 414, 431})
	at("of thirty thousand letters", "/v1/callbacks/"+strings.Repeat("a", 30000), []int{400, 404, 414, 431})
	return fs
}

// strangers say that they come from where they may.
func strangers() (fs []form) {
	for _, h := range []string{
		"X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.1:4711", "X-Forwarded-For: 192.0.2.1, 127.0.0.1", "Forwarded: for=192.0.2.1", "Forwarded: for=\"192.0.2.1:4711\"",
		"X-Real-IP: 192.0.2.1", "True-Client-IP: 192.0.2.1", "CF-Connecting-IP: 192.0.2.1", "X-Client-IP: 192.0.2.1", "X-Original-Forwarded-For: 192.0.2.1",
	} {
		fs = append(fs, one("address: "+h, whole("POST /v1/callbacks/elsewhere HTTP/1.1\r\n", h+"\r\n"), []int{403}))
	}
	return fs
}

// noHTTP is what else arrives at an open port.
func noHTTP() (fs []form) {
	for _, f := range []struct{ name, text string }{
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x5a", 500)},
		{"SSH", "SSH-2.0-OpenSSH_9.9\r\n"},
		{"SOCKS 5", "\x05\x01\x00"},
		{"SMTP", "EHLO gateway\r\nMAIL FROM:<a@example.com>\r\n"},
		{"the PROXY protocol", "PROXY TCP4 192.0.2.1 192.0.2.2 4711 8480\r\n" + whole(post, "")},
		{"the PROXY protocol, version 2", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x12\x34\x21\x20"},
		{"RTSP", "DESCRIBE rtsp://gateway/ RTSP/1.0\r\n\r\n"},
		{"SIP", "INVITE sip:a@example.com SIP/2.0\r\n\r\n"},
		{"Redis", "*1\r\n$4\r\nPING\r\n"},
		{"HTTP/0.9", "GET /\r\n"},
		{"a kilobyte of zeros", strings.Repeat("\x00", 1024)},
		{"64 KiB of one letter", strings.Repeat("A", 64<<10)},
		{"64 KiB of line ends", strings.Repeat("\r\n", 32<<10)},
		{"64 KiB of spaces", strings.Repeat(" ", 64<<10)},
		{"one byte", "P"},
		{"half a line", "POST /v1/callbacks/op"},
		{"half a header", post + "Host: gate"},
		{"no empty line", post + "Host: gateway\r\n"},
	} {
		fs = append(fs, one("no HTTP: "+f.name, f.text, []int{400, 404, 405, 431, 505, silence}))
	}
	fs = append(fs,
		one("no HTTP: HTTP/2 by prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", []int{400, 404, 405, 505, silence}))
	return fs
}
