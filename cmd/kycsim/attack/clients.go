package attack

import (
	"bytes"
	"context"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed clients
var clientFiles embed.FS

// ask is a request that each client sends, and the status it must read.
type ask struct {
	Name    string            `json:"name"`
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"`
	Size    int               `json:"size"`
	Body    []byte            `json:"body,omitempty"` // base64 in JSON; nil: Size letters
	Chunked bool              `json:"chunked"`
	want    int
	subject string // who must be known afterwards; "": nobody
}

const times = 20 // that each early answer is asked for, by each client

// asks are what is answered before the body has been read, and what is taken. The subject is the
// client's own.
func asks(client string) ([]ask, error) {
	early := func(name, method, path string, want int, headers map[string]string) []ask {
		all := make([]ask, 0, 2)
		for _, mb := range []int{1, 8} {
			all = append(all, ask{Name: fmt.Sprintf("%s, %d MB", name, mb), Method: method, Path: path, Headers: headers, Size: mb << 20, want: want})
		}
		return all
	}
	all := slices.Concat(
		early("413", "POST", "/v1/callbacks/small", 413, nil),
		early("404", "POST", "/v1/callbacks/nobody", 404, nil),
		early("405", "PUT", "/v1/callbacks/open", 405, nil),
		early("403", "POST", "/v1/callbacks/elsewhere", 403, nil),
		early("429", "POST", "/v1/callbacks/scarce", 429, nil),
		early("400", "POST", "/v1/callbacks/open", 400, map[string]string{"Content-Encoding": "gzip"})[:1],
		[]ask{{Name: "413, chunked", Method: "POST", Path: "/v1/callbacks/small", Size: 8 << 20, Chunked: true, want: 413}},
	)
	for _, chunked := range []bool{false, true} {
		subject := fmt.Sprintf("client-%s-%t", strings.ReplaceAll(client, " ", "-"), chunked)
		g, err := NewGenuine("open", subject, false)
		if err != nil {
			return nil, err
		}
		a := ask{Name: "a genuine callback", Method: "POST", Path: g.Path, Headers: map[string]string{}, Body: g.Body, Chunked: chunked, want: 200, subject: subject}
		if chunked {
			a.Name += ", chunked"
		}
		for name, values := range g.Header {
			a.Headers[name] = values[0]
		}
		all = append(all, a)
	}
	return all, nil
}

// Clients lets the HTTP clients of three languages read every early answer, and send a callback in
// chunks.
func Clients(ctx context.Context, t *Target) (*Section, error) {
	s := &Section{Name: "clients"}
	if _, err := t.say(ctx, "POST /v1/callbacks/scarce HTTP/1.1\r\nHost: gateway\r\nContent-Length: 2\r\n\r\n{}"); err != nil { // the only one that it may have
		return nil, err
	}
	for _, c := range []struct {
		name string
		run  func(context.Context, *Target, []ask) (map[string][]string, error)
	}{{"Go", withGo}, {"Node", withNode}, {"Java", withJava}} {
		all, err := asks(c.name)
		if err != nil {
			return nil, err
		}
		read, err := c.run(ctx, t, all)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		for _, a := range all {
			s.judgeClient(c.name, &a, read[a.Name])
		}
		if err := t.settled(ctx, "after-"+c.name); err != nil {
			return nil, err
		}
		for _, a := range all {
			if a.subject == "" {
				continue
			}
			if told, err := t.known(ctx, a.subject); err != nil || !told {
				s.fault("%s: %s: not taken (%v)", c.name, a.Name, err)
			}
		}
	}
	return s, nil
}

func (s *Section) judgeClient(client string, a *ask, read []string) {
	s.Tried += len(read)
	counts := map[string]int{}
	for _, r := range read {
		counts[r]++
	}
	if len(read) == 0 || counts[strconv.Itoa(a.want)] != len(read) {
		var came []string
		for _, r := range slices.Sorted(maps.Keys(counts)) {
			came = append(came, fmt.Sprintf("%s×%d", r, counts[r]))
		}
		s.fault("%s: %s: %d tries read %s", client, a.Name, len(read), strings.Join(came, ", "))
	}
}

func withGo(ctx context.Context, t *Target, all []ask) (map[string][]string, error) {
	read := map[string][]string{}
	for _, a := range all {
		n := times
		if a.Body != nil {
			n = 1
		}
		for range n {
			read[a.Name] = append(read[a.Name], onceInGo(ctx, t, &a))
		}
	}
	return read, nil
}

func onceInGo(ctx context.Context, t *Target, a *ask) string {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	body := a.Body
	if body == nil {
		body = bytes.Repeat([]byte("a"), a.Size)
	}
	var r io.Reader = bytes.NewReader(body)
	if a.Chunked {
		r = io.MultiReader(r) // of which no length is known
	}
	req, err := http.NewRequestWithContext(ctx, a.Method, "http://"+t.Callbacks+a.Path, r)
	if err != nil {
		return err.Error()
	}
	for name, v := range a.Headers {
		req.Header.Set(name, v)
	}
	tr := &http.Transport{DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	res, err := tr.RoundTrip(req)
	if isReset(err) {
		return "a reset"
	}
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close() //nolint:errcheck // read to its end
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err.Error()
	}
	return strconv.Itoa(res.StatusCode)
}

func withNode(ctx context.Context, t *Target, all []ask) (map[string][]string, error) {
	plan := make([]string, len(all))
	for i, a := range all {
		b, err := json.Marshal(a)
		if err != nil {
			return nil, err
		}
		plan[i] = base64.StdEncoding.EncodeToString(b)
	}
	return withProgram(ctx, t, "node", "client.js", plan)
}

func withJava(ctx context.Context, t *Target, all []ask) (map[string][]string, error) {
	plan := make([]string, len(all))
	for i, a := range all {
		framing := ""
		if a.Chunked {
			framing = "chunked"
		}
		fields := []string{a.Name, a.Method, a.Path, strconv.Itoa(a.Size), base64.StdEncoding.EncodeToString(a.Body), framing}
		for _, name := range slices.Sorted(maps.Keys(a.Headers)) {
			fields = append(fields, name, a.Headers[name])
		}
		plan[i] = strings.Join(fields, "\t")
	}
	return withProgram(ctx, t, "java", "Client.java", plan)
}

// withProgram runs a client and reads what it prints.
func withProgram(ctx context.Context, t *Target, runtime, file string, plan []string) (map[string][]string, error) {
	program, err := exec.LookPath(runtime)
	if err != nil {
		return nil, fmt.Errorf("%s is not installed, and its clients are to be tried: %w", runtime, err)
	}
	b, err := clientFiles.ReadFile("clients/" + file)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(t.Dir, file)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(t.Callbacks)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append([]string{path, host, port, strconv.Itoa(times)}, plan...)...) //nolint:gosec // a language's own runtime
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, errors.Join(err, errors.New(errs.String()))
	}
	read := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		if name, what, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t"); ok {
			read[name] = append(read[name], what)
		}
	}
	return read, nil
}
