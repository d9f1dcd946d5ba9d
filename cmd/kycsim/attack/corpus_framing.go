package attack

import "strings"

// chunks are bodies in chunks, which .NET, streams of Java, Node and some proxies send.
func chunks() (fs []form) {
	with := func(name, line, body string, want []int) {
		fs = append(fs, one("chunked: "+name, post+"Host: gateway\r\nSIGNED"+line+"\r\n"+body, want))
	}
	const te = "Transfer-Encoding: chunked\r\n"
	with("in one", te, "CHUNKED", taken)
	with("byte by byte", te, "CHUNKED1", taken)
	with("in another case", "transfer-encoding: Chunked\r\n", "CHUNKED", []int{200, 400, 411, 501})
	with("zeros before the size", te, "0000CHUNKED", either)
	with("an extension", te, "CHUNK0;name=value\r\n\r\n", either)
	with("a quoted extension", te, "CHUNK0;name=\"a\\\"b\"\r\n\r\n", either)
	with("an extension of 64 KiB", te, "CHUNK0;"+strings.Repeat("a", 64<<10)+"\r\n\r\n", []int{200, 400, 413, 431, silence})
	with("an extension with a line feed", te, "CHUNK0;a\nb\r\n\r\n", refused)
	with("a trailer", te, "CHUNK0\r\nX-Some: value\r\n\r\n", either)
	with("the signature in a trailer", "X-Payload-Digest-Alg: HMAC_SHA256_HEX\r\n"+te, "CHUNK0\r\nX-Payload-Digest: 0\r\n\r\n", []int{200, 400, 401})
	with("a length in a trailer", te, "CHUNK0\r\nContent-Length: 7\r\n\r\n", either)
	with("trailers of 64 KiB", te, "CHUNK0\r\n"+strings.Repeat("X-Some: value\r\n", 5000)+"\r\n", []int{200, 400, 413, 431, silence})
	with("lines end with line feeds", te, "CHUNKED", []int{200, 400, silence})
	fs[len(fs)-1].ends = "\n"
	with("no last chunk", te, "CHUNK", refused)
	with("half a chunk", te, "ffff\r\nBODY", refused)
	with("no body at all", te, "", refused)
	with("only the last chunk", te, "0\r\n\r\n", unproved)
	with("a negative size", te, "-5\r\nhello\r\n0\r\n\r\n", refused)
	with("a size of 0x", te, "0x5\r\nhello\r\n0\r\n\r\n", refused)
	with("a size with a sign", te, "+5\r\nhello\r\n0\r\n\r\n", refused)
	with("an empty size", te, "\r\nhello\r\n0\r\n\r\n", refused)
	with("no hexadecimal size", te, "five\r\nhello\r\n0\r\n\r\n", refused)
	with("a size that overflows 64 bits", te, "10000000000000005\r\nhello\r\n0\r\n\r\n", []int{400, 413, silence})
	with("a size of 2^63", te, "8000000000000000\r\nhello\r\n0\r\n\r\n", []int{400, 413, silence})
	with("the largest size", te, "ffffffffffffffff\r\nhello\r\n0\r\n\r\n", []int{400, 413, silence})
	with("a size of 200 digits", te, strings.Repeat("0", 200)+"5\r\nhello\r\n0\r\n\r\n", []int{400, 401, 413, silence})
	with("data longer than its size", te, "3\r\nhello\r\n0\r\n\r\n", refused)
	with("no line end after the data", te, "5\r\nhello0\r\n\r\n", refused)
	with("2 MiB announced", te, "200000\r\nhello", []int{413, 400})
	with("2 MiB in one", te, "200000\r\n"+strings.Repeat("a", 2<<20)+"\r\n0\r\n\r\n", []int{413})
	with("2 MiB in many", te, inChunks(strings.Repeat("a", 2<<20), 1000), []int{413})
	with("another request behind it", te, "CHUNKEDHIDDEN", taken) // the connection ends, since another reader might see the end of the chunks elsewhere
	return fs
}

