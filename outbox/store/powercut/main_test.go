package main

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
)

// asProgram makes this test binary the program itself.
const asProgram = "POWERCUT_RUN"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(run(os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// Only what is certainly a mount of our kind is one.
func TestParseMount(t *testing.T) {
	f := func(line, wantAt string, wantPID int) {
		t.Helper()
		at, pid, ok := parseMount(line)
		if at != wantAt || pid != wantPID || ok != (wantPID != 0) {
			t.Errorf("parseMount(%q) = %q, %d, %t", line, at, pid, ok)
		}
	}
	f("41 26 0:36 / /tmp/x/data rw,nosuid,nodev shared:5 - fuse.countersign-powercut countersign-powercut-4711 rw,user_id=0", "/tmp/x/data", 4711)
	f(`41 26 0:36 / /tmp/a\040b rw - fuse.countersign-powercut countersign-powercut-4711 rw`, "/tmp/a b", 4711)
	f("41 26 0:36 / /tmp/x rw - fuse.sshfs countersign-powercut-4711 rw", "", 0)
	f("41 26 0:36 / /tmp/x rw - fuse.countersign-powercut another-4711 rw", "", 0)
	f("41 26 0:36 / /tmp/x rw - fuse.countersign-powercut countersign-powercut-1 rw", "", 0)
	f("41 26 0:36 / /tmp/x rw - fuse.countersign-powercut countersign-powercut-+7 rw", "", 0)
	f("36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue", "", 0)
	f("", "", 0)
}

// What is not understood is said, and nothing is done.
func TestOrders(t *testing.T) {
	f := func(line, want string) {
		t.Helper()
		var out bytes.Buffer
		if code := run(strings.NewReader(line+"\n"), &out, io.Discard); code != 0 || !strings.Contains(out.String(), want) {
			t.Errorf("%s: exit %d, %s; want %s", line, code, &out, want)
		}
	}
	f(`{"do":"cut"}`, "nothing is mounted")
	f(`{"do":"arm","plan":{"cal":"write"}}`, `unknown field \"cal\"`)
	f(`nonsense`, "read an order")
}
