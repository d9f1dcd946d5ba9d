package main

import (
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// unit reads the settings of a unit of systemd, by section.name.
func unit(t *testing.T, name string) map[string]string {
	t.Helper()
	settings, section := map[string]string{}, ""
	for line := range strings.Lines(read(t, "../../docs/deploy/systemd/"+name)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			section = strings.Trim(line, "[]")
		default:
			key, value, ok := strings.Cut(line, "=")
			was, twice := settings[section+"."+key]
			if !ok || twice && key != "SystemCallFilter" { // which adds up
				t.Errorf("%s: %q is no setting, or stands twice", name, line)
			}
			settings[section+"."+key] = strings.TrimSpace(was + " " + value)
		}
	}
	return settings
}

// TestUnits holds the units of systemd to the program: they pass a socket by the name it looks for,
// start a command that there is, and allow more than it needs.
func TestUnits(t *testing.T) {
	socket, service := unit(t, "countersign.socket"), unit(t, "countersign.service")
	if socket["Socket.FileDescriptorName"] != socketCallbacks || socket["Socket.Service"] != "countersign.service" || socket["Socket.ListenStream"] != defaultConfig("").Listen.Callbacks {
		t.Errorf("the socket: %v", socket)
	}
	control := unit(t, "countersign-control.socket")
	if control["Socket.FileDescriptorName"] != socketControl || control["Socket.Service"] != "countersign.service" || control["Socket.ListenStream"] != defaultConfig("").Listen.Control {
		t.Errorf("the socket of the control API: %v", control)
	}
	if service["Unit.Requires"] != "countersign.socket" || !strings.Contains(service["Unit.After"], "countersign.socket") {
		t.Errorf("the service does not come after its socket: %v", service)
	}
	words := strings.Fields(service["Service.ExecStart"])
	var cmds commands
	parser, err := kong.New(&cmds, kong.Exit(func(int) {}), kong.Bind(&console{}))
	if err != nil {
		t.Fatal(err)
	}
	if k, err := parser.Parse(words[1:]); err != nil || k.Command() != "serve" || cmds.Serve.Config != "/etc/countersign/countersign.yaml" {
		t.Errorf("ExecStart=%s: %v", service["Service.ExecStart"], err)
	}
	files, err := strconv.Atoi(service["Service.LimitNOFILE"])
	if err != nil {
		t.Fatal(err)
	}
	l, err := newLimits(&Config{Kafka: defaultKafka(), Partners: []PartnerConfig{{Endpoints: slices.Repeat([]EndpointConfig{defaultEndpoint()}, 100)}}}, files)
	if err != nil || l.reduced() {
		t.Errorf("LimitNOFILE=%d: %+v, %v", files, l, err)
	}
	if service["Service.Restart"] != "always" || service["Service.KillMode"] != "mixed" { // else the process that checks a file is ended with it
		t.Errorf("how it ends: %v", service)
	}
}

// TestUnitsVerified has systemd's own tool read the units, where it is installed: that each setting
// is one, and how much a service that is broken into could still do.
func TestUnitsVerified(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		cannot(t, "systemd-analyze is not installed")
	}
	dir := t.TempDir()
	for _, name := range []string{"countersign.service", "countersign.socket", "countersign-control.socket"} {
		text := strings.ReplaceAll(read(t, "../../docs/deploy/systemd/"+name), "/usr/local/bin/countersign", "/bin/true")
		write(t, dir, name, text)
	}
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(analyze, args...)
		cmd.Dir = dir
		b, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("systemd-analyze %v: %v\n%s", args, err, b)
		}
		return string(b)
	}
	if out := run("verify", "./countersign.service", "./countersign.socket", "./countersign-control.socket"); strings.Contains(out, "countersign") {
		t.Errorf("%s", out)
	}
	run("security", "--offline=true", "--threshold=20", "./countersign.service") // of 100; 14 when this was written
}
