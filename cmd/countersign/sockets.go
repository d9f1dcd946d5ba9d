package main

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// The names of the sockets that a service manager may hand over (FileDescriptorName= in a unit of
// systemd).
const (
	socketCallbacks = "callbacks"
	socketControl   = "control"
)

const firstSocket = 3 // the file descriptor after stderr

// passedSockets takes over the listening sockets that a service manager has opened for this
// process, by their names: LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES, as sd_listen_fds(3) has them.
// They stay open with whoever passed them, so connections wait there while there is no gateway.
// None are passed: nil.
func passedSockets(env func(string) (string, bool), pid int) (map[string]net.Listener, error) {
	if of, _ := env("LISTEN_PID"); of != strconv.Itoa(pid) { // none, or those of a process above us
		return nil, nil
	}
	count, _ := env("LISTEN_FDS")
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > 16 {
		return nil, fmt.Errorf("LISTEN_FDS is %q, which is no number of sockets", count)
	}
	names, _ := env("LISTEN_FDNAMES")
	given := strings.Split(names, ":")
	sockets := map[string]net.Listener{}
	for i := range n {
		syscall.CloseOnExec(firstSocket + i)
		name := ""
		if i < len(given) {
			name = given[i]
		}
		if _, twice := sockets[name]; twice || !slices.Contains([]string{socketCallbacks, socketControl}, name) {
			return nil, fmt.Errorf("socket %d of %d that was passed is called %q; give it FileDescriptorName=%s or %s, and each name to one socket", i+1, n, name, socketCallbacks, socketControl)
		}
		if sockets[name], err = passedSocket(firstSocket+i, name); err != nil {
			return nil, err
		}
	}
	return sockets, nil
}

func passedSocket(fd int, name string) (net.Listener, error) {
	f := os.NewFile(uintptr(fd), name)
	ln, err := net.FileListener(f) // a duplicate of its own
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		if _, ok := ln.(*net.TCPListener); !ok {
			err = fmt.Errorf("it is of %s", ln.Addr().Network())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the socket %s that was passed does not listen on TCP: %w", name, err)
	}
	return ln, nil
}
