package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// image is what the last stage of the Dockerfile says, by instruction.
type image struct {
	env        []string
	entrypoint []string
	cmd        []string
	health     []string
	user       string
	expose     []string
	volume     string
	copied     map[string]string // what is put where
}

// readImage reads the Dockerfile as far as it is used here, and refuses what it does not know.
func readImage(t *testing.T) image {
	t.Helper()
	i := image{copied: map[string]string{}}
	text := strings.ReplaceAll(read(t, "../../Dockerfile"), "\\\n", " ")
	list := func(s string) (all []string) {
		if err := json.Unmarshal([]byte(s), &all); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		return all
	}
	for line := range strings.Lines(text) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		rest = strings.TrimSpace(rest)
		switch word {
		case "", "#", "ARG", "WORKDIR", "RUN", "STOPSIGNAL":
		case "FROM":
			i = image{copied: map[string]string{}}
		case "COPY":
			words := slices.DeleteFunc(strings.Fields(rest), func(w string) bool { return strings.HasPrefix(w, "--") })
			i.copied[words[len(words)-1]] = words[0]
		case "ENV":
			i.env = append(i.env, strings.Fields(rest)...)
		case "USER":
			i.user = rest
		case "VOLUME":
			i.volume = rest
		case "EXPOSE":
			i.expose = strings.Fields(rest)
		case "ENTRYPOINT":
			i.entrypoint = list(rest)
		case "CMD":
			i.cmd = list(rest)
		case "HEALTHCHECK":
			_, probe, _ := strings.Cut(rest, "CMD ")
			i.health = list(probe)
		default:
			t.Errorf("the Dockerfile says %s", word)
		}
	}
	return i
}

// TestDockerfile runs the program with what the image is: its environment, its command, its config
// and a fresh data directory, as its user, in a network of its own with the image's ports. It takes
// callbacks, its health command answers, and the control API wants a token.
func TestDockerfile(t *testing.T) {
	i := readImage(t)
	if i.user != "65532:65532" || i.volume != "/data" || !slices.Contains(i.env, "COUNTERSIGN_DATA=/data") || i.copied["/data"] != "/out/data" || !strings.Contains(read(t, "../../Dockerfile"), "\nCOPY --from=build --chown=65532:65532 /out/data /data\n") || !slices.Equal(i.expose, []string{"8480", "8481"}) {
		t.Fatalf("%+v", i)
	}
	if os.Getuid() != 0 {
		cannot(t, "it needs root, for a network and a user of its own")
	}
	dir := t.TempDir()
	for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program, data, config := filepath.Join(dir, "countersign"), filepath.Join(dir, "data"), write(t, dir, "countersign.yaml", read(t, "../../"+i.copied["/etc/countersign/countersign.yaml"]))
	if b, err := os.ReadFile(os.Args[0]); err != nil || os.WriteFile(program, b, 0o755) != nil || os.Mkdir(data, 0o700) != nil || os.Chown(data, 65532, 65532) != nil || os.Chmod(config, 0o644) != nil {
		t.Fatal(err)
	}
	here := func(words []string) (all []string) { // the image's paths are in this directory
		for _, w := range words {
			switch w {
			case "/etc/countersign/countersign.yaml":
				w = config
			case "/countersign":
				w = program
			case "COUNTERSIGN_DATA=/data":
				w = "COUNTERSIGN_DATA=" + data
			}
			all = append(all, w)
		}
		return all
	}
	if w := here(i.health); w[0] != program {
		t.Fatalf("the health check is %v", w)
	}
	env := append(here(i.env), "COUNTERSIGN_BE_MAIN=1", "PATH="+os.Getenv("PATH"))
	as := append([]string{"setpriv", "--reuid", "65532", "--regid", "65532", "--clear-groups", "--no-new-privs"}, here(i.entrypoint)[0])
	var log book
	cmd := exec.Command("unshare", append([]string{"--net", "sh", "-c", `ip link set lo up && exec "$@"`, "sh"}, append(as, here(i.cmd)...)...)...)
	cmd.Env, cmd.Stderr, cmd.Dir = env, &log, "/"
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Errorf("it ended with %v:\n%s", err, &log)
		}
	}()
	inside := func(words ...string) (int, string) {
		c := exec.Command("nsenter", append([]string{"--net=/proc/" + strconv.Itoa(cmd.Process.Pid) + "/ns/net"}, append(slices.Clone(as), words...)...)...)
		c.Env = env
		b, _ := c.CombinedOutput()
		return c.ProcessState.ExitCode(), string(b)
	}
	health := here(i.health)[1:]
	eventually(t, "it is ready", func() bool {
		code, _ := inside(append(health, "--ready")...)
		return code == exitYes
	})
	if code, out := inside(health...); code != exitYes || !strings.HasPrefix(out, "ok, sandbox") {
		t.Errorf("the health check: exit %d, %s", code, out)
	}
	if fi, err := os.Stat(filepath.Join(data, "countersign.db")); err != nil || fi.Sys().(*syscall.Stat_t).Uid != 65532 {
		t.Errorf("the database: %v, %v", fi, err)
	}
	ask := func(url, token string) int {
		req, _ := http.NewRequest(http.MethodGet, url, nil)
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := (&http.Client{Transport: &http.Transport{DialContext: inNetworkOf(cmd.Process.Pid), DisableKeepAlives: true}}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	token, err := os.ReadFile(filepath.Join(data, tokenFile))
	if err != nil {
		t.Fatal(err)
	}
	f := func(url, token string, want int) {
		t.Helper()
		if got := ask(url, token); got != want {
			t.Errorf("%s: %d, want %d", url, got, want)
		}
	}
	f("http://127.0.0.1:8480/v1/callbacks/nobody", "", 404)
	f("http://127.0.0.1:8481/healthz", "", 200)
	for _, path := range []string{"/v1/endpoints", "/metrics", "/debug/pprof/cmdline", "/v1/openapi.json"} {
		f("http://127.0.0.1:8481"+path, "", 401)
		f("http://127.0.0.1:8481"+path, strings.TrimSpace(string(token)), 200)
	}
}

// inNetworkOf dials in the network of another process.
func inNetworkOf(pid int) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (c net.Conn, err error) {
		done := make(chan struct{})
		go func() { // its thread ends with it, for it is locked to it
			defer close(done)
			runtime.LockOSThread()
			var ns *os.File
			if ns, err = os.Open("/proc/" + strconv.Itoa(pid) + "/ns/net"); err != nil {
				return
			}
			defer ns.Close()
			if _, _, no := syscall.RawSyscall(unix.SYS_SETNS, ns.Fd(), syscall.CLONE_NEWNET, 0); no != 0 {
				err = no
				return
			}
			c, err = (&net.Dialer{}).DialContext(ctx, network, addr)
		}()
		<-done
		return c, err
	}
}
