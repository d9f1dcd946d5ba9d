package attack

import "strings"

// mayNot are addresses that no partner may make us call, each with what it is.
var mayNot = []string{
	"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.254", "100.64.0.1", "100.127.255.254", "127.0.0.1", "127.1.2.3", "127.255.255.254", "169.254.0.1", "169.254.169.254", "169.254.170.2",
	"172.16.0.1", "172.31.255.254", "192.0.0.1", "192.0.0.170", "192.0.2.1", "192.88.99.1", "192.168.0.1", "192.168.255.254", "198.18.0.1", "198.19.255.254", "198.51.100.1", "203.0.113.1",
	"224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "168.63.129.16",
	"::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1", "2001:2::1",
	"2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "3fff::1", "5f00::1", "fc00::1", "fd00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "ff0e::1",
}

// urls are what partners have been known to give as their endpoint's address. None of them may be
// called.
func urls() (all []string) {
	for _, a := range mayNot {
		host := a
		if strings.Contains(a, ":") {
			host = "[" + a + "]"
		}
		all = append(all, "https://"+host+"/", "https://"+strings.ReplaceAll(strings.ReplaceAll(a, ".", "-"), ":", "-")+".at.test/") // by name too
	}
	for _, host := range []string{
		"2130706433", "0x7f000001", "0X7F000001", "017700000001", "0177.0.0.1", "0x7f.0.0.1", "0x7f.0x0.0x0.0x1", "127.1", "127.0.1", "127.0.0.1.", "127.000.000.001", "127.0.0.01",
		"00000177.0.0.1", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "0xa9.0xfe.0xa9.0xfe", "169.254.43518", "169.16689662", "0", "0x0", "00", "0.0", "1", "127.0.0.1%00",
		"127\u30020\u30020\u30021", "127\uff0e0\uff0e0\uff0e1", "127\uff610\uff610\uff611", "\uff11\uff12\uff17.0.0.1", "\u2460\u2461\u2466.0.0.1", "\U0001d7cf27.0.0.1",
		"[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[0000:0000:0000:0000:0000:0000:0000:0001]", "[::1%25lo]", "[fe80::1%25lo]", "[::ffff:0:127.0.0.1]", "[127.0.0.1]", "[::1", "::1", "[::1]x",
		"[]", "[::]", "[::ffff:0x7f.1]", "localhost", "LOCALHOST", "LocalHost", "localhost.", "sub.localhost", "localhost.localdomain", "ip6-localhost", "\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3",
		"localtest.me", "metadata.google.internal", "metadata.google.internal.", "metadata", "instance-data", "kubernetes.default.svc", "host.docker.internal", "alias.test", "nowhere.test",
		".", "..", "-", "a..b", "a_b..", "%31%32%37.0.0.1", "127.0.0.1%2f", "127.0.0.1%23.allowed.test", "127.0.0.1\\.allowed.test", "allowed.test\\@127.0.0.1",
		"allowed.test@127.0.0.1", "allowed.test:443@127.0.0.1", "allowed.test%40127.0.0.1", "127.0.0.1@allowed.test", "user:pass@allowed.test", "@127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:",
		"127.0.0.1:-1", "127.0.0.1:443:443", "127.0.0.1:0443", "127.0.0.1:0x1bb", "127.0.0.1 ", " 127.0.0.1", "127.0.0.1\t", "127.0.0.1\n", "127.0.\u200b0.1", "\u202e127.0.0.1", "127.0.0.1\x00.allowed.test",
		"allowed.test\x00.127-0-0-1.at.test", "allowed.test, 127.0.0.1", "allowed.test;127.0.0.1",
	} {
		all = append(all, "https://"+host+"/")
	}
	return append(
		all,
		"http://127.0.0.1/", "http://allowed.test/", "HTTPS://127.0.0.1/", "hTTpS://[::1]/", "https:///127.0.0.1/", "https:/127.0.0.1/", "https:127.0.0.1/", "https:\\\\127.0.0.1\\", "//127.0.0.1/",
		"127.0.0.1", "/etc/passwd", "", "https://", "https://?", "https://#", "https://allowed.test#@127.0.0.1/", "https://127.0.0.1#@allowed.test/", "https://127.0.0.1?@allowed.test/",
		"https://allowed.test/#fragment", "file:///etc/passwd", "gopher://127.0.0.1:6379/_INFO", "ftp://127.0.0.1/", "dict://127.0.0.1:11211/", "ldap://127.0.0.1/", "tftp://127.0.0.1/", "ws://127.0.0.1/",
		"wss://127.0.0.1/", "unix:///var/run/docker.sock", "jar:https://127.0.0.1!/", "javascript:alert(1)", "data:text/plain,a", "ssh://127.0.0.1/", "h2c://127.0.0.1/", "url:https://127.0.0.1/",
		"https://127.0.0.1:22/", "https://127.0.0.1:6379/", "https://127.0.0.1:2375/", "https://[::1]:443/", "https://127-0-0-1.at.test:6379/", " https://127.0.0.1/", "\thttps://127.0.0.1/",
		"https://127.0.0.1/\r\nHost: allowed.test", "https://allowed.test\r\nX: a@127.0.0.1/", "view-source:https://127.0.0.1/", "https+unix://127.0.0.1/",
	)
}

// turning are names that are of an address that may be called at one time and not at another, or of
// both: only what may be called may be called.
var turning = []string{
	"https://rebind.test/", "https://rebind-late.test/", "https://mixed.test/", "https://mixed-first.test/", "https://mixed-six.test/", "https://alias-rebind.test/",
	"https://allowed.test/redirect?to=https://127.0.0.1/", "https://allowed.test/redirect?to=http://169.254.169.254/latest/meta-data/", "https://allowed.test/redirect?to=https://127-0-0-1.at.test/",
	"https://alias-allowed.test/", "https://allowed.test/",
}