// smuggled are requests that two readers could read in two ways: one of them would see the request
// that hides in the body.
func smuggled() (fs []form) {
	with := func(name, line, body string) {
		fs = append(fs, one("framing: "+name, post+"Host: gateway\r\nSIGNED"+line+"\r\n"+body, framing))
	}
	const te = "Transfer-Encoding: chunked\r\n"
	with("a length, then chunks", "LENGTH"+te, "CHUNKED")
	with("chunks, then a length", te+"LENGTH", "CHUNKED")
	with("a length that ends before the hidden one", "Content-Length: 5\r\n"+te, "0\r\n\r\nHIDDEN")
	with("a length over the hidden one", te+"Content-Length: HIDDENLEN\r\n", "0\r\n\r\nHIDDEN")
	with("a length of 0 and chunks", te+"Content-Length: 0\r\n", "CHUNKEDHIDDEN")
	with("chunks twice", te+te, "CHUNKED")
	with("chunks, then identity", te+"Transfer-Encoding: identity\r\n", "CHUNKEDHIDDEN")
	for _, v := range []string{
		"xchunked", "chunkedx", "identity", "gzip, chunked", "chunked, gzip", "chunked, chunked", "chunked, identity", "identity, chunked", "\x0bchunked", "chunked\x00", "chunk", "\"chunked\"",
		"chunked;q=1", ",chunked", "", "cow", "compress", "ch\u00fcnked", "chunked\x0b", "gzip",
	} {
		with("Transfer-Encoding "+strings.ToValidUTF8(v, "?"), "Transfer-Encoding: "+v+"\r\n", "CHUNKEDHIDDEN")
		with("Transfer-Encoding "+strings.ToValidUTF8(v, "?")+" and a length", "Transfer-Encoding: "+v+"\r\nContent-Length: 5\r\n", "0\r\n\r\nHIDDEN")
	}
	with("a blank before the colon", "Transfer-Encoding : chunked\r\n", "CHUNKEDHIDDEN")
	with("a blank before the colon, and a length", "Transfer-Encoding : chunked\r\nContent-Length: 5\r\n", "0\r\n\r\nHIDDEN")
	with("a second line", "Transfer-Encoding:\r\n chunked\r\n", "CHUNKEDHIDDEN")
	with("a second line, and a length", "Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n", "0\r\n\r\nHIDDEN")
	with("hidden in another header", "X-Some: a\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\nHIDDEN")
	with("hidden behind a carriage return", "X-Some: a\rTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\nHIDDEN")
	with("underscores, and no length", "Transfer_Encoding: chunked\r\n", "CHUNKEDHIDDEN")
	fs = append(fs,
		one("framing: chunks in HTTP/1.0", "POST /v1/callbacks/open HTTP/1.0\r\nHost: gateway\r\nSIGNEDTransfer-Encoding: chunked\r\n\r\nCHUNKEDHIDDEN", framing),
		one("framing: the hidden one behind an unknown source", "POST /v1/callbacks/none HTTP/1.1\r\nHost: gateway\r\nLENGTH\r\nBODYHIDDEN", []int{404}),
		one("framing: the hidden one in the body for an unknown source", "POST /v1/callbacks/none HTTP/1.1\r\nHost: gateway\r\nContent-Length: HIDDENLEN\r\n\r\nHIDDEN", []int{404}),
		one("framing: the hidden one in the body of a GET", "GET /v1/callbacks/open HTTP/1.1\r\nHost: gateway\r\nContent-Length: HIDDENLEN\r\n\r\nHIDDEN", []int{405}),
		one("framing: the hidden one in a body too large", "POST /v1/callbacks/small HTTP/1.1\r\nHost: gateway\r\nContent-Length: 100000\r\n\r\nHIDDEN"+strings.Repeat("a", 98_000), []int{413}),
		one("framing: the hidden one in a body from elsewhere", "POST /v1/callbacks/elsewhere HTTP/1.1\r\nHost: gateway\r\nContent-Length: HIDDENLEN\r\n\r\nHIDDEN", []int{403}),
		one("framing: the hidden one behind Expect", "GET /v1/callbacks/open HTTP/1.1\r\nHost: gateway\r\nExpect: 100-continue\r\nContent-Length: HIDDENLEN\r\n\r\nHIDDEN", []int{405}),
	)
	return fs
}
